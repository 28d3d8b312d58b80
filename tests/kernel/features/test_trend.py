"""Trend: the laws, and directional movement and Aroon by hand."""

import numpy as np

from kernel.features.trend import GROUP
from tests.kernel.features import alone
from tests.kernel.features.handmade import candles, feature

LONGEST = max(row.warmup_bars for row in GROUP.features)


def test_trend_features_batch_equals_stream_restarted_anywhere() -> None:
    """History at once, bar by bar and in pieces give the same bytes, extremes included."""
    alone.check_parity(GROUP)


def test_trend_features_keep_their_range_in_extreme_worlds() -> None:
    """Extreme markets give values within the stated range or NaN by policy, and a finite state."""
    alone.check_extremes(GROUP, LONGEST + 200)


def test_trend_features_are_warm_when_they_say_so() -> None:
    """Each is NaN before its warm-up bar and has a value from it on, whatever the hour of start."""
    alone.check_warm_up(GROUP)


def test_trend_features_read_their_inputs_and_nothing_else() -> None:
    """Other fields change no byte; their own change some."""
    alone.check_inputs(GROUP)


def test_trend_features_never_see_the_future() -> None:
    """Cutting off or scrambling the future changes no past value; a planted look is found."""
    alone.check_certificates(GROUP)


def test_a_steady_climb_has_only_upward_movement() -> None:
    """Every bar one higher with a range of two: +DI is 1 / 2, -DI nothing, ADX complete."""
    close = np.arange(40.0) + 100.0
    obs = candles(close.tolist(), high=(close + 1.0).tolist(), low=(close - 1.0).tolist())
    assert feature(GROUP, "plus_di_14", obs)[14:] == [50.0] * 26
    assert feature(GROUP, "minus_di_14", obs)[14:] == [0.0] * 26
    assert feature(GROUP, "adx_14", obs)[27:] == [100.0] * 13
    assert feature(GROUP, "aroon_oscillator_25", obs)[25:] == [100.0] * 15


def test_a_flat_market_has_no_direction() -> None:
    """Where nothing moves all of directional movement is 0, and no average has a slope."""
    obs = candles([100.0] * 250)
    for name in ("plus_di_14", "minus_di_14", "adx_14", "aroon_oscillator_25", "ema20_slope"):
        assert feature(GROUP, name, obs)[-1] == 0.0, name
    assert feature(GROUP, "ema_stack", obs)[-1] == 0.0


def test_aroon_takes_the_latest_of_equal_extremes() -> None:
    """A high of 5 and 2 bars ago counts as 2 bars ago: low 7 bars ago, 100 (7 - 2) / 25."""
    high = [10.0] * 30
    low = [9.0] * 30
    high[24] = high[27] = 11.0
    low[22] = 8.0
    obs = candles([9.5] * 30, high=high, low=low)
    assert feature(GROUP, "aroon_oscillator_25", obs)[-1] == 20.0


def test_the_slope_of_the_average_is_that_of_four_bars() -> None:
    """EMA20 of 20 ones and a 22 is 3, then it shrinks by 19 / 21 of its distance to 1 a bar."""
    obs = candles([1.0] * 20 + [22.0] + [1.0] * 4)
    latest = 1.0 + 2.0 * (19.0 / 21.0) ** 4
    np.testing.assert_allclose(
        feature(GROUP, "ema20_slope", obs)[23:],
        [1.0 + 2.0 * (19.0 / 21.0) ** 3 - 1.0, latest / 3.0 - 1.0],
        rtol=1e-13,
    )
