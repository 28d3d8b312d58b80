import dataclasses
import itertools

import numpy as np
import pytest

from kernel.bars import Bars
from kernel.features.registry import WARMUP_BARS, warmup_bars
from research.datasets.table import (
    TrainingTable,
    blocks,
    build,
)
from research.labels.triple_barrier import Labels, triple_barrier
from research.settings import WEEK_MS, LabelSettings
from tests.research import worlds

BAR_MS = 900_000
N = 12_000
NAMES = ("rsi_14", "oi_change", "mvrv")
WARM = warmup_bars(NAMES)
VALIDATION = dataclasses.replace(
    worlds.settings().validation, first_train_weeks=6, block_weeks=2, gate_folds=2
)


def market(seed: int = 1) -> tuple[Bars, np.ndarray, Labels]:
    """Return bars of a random walk, random features and their labels."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.003, N)))
    spread = rng.uniform(1.0005, 1.004, N)
    bars = Bars(
        open_time_ms=np.arange(N) * BAR_MS,
        open=close,
        high=close * spread,
        low=close / spread,
        close=close,
        volume=np.ones(N),
    )
    labels = triple_barrier(bars, close * 0.004, LabelSettings(3.0, 3.0, 48), BAR_MS)
    return bars, rng.normal(size=(N, len(NAMES))), labels


def table(features: np.ndarray | None = None) -> TrainingTable:
    bars, values, labels = market()
    return build(
        bars,
        values if features is None else features,
        labels,
        NAMES,
        VALIDATION,
        bar_ms=BAR_MS,
        silent_bars=0,
    )


def test_table_holds_every_warm_bar_and_the_named_columns():
    """Rows begin after the warm-up of these features, not of the catalogue, as float32."""
    _, values, labels = market()
    built = table()
    assert built.bar.tolist() == list(range(WARM, N))
    assert built.feature_names == NAMES
    assert WARM < WARMUP_BARS
    assert np.array_equal(built.x, values[WARM:].astype(np.float32))
    assert np.array_equal(built.y, labels.label[WARM:])
    assert built.cutoff_ms == N * BAR_MS
    assert (built.y[-1], built.worth(built.cutoff_ms, 26.0)[-1]) == (-1, 0.0)


def test_table_leaves_out_a_feature_that_is_missing_in_one_block_only():
    """A hole of a week leaves 99 % of the window covered, but half of its block: the feature
    goes.
    """
    _, values, _ = market()
    week = WEEK_MS // BAR_MS
    values[-week:, NAMES.index("mvrv")] = np.nan
    built = table(values)
    assert built.feature_names == ("rsi_14", "oi_change")
    assert built.left_out == ("mvrv",)
    assert built.coverage["mvrv"] == pytest.approx(0.5, abs=0.01)
    assert built.coverage["rsi_14"] == 1.0


def test_table_refuses_when_nothing_is_covered_or_warm():
    """Without a feature or without a warm bar there is nothing to learn from."""
    bars, values, labels = market()
    with pytest.raises(ValueError, match=r"found coverage .* expected one of at least 0.95"):
        build(
            bars,
            np.full_like(values, np.nan),
            labels,
            NAMES,
            VALIDATION,
            bar_ms=BAR_MS,
            silent_bars=0,
        )
    short = bars.slice(0, WARM)
    few = triple_barrier(short, short.close, LabelSettings(3.0, 3.0, 48), BAR_MS)
    with pytest.raises(ValueError, match=f"bars: found {WARM}, expected more than"):
        build(short, values[:WARM], few, NAMES, VALIDATION, bar_ms=BAR_MS, silent_bars=0)
    with pytest.raises(ValueError, match="features: found shape"):
        build(bars, values[:, :2], labels, NAMES, VALIDATION, bar_ms=BAR_MS, silent_bars=0)


def test_table_digest_follows_its_content():
    """Equal tables have one digest; one changed value, label or name gives another."""
    bars, values, labels = market()
    first = table()
    values[N // 2, NAMES.index("rsi_14")] += 1e-3
    renamed = build(
        bars,
        market()[1],
        labels,
        ("rsi_14", "oi_change", "fear_greed"),
        VALIDATION,
        bar_ms=BAR_MS,
        silent_bars=0,
    )
    assert table().digest == first.digest
    assert len({first.digest, table(values).digest, renamed.digest}) == 3


def test_blocks_end_with_the_last_decision():
    """Blocks of two weeks tile the time up to the cutoff, after six weeks of training."""
    built = table()
    found = blocks(built.start_ms, built.end_ms, VALIDATION)
    assert found[-1].test_end_ms == built.cutoff_ms
    assert all(a.test_end_ms == b.test_start_ms for a, b in itertools.pairwise(found))
    assert found[0].test_start_ms - built.start_ms[0] >= 6 * WEEK_MS


def test_blocks_are_at_most_the_number_asked_for():
    """A long history does not cost more fits than its last blocks need."""
    built = table()
    all_of_them = blocks(built.start_ms, built.end_ms, VALIDATION)
    few = dataclasses.replace(VALIDATION, max_blocks=3)
    last = blocks(built.start_ms, built.end_ms, few)
    assert len(all_of_them) > 3
    assert [fold.test_start_ms for fold in last] == [
        fold.test_start_ms for fold in all_of_them[-3:]
    ]


def test_table_keeps_a_distance_to_levels_that_are_mostly_not_there():
    """NaN for want of a level is not missing data: the feature stays, as a flag says what it is."""
    bars, values, labels = market()
    values[::2, 1] = np.nan
    names = ("rsi_14", "liq_above_dist", "liq_above_present")
    built = build(bars, values, labels, names, VALIDATION, bar_ms=BAR_MS, silent_bars=0)
    assert built.feature_names == names
    assert built.coverage["liq_above_dist"] == 1.0
    assert np.isnan(built.x[:, 1]).mean() == pytest.approx(0.5, abs=0.01)


def test_what_a_hole_touches_is_not_learned_from():
    """Labels that would reach over missing bars, and bars let out after them, weigh nothing; all
    others weigh what they did.
    """
    bars, values, _ = market()
    kept = np.ones(N, np.bool_)
    kept[6_000:7_000] = False
    columns = (getattr(bars, field.name)[kept] for field in dataclasses.fields(bars))
    torn = Bars(*columns)
    labels = triple_barrier(torn, torn.close * 0.004, LabelSettings(3.0, 3.0, 48), BAR_MS)
    built = build(torn, values[kept], labels, NAMES, VALIDATION, bar_ms=BAR_MS, silent_bars=0)
    after = min(max(1_000, 96), WARM) - 1
    unlearned = (built.bar >= 6_000 - 48) & (built.bar < 6_000 + after)
    assert built.let_out == unlearned.sum() == 48 + after
    assert (built.y[unlearned] == -1).all()
    worth = built.worth(built.cutoff_ms, 26.0)
    assert not worth[unlearned].any()
    assert (built.y[~unlearned][:-48] >= 0).all()
    assert (worth[~unlearned][:-48] > 0.0).all()
    assert (built.closed_ms[unlearned] <= torn.open_time_ms[6_000 + after]).all()
    span_ms = built.end_ms[built.y >= 0] - built.start_ms[built.y >= 0]
    assert span_ms.max() <= 48 * BAR_MS


def test_a_block_inside_a_hole_is_no_block():
    """Weeks that were never ingested are neither learned from nor judged on."""
    week = WEEK_MS // BAR_MS
    start = np.concatenate([np.arange(8 * week), np.arange(12 * week, 16 * week)]) * BAR_MS
    settled = dataclasses.replace(VALIDATION, first_train_weeks=2, block_weeks=2, max_blocks=20)
    found = blocks(start, start + BAR_MS, settled)
    assert [len(fold.test) for fold in found] == [2 * week, 2 * week, 2 * week - 1, 2 * week]
    assert all(len(fold.train) for fold in found)
