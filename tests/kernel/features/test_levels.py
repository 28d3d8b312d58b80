"""Levels: the laws, and round numbers and the running day by hand."""

from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest

from kernel.features.levels import GROUP
from tests.kernel.features import alone
from tests.kernel.features.handmade import candles, feature

LONGEST = max(row.warmup_bars for row in GROUP.features)


def test_levels_batch_equals_stream_restarted_anywhere() -> None:
    """History at once, bar by bar and in pieces give the same bytes, extremes included."""
    alone.check_parity(GROUP)


def test_levels_keep_their_range_in_extreme_worlds() -> None:
    """Extreme markets give values within the stated range or NaN by policy, and a finite state."""
    alone.check_extremes(GROUP, LONGEST + 200)


def test_levels_are_warm_when_they_say_so() -> None:
    """Each is NaN before its warm-up bar and has a value from it on, whatever the hour of start."""
    alone.check_warm_up(GROUP)


def test_levels_read_their_inputs_and_nothing_else() -> None:
    """Other fields change no byte; their own change some."""
    alone.check_inputs(GROUP)


def test_levels_never_see_the_future() -> None:
    """Cutting off or scrambling the future changes no past value; a planted look is found."""
    alone.check_certificates(GROUP)


@pytest.mark.parametrize(
    ("price", "level"),
    [
        (97_345.0, 97_000.0),  # in steps of 1,000
        (97_500.0, 98_000.0),  # the higher of two equally near
        (101_200.0, 102_000.0),  # of 2,000 from 100,000 on
        (30_249.0, 30_000.0),  # of 500
        (30_251.0, 30_500.0),
        (3_019.0, 3_000.0),  # of 50
        (151.6, 152.0),  # of 2
        (1.234, 1.24),  # of 0.02
        (0.000_012_34, 0.000_012_4),
        (4.4e-12, 4.4e-12),
        (8.1e11, 8.1e11),
    ],
)
def test_the_grid_of_round_numbers_follows_the_price(price: float, level: float) -> None:
    """The step is 1, 2 or 5 times a power of ten, between 0.8 % and 2 % of the price."""
    found = feature(GROUP, "dist_to_round_number", candles([price]))
    np.testing.assert_allclose(found, (price - level) / price, rtol=1e-9, atol=1e-15)


def test_every_price_is_within_half_a_step_of_a_round_number() -> None:
    """Over 24 orders of magnitude the level is a round number and none is nearer (decimals)."""
    rng = np.random.default_rng(72)
    prices = 10.0 ** rng.uniform(-12.0, 12.0, 2_000)
    found = feature(GROUP, "dist_to_round_number", candles(prices.tolist()))
    for price, distance in zip(prices.tolist(), found, strict=True):
        assert abs(distance - round_number_distance(price)) < 1e-13, price


def round_number_distance(price: float) -> float:
    exact = Decimal(price)
    steps = (m * Decimal(10) ** k for k in range(-20, 15) for m in (1, 2, 5))
    step = max(step for step in steps if step <= exact / 50)
    level = (exact / step).quantize(Decimal(1), ROUND_HALF_UP) * step
    return float((exact - level) / exact)


def test_the_day_begins_anew_at_midnight() -> None:
    """The last bar of a day knows the day's extremes; the first of the next only its own."""
    close = [100.0] * 95 + [104.0, 104.0]
    high = [101.0] * 97
    low = [99.0] * 97
    high[40] = 110.0
    low[60] = 90.0
    high[95:] = [105.0, 105.0]
    low[95:] = [103.0, 103.0]
    obs = candles(close, high=high, low=low)
    assert feature(GROUP, "daily_range_position", obs)[95:] == [0.7, 0.5]
    near = feature(GROUP, "near_daily_high_low", obs)
    assert near[95] > near[96] > 0.0
    assert near[95] / near[96] > 5.0  # 6 from the day's high, then 1 from the bar's


def test_the_nearer_extreme_is_measured_in_atr() -> None:
    """Ranges of 2 around 100, the day's high at 103: 3 up, 1 down, ATR 2 is half an ATR."""
    close = [100.0] * 300
    high = [101.0] * 300
    low = [99.0] * 300
    high[200] = 103.0
    found = feature(GROUP, "near_daily_high_low", candles(close, high=high, low=low))
    np.testing.assert_allclose(found[-1], 0.5, rtol=1e-3)


def test_without_any_range_the_distance_is_missing() -> None:
    """A price that never moved has no ATR to measure in, and is in the middle of its day."""
    obs = candles([100.0] * 100)
    assert np.isnan(feature(GROUP, "near_daily_high_low", obs)).all()
    assert feature(GROUP, "daily_range_position", obs)[95:] == [0.5] * 5
