"""Momentum: the laws, and its indices by hand."""

import numpy as np
import pytest

from kernel.features.momentum import GROUP
from tests.kernel.features import alone
from tests.kernel.features.handmade import candles, feature

LONGEST = max(row.warmup_bars for row in GROUP.features)


def test_momentum_features_batch_equals_stream_restarted_anywhere() -> None:
    """History at once, bar by bar and in pieces give the same bytes, extremes included."""
    alone.check_parity(GROUP)


def test_momentum_features_keep_their_range_in_extreme_worlds() -> None:
    """Extreme markets give values within the stated range or NaN by policy, and a finite state."""
    alone.check_extremes(GROUP, LONGEST + 200)


def test_momentum_features_are_warm_when_they_say_so() -> None:
    """Each is NaN before its warm-up bar and has a value from it on, whatever the hour of start."""
    alone.check_warm_up(GROUP)


def test_momentum_features_read_their_inputs_and_nothing_else() -> None:
    """Other fields change no byte; their own change some."""
    alone.check_inputs(GROUP)


def test_momentum_features_never_see_the_future() -> None:
    """Cutting off or scrambling the future changes no past value; a planted look is found."""
    alone.check_certificates(GROUP)


@pytest.mark.parametrize(
    ("pace", "strength"), [(1.0, 100.0), (-1.0, 0.0), (0.0, 50.0)], ids=["up", "down", "still"]
)
def test_strength_is_all_or_nothing_one_way(pace: float, strength: float) -> None:
    """Only gains are 100, only losses 0, nothing at all 50; no slope in any of them."""
    obs = candles((1_000.0 + pace * np.arange(30.0)).tolist())
    assert feature(GROUP, "rsi_14", obs)[-1] == strength
    assert feature(GROUP, "rsi_7", obs)[7:] == [strength] * 23
    assert feature(GROUP, "rsi_slope", obs)[-1] == 0.0


def test_strength_never_leaves_its_range_by_rounding() -> None:
    """Markets that only rise, by steps of any size, are 100 to the last bit, and no more."""
    steps = np.random.default_rng(73).gamma(0.5, 1.0, (50, 200))
    for close in 1_000.0 + np.cumsum(steps, axis=1):
        assert set(feature(GROUP, "rsi_14", candles(close.tolist()))[14:]) == {100.0}


def test_strength_over_seven_bars_by_hand() -> None:
    """Six gains of 1 and a loss of 2 average 6 / 7 and 2 / 7: 75; a gain of 1 more is 79.4..."""
    obs = candles([100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 106.0, 104.0, 105.0])
    gain = (6.0 * 6.0 / 7.0 + 1.0) / 7.0
    loss = 6.0 * 2.0 / 7.0 / 7.0
    np.testing.assert_allclose(
        feature(GROUP, "rsi_7", obs)[7:], [75.0, 100.0 * gain / (gain + loss)], rtol=1e-14
    )


def test_a_market_without_a_range_is_in_the_middle_of_it() -> None:
    """Flat prices: the stochastic is 50, the channel index 0, and nothing decayed."""
    obs = candles([0.1] * 40)
    assert feature(GROUP, "stoch_k", obs)[15:] == [50.0] * 25
    assert feature(GROUP, "stoch_d", obs)[17:] == [50.0] * 23
    assert feature(GROUP, "cci_20", obs)[19:] == [0.0] * 21
    assert feature(GROUP, "momentum_decay", obs)[31:] == [0.0] * 9


def test_the_stochastic_is_the_mean_of_three_places() -> None:
    """Closes at the bottom, middle and top of a range of 10 are 0, 50 and 100: %K is 50."""
    close = [105.0] * 13 + [100.0, 105.0, 110.0]
    obs = candles(close, high=[110.0] * 16, low=[100.0] * 16)
    np.testing.assert_allclose(feature(GROUP, "stoch_k", obs)[-1], 50.0, rtol=1e-15)


def test_one_outlier_is_the_largest_channel_index() -> None:
    """19 equal prices and one above: deviation 2 * 19 / 20 / 20 of the gap, 10 / 0.015."""
    obs = candles([100.0] * 19 + [101.0])
    np.testing.assert_allclose(feature(GROUP, "cci_20", obs)[-1], 10.0 / 0.015, rtol=1e-12)


def test_acceleration_is_the_change_of_the_hourly_return() -> None:
    """+10 % in one hour, then +20 % in the next, is an acceleration of 10 %."""
    obs = candles([100.0] * 4 + [100.0, 110.0, 110.0, 110.0, 110.0, 132.0])
    np.testing.assert_allclose(feature(GROUP, "price_acceleration", obs)[-1], 0.1, rtol=1e-13)


def test_momentum_decays_from_its_peak() -> None:
    """A leap of 10 % is full momentum for 8 bars and gone after them; half of it remains at 5 %."""
    obs = candles([100.0] * 30 + [110.0] * 8 + [115.5] * 2)
    found = feature(GROUP, "momentum_decay", obs)
    assert found[31:38] == [0.0] * 7
    np.testing.assert_allclose(found[38:], [0.5, 0.5], rtol=1e-12)
