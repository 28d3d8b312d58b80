"""The smart-money group: its laws, and a slow oracle; by hand and over time in the files beside."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from kernel.features import smart_money, smart_money_side, smart_money_zones
from kernel.features.smart_money import GROUP, WARMUP
from kernel.features.smart_money_side import LIFE_BARS
from orchestration.reference.recorded_markets import DATA
from tests.kernel.features import alone, slow_smart_money
from tests.kernel.features.worlds import market

NAMES = [row.name for row in GROUP.features]
REAL = DATA / "ohlcv_BTCUSDT_15m_okx-swap.parquet"
SPARSE = [row.name for row in GROUP.features if row.missing == "absent"]


def test_smart_money_history_equals_stream_equals_any_chunking():
    """0 bytes differ, in ordinary, damaged and extreme markets."""
    alone.check_parity(GROUP, WARMUP + 600)


def test_smart_money_stays_in_range_in_extreme_markets():
    """Values are within the stated range or NaN by policy, the state is finite."""
    alone.check_extremes(GROUP, WARMUP + 600)


def test_smart_money_reads_its_inputs_alone():
    """Other inputs change no byte, its own change some."""
    alone.check_inputs(GROUP, bars=1_500)


def test_smart_money_never_sees_the_future():
    """No past value changes when the future is cut off or scrambled."""
    alone.check_certificates(GROUP)


@pytest.mark.parametrize("offset", [0, 1, 17, 95])
def test_smart_money_is_warm_after_its_warm_up(offset: int):
    """Nothing has a value before the warm-up; then flags always do, distances where a level is."""
    values, _ = alone.batch(GROUP, market(WARMUP + 2_000, seed=51)[offset:])
    assert np.isnan(values[: WARMUP - 1]).all()
    share = pd.DataFrame(np.isfinite(values[WARMUP - 1 :]), columns=NAMES).mean()
    assert (share.drop(SPARSE) == 1.0).all()
    assert (share[SPARSE] > 0.0).all(), share[SPARSE]


def test_flags_say_which_distances_are_within_reach():
    """A flag is 1 where there is a distance, which is within 10 ATR14 (a block's flag within 3),
    and else 0: none is held at the bound, none is 0 for want of a level.
    """
    found = alone.batch(GROUP, market(5_000, seed=51))[0][WARMUP - 1 :]
    values = pd.DataFrame(found, columns=NAMES)
    for flag, distance in (
        ("fvg_bull_above", "fvg_bull_dist"),
        ("fvg_bear_below", "fvg_bear_dist"),
        ("liq_above_present", "liq_above_dist"),
        ("liq_below_present", "liq_below_dist"),
    ):
        assert (values[flag].eq(1.0) == values[distance].notna()).all(), flag
        assert values[distance].eq(10.0).sum() == 0, distance
    for side in ("bullish", "bearish"):
        near = values[f"ob_{side}_dist"] <= 3.0
        assert (values[f"ob_{side}_present"].eq(1.0) == near).all(), side


# Kinds of markets: ordinary; on a coarse grid, where highs, lows and edges are often equal; a
# steady climb of rising candles, which leaves more zones behind than are kept and breaks swings
# long after a falling candle; short swings around one price, whose extremes form pools; and smooth
# waves of a week, with nothing else to break than the crest before.
KINDS = ("ordinary", "grid", "climb", "range", "waves")
BARS = WARMUP + 900


def whole_volumes(kind: str, bars: int, seed: int) -> NDArray[np.float64]:
    """Return a market whose volumes are whole numbers: their sums are exact in any order."""
    obs = market(bars, seed)
    rng = np.random.default_rng(seed)
    prices = obs[:, 1:5]
    if kind == "grid":
        obs[:, 1:5] = 150.0 * np.round(prices / 150.0)
    elif kind == "climb":
        obs[:, 1:5] = prices * np.exp(0.001 * np.arange(bars))[:, None]
        rising = rng.random(bars) < 0.97
        obs[rising, 1], obs[rising, 4] = (
            obs[rising][:, [1, 4]].min(1),
            obs[rising][:, [1, 4]].max(1),
        )
    elif kind in ("range", "waves"):
        week = 660.0 + 45.0 * (seed % 3)
        height, length, noise = (0.02, 24.0, 5e-4) if kind == "range" else (0.3, week, 5e-5)
        turns = np.arange(bars) / length
        level = height * np.sin(2.0 * np.pi * turns) + rng.normal(0, noise, bars)
        if kind == "waves":
            level += 0.01 * turns
            prices = prices**0.02
        obs[:, 1:5] = 30_000.0 * np.exp(level)[:, None] * (prices / prices[:, 3:4])
        obs[1:, 1] = obs[:-1, 4]
        obs[:, 2] = obs[:, 1:5].max(axis=1)
        obs[:, 3] = obs[:, 1:5].min(axis=1)
    obs[:, 5] = np.round(obs[:, 5])
    obs[rng.random(bars) < 0.02, 5] = 0.0
    return obs


@pytest.mark.skipif(not REAL.is_file(), reason=f"no recorded market at {REAL}")
def test_smart_money_equals_the_slow_oracle_on_real_bars():
    """The same on random stretches of three years of BTCUSDT, volumes to the last few bits."""
    frame = pd.read_parquet(REAL, columns=["open", "high", "low", "close", "volume"])
    for start in np.random.default_rng(4).integers(0, len(frame) - BARS, 5):
        obs = market(BARS, seed=0)
        obs[:, 1:6] = frame[start : start + BARS]
        found, _ = alone.batch(GROUP, obs)
        for end in range(WARMUP, BARS, 90):
            expected = slow_smart_money.latest(obs[: end + 1])
            np.testing.assert_allclose(found[end], expected, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
@pytest.mark.parametrize("kind", KINDS)
def test_smart_money_equals_the_slow_oracle(kind: str, seed: int):
    """The fold and a definition-by-definition search through each whole prefix agree exactly."""
    obs = whole_volumes(kind, BARS, seed)
    ends = [WARMUP - 1, *range(WARMUP + seed, BARS, 16)]
    found = alone.batch(GROUP, obs)[0][ends]
    expected = [slow_smart_money.latest(obs[: end + 1]) for end in ends]
    differs = pd.DataFrame(found, columns=NAMES).compare(pd.DataFrame(expected, columns=NAMES))
    assert differs.empty, differs


def test_oracle_meets_every_rule():
    """The markets above hold full lists, what price and what a week took, and all kinds of breaks
    and of candles.
    """
    counts = [
        slow_smart_money.events(whole_volumes(kind, BARS, seed))
        for kind in KINDS
        for seed in range(3)
    ]
    met = pd.DataFrame(counts).sum()
    assert (met > 0).all(), met.to_string()


def test_upside_down_is_the_same_market():
    """In the mirrored market what was above is below, to the byte."""
    obs = whole_volumes("ordinary", 800, 3)
    obs[:, 1:5] = np.round(obs[:, 1:5])  # of whole numbers the mirror image is exact
    mirrored = obs.copy()
    mirrored[:, 1:5] = 60_000.0 - obs[:, [1, 3, 2, 4]]
    here = pd.DataFrame(alone.batch(GROUP, obs)[0], columns=NAMES)
    there = pd.DataFrame(alone.batch(GROUP, mirrored)[0], columns=NAMES)
    swapped = {
        "ob_bullish_present": "ob_bearish_present",
        "ob_bullish_dist": "ob_bearish_dist",
        "fvg_bull_above": "fvg_bear_below",
        "fvg_bull_dist": "fvg_bear_dist",
        "liq_above_dist": "liq_below_dist",
        "liq_above_present": "liq_below_present",
    }
    both = {**swapped, **{theirs: ours for ours, theirs in swapped.items()}}
    pd.testing.assert_frame_equal(here, there.rename(columns=both)[NAMES], check_exact=True)


def test_documented_sizes_are_those_of_the_code():
    """The formulas say how many zones and swings are kept; the code keeps as many."""
    formulas = " ".join(row.formula for row in GROUP.features)
    assert f"latest {smart_money_zones.ZONES} are kept" in formulas
    assert formulas.count(f"after {LIFE_BARS} bars") == 4
    assert f"of the {smart_money_side.CANDLE_BARS} before a break" in formulas
    assert f"the {smart_money_side.SWINGS} before it" in formulas
    assert f"{smart_money_side.POOL_ATRS} ATR14" in formulas
    assert f"{smart_money_side.SWING_BARS} bars later" in formulas
    assert smart_money.GROUP.state_size <= 1_000
