"""The smart-money group forgets: zones end on their bar, and so does where a history began."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from kernel.features.bounds import usable
from kernel.features.smart_money import GROUP, WARMUP
from kernel.features.smart_money_side import LIFE_BARS
from kernel.observation import OBSERVATION_FIELDS
from orchestration.reference.recorded_markets import DATA
from tests.kernel.features import alone
from tests.kernel.features.smart_money_candles import (
    ABOVE,
    CALM,
    FALLING,
    PEAK,
    RISE,
    candles,
    feature,
)
from tests.kernel.features.worlds import EXTREMES, damaged, differing_bytes, extreme, market

REAL = DATA / "ohlcv_BTCUSDT_15m_okx-swap.parquet"


def check_late_starts(obs: NDArray[np.float64], starts: NDArray[np.int64]) -> None:
    """A history begun at any of `starts` gives the same bytes from its warm-up bar on."""
    whole, _ = alone.batch(GROUP, obs)
    for start in starts:
        late, _ = alone.batch(GROUP, obs[start : start + WARMUP + 1_500])
        expected = whole[start : start + len(late)]
        assert differing_bytes(late[WARMUP - 1 :], expected[WARMUP - 1 :]) == 0, start


@pytest.mark.skipif(not REAL.is_file(), reason=f"no recorded market at {REAL}")
def test_smart_money_forgets_where_a_real_history_began():
    """After the warm-up, 100 late starts in three years of BTCUSDT differ in 0 bytes from all of
    it.
    """
    frame = pd.read_parquet(REAL, columns=["open", "high", "low", "close", "volume"])
    obs = np.full((len(frame), len(OBSERVATION_FIELDS)), np.nan)
    obs[:, 0] = 900_000.0 * np.arange(len(frame))
    obs[:, 1:6] = frame
    check_late_starts(obs, np.random.default_rng(5).integers(1, len(obs) - 2 * WARMUP, 100))


@pytest.mark.parametrize("damage", [False, True])
def test_smart_money_forgets_where_a_history_began(damage: bool):
    """Nor do they on generated markets, where the warm-up counts the bars that there are."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        obs = market(3 * WARMUP, seed)
        if damage:
            obs = damaged(obs, rng)
            obs = obs[[usable(row) for row in obs]]
        check_late_starts(obs, rng.integers(1, WARMUP, 20))


@pytest.mark.parametrize("kind", EXTREMES)
def test_smart_money_forgets_where_an_extreme_history_began(kind: str):
    """What is there is the same, distances to within 1e-12: an ATR14 that moves by less than its
    last bits may stop beside its limit.
    """
    obs = extreme(kind, 2 * WARMUP)
    whole, _ = alone.batch(GROUP, obs)
    late, _ = alone.batch(GROUP, obs[500:])
    np.testing.assert_allclose(
        late[WARMUP - 1 :], whole[500 + WARMUP - 1 :], rtol=1e-12, equal_nan=True
    )


def test_warm_up_is_as_long_as_the_longest_memory():
    """A high that needs a bar before the first, a break at the end of its life, another at the end
    of that trend: the BOS is past on the warm-up bar and no earlier.
    """
    above = (107.0, 108.0, 106.0, 107.0, 10.0)
    rows = [
        *[CALM] * 9, PEAK, *[CALM] * (8 + LIFE_BARS), RISE,
        *[above] * (LIFE_BARS - 2), (107.0, 112.0, 106.0, 110.0, 10.0), *[above] * 100,
    ]  # fmt: skip
    bias = feature("structure_bias", candles(*rows))
    assert bias[WARMUP - 2 : WARMUP] == [1.0, 0.0]
    late = alone.column(
        GROUP, alone.batch(GROUP, candles(*rows)[WARMUP - 1 :])[0], "structure_bias"
    )
    assert late[WARMUP - 1 :].tolist() == bias[WARMUP - 1 :]


def test_a_gap_a_block_and_a_pool_are_gone_after_a_week():
    """Each is there for 672 bars from the one that confirms it, where no price comes near it."""
    opens = (101.0, 106.0, 100.0, 105.0, 10.0)
    second = (100.0, 104.9, 99.0, 100.0, 10.0)
    for name, known, rows in (
        ("fvg_bear_dist", 2, (CALM, opens, *[ABOVE] * 700)),
        ("ob_bullish_dist", 11, (PEAK, *[CALM] * 9, FALLING, RISE, *[ABOVE] * 700)),
        ("ob_volume_ratio", 11, (PEAK, *[CALM] * 9, FALLING, RISE, *[ABOVE] * 700)),
        ("liq_above_dist", 25, (PEAK, *[CALM] * 14, second, *[CALM] * 700)),
    ):
        there = np.flatnonzero(np.isfinite(feature(name, candles(*rows))))
        assert there.tolist() == list(range(known, known + 672)), name


@pytest.mark.parametrize(("age", "counts"), [(671, 1.0), (672, 0.0)])
def test_a_swing_and_a_trend_end_after_a_week(age: int, counts: float):
    """A swing breaks, has a block, pairs into a pool, and a trend names a break, at an age of less
    than 672 bars.
    """
    broken = candles(PEAK, *[CALM] * (8 + age), FALLING, RISE)
    assert feature("ob_bullish_present", broken)[-1] == counts
    paired = candles(PEAK, *[CALM] * (age - 1), PEAK, *[CALM] * 10)
    assert feature("liq_above_present", paired)[-1] == counts
    higher = (107.0, 112.0, 104.0, 110.0, 10.0)
    named = candles(PEAK, *[CALM] * 10, RISE, *[ABOVE] * (age - 1), higher)
    assert feature("recent_bos", named)[-1] == counts
