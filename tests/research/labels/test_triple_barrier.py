from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.bars import Bars
from research.labels.triple_barrier import BUY, HOLD, SELL, UNRESOLVED_MS, triple_barrier
from research.settings import LabelSettings

BAR_MS = 900_000


def walk(rng: np.random.Generator, n: int) -> Bars:
    """Return bars of a coarse random walk, so that barriers are often met exactly and twice in a
    bar.
    """
    steps = np.round(rng.normal(0, 1, n), 1)
    close = 100 + np.cumsum(steps)
    open_ = close - np.round(steps * rng.random(n), 1)
    high = np.maximum(open_, close) + np.round(rng.exponential(0.7, n), 1)
    low = np.minimum(open_, close) - np.round(rng.exponential(0.7, n), 1)
    return Bars(
        open_time_ms=np.arange(n) * BAR_MS,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=np.ones(n),
    )


def oracle(bars: Bars, atr: np.ndarray, rule: LabelSettings, t: int) -> tuple[int, int]:
    """Return (label, last row) of row t by simulating both trades to their end, -1 where
    unresolved.
    """
    outcomes = {}
    for side in (1, -1):
        outcomes[side] = simulate(bars, atr[t], rule, t, side)
    wins = {side: row for side, (result, row) in outcomes.items() if result == "won"}
    unknown = [row for result, row in outcomes.values() if result == "unknown"]
    if wins:
        first = min(wins.values())
        winners = [side for side, row in wins.items() if row == first]
        if len(winners) == 2:
            return HOLD, first
        return (BUY if winners[0] == 1 else SELL), first
    if unknown:
        return -1, -1
    return HOLD, max(row for _, row in outcomes.values())


def simulate(bars: Bars, atr: float, rule: LabelSettings, t: int, side: int) -> tuple[str, int]:
    if not atr > 0 or t + 1 >= len(bars):
        return "unknown", -1
    entry = bars.open[t + 1]
    target = entry + side * rule.take_profit_atr * atr
    stop = entry - side * rule.stop_loss_atr * atr
    for k in range(t + 1, t + rule.horizon_bars + 1):
        if k >= len(bars):
            return "unknown", -1
        best = bars.high[k] if side == 1 else bars.low[k]
        worst = bars.low[k] if side == 1 else bars.high[k]
        if side * worst <= side * stop:
            return "lost", k
        if side * best >= side * target:
            return "won", k
    return "timed out", t + rule.horizon_bars


rules = st.builds(
    LabelSettings,
    take_profit_atr=st.sampled_from([0.5, 1.0, 2.0, 3.0]),
    stop_loss_atr=st.sampled_from([0.5, 1.0, 2.0, 3.0]),
    horizon_bars=st.integers(1, 12),
)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), rule=rules)
@settings(max_examples=150, deadline=None)
def test_labels_equal_those_of_two_simulated_trades(seed: int, n: int, rule: LabelSettings):
    """Each label and its span are what a slow simulation of a long and a short trade finds."""
    rng = np.random.default_rng(seed)
    bars = walk(rng, n)
    atr = np.where(rng.random(n) < 0.1, np.nan, np.round(rng.uniform(0.5, 2.0, n), 1))
    labels = triple_barrier(bars, atr, rule, BAR_MS)
    for t in range(n):
        label, last = oracle(bars, atr, rule, t)
        assert labels.label[t] == label
        assert labels.valid[t] == (label >= 0)
        expected = bars.open_time_ms[last] + BAR_MS if label >= 0 else UNRESOLVED_MS
        assert labels.end_ms[t] == expected


@given(seed=st.integers(0, 10_000), t=st.integers(0, 40), rule=rules)
@settings(max_examples=100, deadline=None)
def test_labels_depend_on_the_horizon_and_nothing_after_it(seed: int, t: int, rule: LabelSettings):
    """Scrambling every bar after the horizon leaves a label and its span unchanged."""
    rng = np.random.default_rng(seed)
    bars, other = walk(rng, 80), walk(rng, 80)
    seen = t + rule.horizon_bars + 1
    mixed = Bars(
        bars.open_time_ms,
        *(
            np.concatenate([getattr(bars, name)[:seen], getattr(other, name)[seen:]])
            for name in ("open", "high", "low", "close", "volume")
        ),
    )
    atr = rng.uniform(0.5, 2.0, 80)
    one, two = (triple_barrier(each, atr, rule, BAR_MS) for each in (bars, mixed))
    assert one.label[t] == two.label[t] >= 0
    assert one.end_ms[t] == two.end_ms[t] <= bars.open_time_ms[t] + (1 + rule.horizon_bars) * BAR_MS


def test_labels_treat_a_bar_that_touches_both_barriers_as_no_win():
    """Which barrier came first within a bar is unknown, so neither side is said to have paid."""
    bars = Bars(
        open_time_ms=np.arange(3) * BAR_MS,
        open=np.array([100.0, 100.0, 100.0]),
        high=np.array([100.0, 104.0, 101.0]),
        low=np.array([100.0, 96.0, 99.0]),
        close=np.array([100.0, 100.0, 100.0]),
        volume=np.ones(3),
    )
    labels = triple_barrier(bars, np.ones(3), LabelSettings(3.0, 3.0, 2), BAR_MS)
    assert labels.label.tolist() == [HOLD, -1, -1]
    assert labels.end_ms[0] == 2 * BAR_MS


@given(seed=st.integers(0, 10_000), rule=rules, cut=st.integers(1, 39), lost=st.integers(1, 9_000))
@settings(max_examples=60, deadline=None)
def test_no_label_reaches_over_missing_bars(seed: int, rule: LabelSettings, cut: int, lost: int):
    """A row whose horizon holds a hole has no label, any other the one it would have without it."""
    bars = walk(np.random.default_rng(seed), 40)
    atr = np.ones(40)
    times = bars.open_time_ms + np.where(np.arange(40) >= cut, lost * BAR_MS, 0)
    torn = triple_barrier(replace(bars, open_time_ms=times), atr, rule, BAR_MS)
    before = triple_barrier(bars.slice(0, cut), atr[:cut], rule, BAR_MS)
    after = triple_barrier(bars.slice(cut, 40), atr[cut:], rule, BAR_MS)
    whole = np.arange(cut) + rule.horizon_bars < cut
    assert torn.label[:cut].tolist() == np.where(whole, before.label, -1).tolist()
    assert torn.label[cut:].tolist() == after.label.tolist()
    assert (torn.end_ms[~torn.valid] == UNRESOLVED_MS).all()
    span_ms = torn.end_ms[torn.valid] - torn.start_ms[torn.valid]
    assert (span_ms <= rule.horizon_bars * BAR_MS).all()
