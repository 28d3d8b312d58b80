"""Volume: the laws, and surges, money flow and balance by hand."""

import numpy as np
import pandas as pd
import pytest
import talib

from kernel.features.volume import GROUP
from orchestration.reference.recorded_markets import DATA
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


def test_equal_decimal_sums_are_no_change_of_money_flow() -> None:
    """16864.1 + 16855.7 + 16856.9 is 16869.0 + 16851.9 + 16855.8, as in BTC's bars of 2023-01-05,
    though the binary sums differ in the last bit: neither gained nor lost, at any price.
    """
    for scale in (1e-9, 1.0, 1e9):
        high, low, close = (
            [scale * x for x in (15_000.0, *six)]
            for six in (
                (16_869.0, 16_864.1, *[16_869.0] * 13),
                (16_851.9, 16_855.7, *[16_851.9] * 13),
                (16_855.8, 16_856.9, *[16_855.8] * 13),
            )
        )
        obs = candles(close, high=high, low=low)
        assert feature(GROUP, "mfi_14", obs)[14] == 100.0
        assert feature(GROUP, "mfi_14", obs)[15] == 50.0


def test_money_flow_of_three_recorded_years_is_that_of_ta_lib() -> None:
    """No bar of 105,216 differs by more than rounding."""
    path = DATA / "ohlcv_BTCUSDT_15m_okx-swap.parquet"
    if not path.is_file():
        pytest.skip(f"no recorded market at {path}")
    columns = ["high", "low", "close", "volume"]
    high, low, close, volume = pd.read_parquet(path)[columns].to_numpy(np.float64).T.copy()
    obs = candles(close.tolist(), high=high.tolist(), low=low.tolist(), volume=volume.tolist())
    found = alone.column(GROUP, alone.batch(GROUP, obs)[0], "mfi_14")
    np.testing.assert_allclose(found, talib.MFI(high, low, close, volume, 14), rtol=0, atol=1e-9)


def test_the_balance_of_volume_is_a_share_of_it() -> None:
    """Twenty rises are 1; 12 rises, 4 standstills and 4 falls of equal volume are 8 / 20."""
    rising = [100.0 + i for i in range(21)]
    assert feature(GROUP, "obv_slope", candles(rising))[-1] == 1.0
    moves = [1.0] * 12 + [0.0] * 4 + [-1.0] * 4
    mixed = (100.0 + np.cumsum([0.0, *moves])).tolist()
    assert feature(GROUP, "obv_slope", candles(mixed))[-1] == 0.4
