"""The smart-money group: its laws, tiny markets worked out by hand, and a slow oracle."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from kernel.features import smart_money, smart_money_side, smart_money_zones
from kernel.features.smart_money import GROUP, WARMUP
from orchestration.cli.recorded_markets import DATA
from tests.kernel.features import alone, slow_smart_money
from tests.kernel.features.worlds import market

NAMES = [row.name for row in GROUP.features]
REAL = DATA / "ohlcv_BTCUSDT_15m_okx-swap.parquet"
SPARSE = [row.name for row in GROUP.features if row.missing == "absent"]


def test_smart_money_history_equals_stream_equals_any_chunking():
    """0 bytes differ, in ordinary, damaged and extreme markets."""
    alone.check_parity(GROUP)


def test_smart_money_stays_in_range_in_extreme_markets():
    """Values are within the stated range or NaN by policy, the state is finite."""
    alone.check_extremes(GROUP, 700)


def test_smart_money_reads_its_inputs_alone():
    """Other inputs change no byte, its own change some."""
    alone.check_inputs(GROUP)


def test_smart_money_never_sees_the_future():
    """No past value changes when the future is cut off or scrambled."""
    alone.check_certificates(GROUP)


@pytest.mark.parametrize("offset", [0, 1, 17, 95])
def test_smart_money_is_warm_after_its_warm_up(offset: int):
    """Nothing has a value before bar 100; then flags always do, distances where a level exists."""
    values, _ = alone.batch(GROUP, market(2_000, seed=51)[offset:])
    assert np.isnan(values[: WARMUP - 1]).all()
    share = pd.DataFrame(np.isfinite(values[WARMUP - 1 :]), columns=NAMES).mean()
    assert (share.drop(SPARSE) == 1.0).all()
    assert (share[SPARSE] > 0.0).all(), share[SPARSE]


def test_flags_say_which_distances_are_within_reach():
    """A flag is 1 within 10 ATR14 (a block's within 3), where the distance is not clipped; no level
    is NaN and flag 0, never a distance of 0.
    """
    found = alone.batch(GROUP, market(5_000, seed=51))[0][WARMUP - 1 :]
    values = pd.DataFrame(found, columns=NAMES)
    for flag, distance in (
        ("fvg_bull_above", "fvg_bull_dist"),
        ("fvg_bear_below", "fvg_bear_dist"),
        ("liq_above_present", "liq_above_dist"),
        ("liq_below_present", "liq_below_dist"),
    ):
        assert (values[flag].eq(1.0) == values[distance].lt(10.0)).all(), flag
    for side in ("bullish", "bearish"):
        near = values[f"ob_{side}_dist"] <= 3.0
        assert (values[f"ob_{side}_present"].eq(1.0) == near).all(), side


# Kinds of markets: ordinary; on a coarse grid, where highs, lows and edges are often equal; a
# steady climb of rising candles, which leaves more zones behind than are kept and breaks two swings
# with no falling candle in between; and short swings around one price, whose extremes form pools.
KINDS = ("ordinary", "grid", "climb", "range")


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
    elif kind == "range":
        turns = 0.02 * np.sin(2.0 * np.pi * np.arange(bars) / 24.0) + rng.normal(0, 5e-4, bars)
        level = 30_000.0 * np.exp(turns)
        obs[:, 1:5] = level[:, None] * (prices / prices[:, 3:4])
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
    for start in np.random.default_rng(4).integers(0, len(frame) - 400, 10):
        obs = market(400, seed=0)
        obs[:, 1:6] = frame[start : start + 400]
        found, _ = alone.batch(GROUP, obs)
        for end in range(WARMUP, 400, 20):
            expected = slow_smart_money.latest(obs[: end + 1])
            np.testing.assert_allclose(found[end], expected, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_smart_money_equals_the_slow_oracle(kind: str, seed: int):
    """The fold and a definition-by-definition search through each whole prefix agree exactly."""
    obs = whole_volumes(kind, 420, seed)
    found, _ = alone.batch(GROUP, obs)
    expected = np.full_like(found, np.nan)
    for end in range(WARMUP - 1, len(obs)):
        expected[end] = slow_smart_money.latest(obs[: end + 1])
    differs = pd.DataFrame(found, columns=NAMES).compare(pd.DataFrame(expected, columns=NAMES))
    assert differs.empty, differs


def test_oracle_meets_every_rule():
    """The markets above hold full lists, swept pools, repeated candles, and both kinds of break."""
    counts = [slow_smart_money.events(whole_volumes(kind, 420, 0)) for kind in KINDS]
    met = pd.DataFrame(counts, index=list(KINDS)).sum()
    assert (met > 0).all(), met.to_dict()


def candles(*rows: tuple[float, float, float, float, float]) -> NDArray[np.float64]:
    """Return observations of the given open, high, low, close and volume, after a quiet start.

    The start is 99 bars within 99..101 that leave no swing, candle, block, gap or pool behind.
    """
    quiet = [(100.0, 101.0, 99.0, 100.0, 10.0)] * (WARMUP - 1)
    obs = market(WARMUP - 1 + len(rows), seed=0)
    obs[:, 1:6] = [*quiet, *rows]
    return obs


def feature(name: str, obs: NDArray[np.float64]) -> list[float]:
    """Return a feature from the first bar after the quiet start on, without ATR in the way."""
    return alone.column(GROUP, alone.batch(GROUP, obs)[0], name)[WARMUP - 1 :].tolist()


def atr(obs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ATR14 after the quiet start."""
    return slow_smart_money.wilder(obs)[WARMUP - 1 :]


CALM = (100.0, 101.0, 99.0, 100.0, 10.0)
PEAK = (100.0, 105.0, 99.0, 100.0, 10.0)
DIP = (100.0, 101.0, 95.0, 100.0, 10.0)
RISE = (100.0, 108.0, 99.0, 107.0, 40.0)
FALL = (100.0, 101.0, 92.0, 93.0, 40.0)


def test_a_swing_counts_from_its_tenth_bar():
    """A close above a high breaks nothing while fewer than 10 bars followed that high."""
    trend = (DIP, *[CALM] * 10, FALL, *[CALM] * 12)  # a first break: the trend is down
    known = candles(*trend, PEAK, *[CALM] * 10, RISE)
    early = candles(*trend, PEAK, *[CALM] * 9, RISE)
    assert feature("recent_choch", known)[-1] == 1.0
    assert sum(feature("recent_choch", early)) == 0.0


def test_a_swing_needs_ten_bars_before_it():
    """A high on the eleventh bar of a history is one that can break; on the tenth it is not."""
    for peak, blocks in ((10, 1.0), (9, 0.0)):
        obs = candles((100.0, 100.5, 99.5, 99.8, 10.0), RISE)
        obs[peak, 2] = 105.0
        assert feature("ob_bullish_present", obs)[-1] == blocks


def test_the_first_break_is_neither_and_later_ones_have_names():
    """First up: neither. Up again: BOS for 8 bars, bias +1 for 16. Then down: CHoCH, bias -1."""
    higher = (107.0, 112.0, 106.0, 107.0, 10.0)
    calm = (107.0, 108.0, 106.0, 107.0, 10.0)
    dip = (107.0, 108.0, 103.0, 107.0, 10.0)
    obs = candles(
        PEAK,
        *[CALM] * 10,
        RISE,
        higher,
        *[calm] * 10,
        (107.0, 114.0, 106.0, 113.0, 10.0),
        *[calm] * 20,
        dip,
        *[calm] * 10,
        (107.0, 108.0, 101.0, 102.0, 10.0),
        *[calm] * 20,
    )
    bos, choch = feature("recent_bos", obs), feature("recent_choch", obs)
    bias = feature("structure_bias", obs)
    assert [i for i, x in enumerate(bos) if x] == list(range(23, 31))
    assert [i for i, x in enumerate(choch) if x] == list(range(55, 63))
    assert [i for i, x in enumerate(bias) if x == 1.0] == list(range(23, 39))
    assert [i for i, x in enumerate(bias) if x == -1.0] == list(range(55, 71))


def test_a_block_is_the_last_falling_candle_until_price_trades_through_it():
    """It appears at the breaking close, survives a touch of its low, and goes below it."""
    falling = (100.0, 102.0, 98.0, 99.0, 10.0)
    touch = (107.0, 107.0, 98.0, 100.0, 10.0)
    through = (100.0, 100.0, 97.9, 100.0, 10.0)
    stays = (107.0, 107.5, 106.0, 107.0, 10.0)
    obs = candles(PEAK, *[CALM] * 9, falling, RISE, stays, touch, through)
    distance = feature("ob_bullish_dist", obs)
    spans = atr(obs)
    assert np.isnan(distance[:11]).all()
    assert distance[11] == (107.0 - 102.0) / spans[11]
    assert distance[13] == (100.0 - 102.0) / spans[13]  # inside it
    assert np.isnan(distance[14])
    assert feature("ob_bullish_present", obs)[10:] == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_a_block_has_the_volume_of_its_break():
    """(40 + 10 + 10) / 3 over the mean of 49 bars of 10 and one of 40, as long as it lasts."""
    falling = (100.0, 102.0, 98.0, 99.0, 10.0)
    quiet = (107.0, 108.0, 106.0, 107.0, 1e6)
    ratio = feature("ob_volume_ratio", candles(PEAK, *[CALM] * 9, falling, RISE, quiet, quiet))
    assert np.isnan(ratio[:11]).all()
    assert ratio[11:] == [60.0 * 50.0 / (3.0 * 530.0)] * 3


def test_a_gap_counts_from_its_third_bar_and_shrinks_until_filled():
    """101..104 is left open; a low of 102 leaves 101..102; a low of 101 nothing."""
    up = (101.0, 106.0, 100.0, 105.0, 10.0)
    third = (105.0, 107.0, 104.0, 106.0, 10.0)
    into = (106.0, 106.0, 102.0, 105.0, 10.0)
    fills = (105.0, 105.0, 101.0, 103.0, 10.0)
    obs = candles(CALM, up, third, into, third, fills)
    distance = feature("fvg_bear_dist", obs)
    spans = atr(obs)
    assert np.isnan(distance[:2]).all()
    assert distance[2] == (106.0 - 104.0) / spans[2]
    assert distance[3] == (105.0 - 102.0) / spans[3]
    assert distance[4] == (106.0 - 102.0) / spans[4]
    assert np.isnan(distance[5])
    assert feature("fvg_bear_below", obs) == [0.0, 0.0, 1.0, 1.0, 1.0, 0.0]
    assert sum(feature("fvg_bull_above", obs)) == 0.0


def test_a_pool_counts_from_its_second_high_and_goes_when_swept():
    """Highs of 105 and 104.9 hold one pool at 105, ten bars after the second; 105 leaves it."""
    second = (100.0, 104.9, 99.0, 100.0, 10.0)
    sweep = (100.0, 105.1, 99.0, 100.0, 10.0)
    obs = candles(PEAK, *[CALM] * 14, second, *[CALM] * 10, PEAK, sweep)
    distance = feature("liq_above_dist", obs)
    assert np.isnan(distance[:25]).all()
    assert distance[25:27] == [5.0 / atr(obs)[25], 5.0 / atr(obs)[26]]
    assert np.isnan(distance[27])
    assert feature("liq_above_present", obs)[24:] == [0.0, 1.0, 1.0, 0.0]


def test_two_highs_around_a_higher_one_hold_no_pool():
    """What lies between them has swept the first already."""
    between = (100.0, 110.0, 99.0, 100.0, 10.0)
    obs = candles(PEAK, *[CALM] * 10, between, *[CALM] * 10, PEAK, *[CALM] * 10)
    assert sum(feature("liq_above_present", obs)) == 0.0


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
    assert f"at most {smart_money_zones.ZONES} kept" in formulas
    assert f"the {smart_money_side.SWINGS} before it" in formulas
    assert f"{smart_money_side.POOL_ATRS} ATR14" in formulas
    assert f"{smart_money_side.SWING_BARS} bars later" in formulas
    assert smart_money.GROUP.state_size <= 1_000
