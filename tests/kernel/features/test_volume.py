"""Volume: the laws, and surges, money flow and balance by hand."""

import numpy as np

from kernel.features.volume import GROUP
from tests.kernel.features import alone
from tests.kernel.features.handmade import candles, feature

LONGEST = max(row.warmup_bars for row in GROUP.features)


def test_volume_features_batch_equals_stream_restarted_anywhere() -> None:
    """History at once, bar by bar and in pieces give the same bytes, extremes included."""
    alone.check_parity(GROUP)


def test_volume_features_keep_their_range_in_extreme_worlds() -> None:
    """Extreme markets give values within the stated range or NaN by policy, and a finite state."""
    alone.check_extremes(GROUP, LONGEST + 200)


def test_volume_features_are_warm_when_they_say_so() -> None:
    """Each is NaN before its warm-up bar and has a value from it on, whatever the hour of start."""
    alone.check_warm_up(GROUP)


def test_volume_features_read_their_inputs_and_nothing_else() -> None:
    """Other fields change no byte; their own change some."""
    alone.check_inputs(GROUP)


def test_volume_features_never_see_the_future() -> None:
    """Cutting off or scrambling the future changes no past value; a planted look is found."""
    alone.check_certificates(GROUP)


def test_a_surge_is_more_than_twice_the_bars_before() -> None:
    """Exactly twice the mean is no surge, more is one, and so is anything after nothing."""
    usual = [3.0] * 20
    assert feature(GROUP, "volume_surge", candles([100.0] * 21, volume=[*usual, 6.0]))[-1] == 0.0
    assert feature(GROUP, "volume_surge", candles([100.0] * 21, volume=[*usual, 6.1]))[-1] == 1.0
    nothing = [0.0] * 21
    assert feature(GROUP, "volume_surge", candles([100.0] * 22, volume=[*nothing, 1.0]))[-1] == 1.0
    assert feature(GROUP, "volume_surge", candles([100.0] * 21, volume=nothing))[-1] == 0.0


def test_without_trading_there_is_no_ratio() -> None:
    """Where 20 bars traded nothing, ratios to their volume are missing, not 0."""
    obs = candles([100.0] * 40, volume=[1.0] * 20 + [0.0] * 20)
    for name in ("volume_ratio", "volume_delta", "obv_slope"):
        found = feature(GROUP, name, obs)
        assert np.isfinite(found[20:39]).all(), name
        assert np.isnan(found[39]), name


def test_the_least_volume_there_is_divides_nothing_by_nothing() -> None:
    """A volume of 5e-324 alone in its window is 20 times the mean."""
    obs = candles([100.0] * 30, volume=[0.0] * 29 + [5e-324])
    assert feature(GROUP, "volume_ratio", obs)[-1] == 20.0
    assert feature(GROUP, "volume_surge", obs)[-1] == 1.0


def test_money_flow_weighs_rises_against_falls() -> None:
    """A rise to 110 on 3 and a fall to 100 on 1: 330 of 430 gained; without a change, 50."""
    obs = candles([100.0] * 13 + [110.0, 100.0], volume=[1.0] * 13 + [3.0, 1.0])
    np.testing.assert_allclose(feature(GROUP, "mfi_14", obs)[-1], 33_000 / 430, rtol=1e-14)
    assert feature(GROUP, "mfi_14", candles([100.0] * 15))[-1] == 50.0


def test_the_balance_of_volume_is_a_share_of_it() -> None:
    """Twenty rises are 1; 12 rises, 4 standstills and 4 falls of equal volume are 8 / 20."""
    rising = [100.0 + i for i in range(21)]
    assert feature(GROUP, "obv_slope", candles(rising))[-1] == 1.0
    moves = [1.0] * 12 + [0.0] * 4 + [-1.0] * 4
    mixed = (100.0 + np.cumsum([0.0, *moves])).tolist()
    assert feature(GROUP, "obv_slope", candles(mixed))[-1] == 0.4
