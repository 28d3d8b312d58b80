"""Selection keeps what carries, proposes noise, and cannot see a gate fold."""

import dataclasses

import numpy as np
import pytest

from research.datasets.table import TrainingTable
from research.evaluation.paired import Difference
from research.models.lightgbm import LightGBM
from research.models.random_forest import RandomForest
from research.settings import WEEK_MS, ValidationSettings
from research.training import selection
from research.training.selection_pictures import SHOWN_SHAP, proposals_figure, proposals_png
from tests.research.worlds import settings

BAR_MS = 900_000
WEEKS = 12
BARS = WEEKS * 672 + 1
WEEK = 672
NAMES = (
    "return_1", "hourly_return", "rsi_14", "rsi_slope", "session_hour_sin", "is_ny_session"
)  # fmt: skip
VALIDATION = ValidationSettings(
    first_train_weeks=4,
    block_weeks=1,
    gate_folds=2,
    max_blocks=9,
    max_train_weeks=104,
    min_coverage=0.9,
    recency_half_life_weeks=26.0,
)
BASE = LightGBM(  # every tree may use every feature: a share of six would be another one of four
    dataclasses.replace(
        settings().models.base("lightgbm").settings, rounds=15, min_child_samples=100, colsample=1.0
    )
)


@pytest.fixture(scope="module")
def table() -> TrainingTable:
    """Return twelve weeks in which `rsi_14` moves the odds of BUY and the rest is noise."""
    rng = np.random.default_rng(21)
    x = rng.normal(size=(BARS, len(NAMES))).astype(np.float32)
    x[rng.random(x.shape) < 0.02] = np.nan
    edge = np.nan_to_num(x[:, NAMES.index("rsi_14")])
    buy = rng.random(BARS) < 1 / (1 + np.exp(-1.2 * edge))
    start = BAR_MS * np.arange(1, BARS + 1, dtype=np.int64)
    end = start + BAR_MS * rng.integers(1, 49, BARS)
    return TrainingTable(
        x=x,
        y=np.where(rng.random(BARS) < 0.1, 1, 2 * buy).astype(np.int8),
        start_ms=start,
        end_ms=end,
        closed_ms=end,
        bar=np.arange(BARS),
        feature_names=NAMES,
        coverage=dict.fromkeys(NAMES, 1.0),
        left_out=(),
        cutoff_ms=int(start[-1]),
        let_out=0,
        digest="",
    )


def proposed(table: TrainingTable) -> selection.Proposals:
    inside = selection.inner(table, VALIDATION)
    return selection.propose(inside, BASE, seed=1, n_jobs=1, memory_rows=WEEK)


@pytest.fixture(scope="module")
def proposals(table: TrainingTable) -> selection.Proposals:
    return proposed(table)


def test_group_with_the_edge_is_kept_and_noise_is_proposed(proposals: selection.Proposals):
    """Leaving momentum out costs log-loss beyond doubt; returns and hours are not missed."""
    verdicts = {one.group: one.verdict for one in proposals.ablations}
    assert verdicts == {
        "momentum": "carries", "returns": "nothing shown", "calendar": "nothing shown"
    }  # fmt: skip
    cost = {one.group: one.difference.mean for one in proposals.ablations}
    assert cost["momentum"] > 0.05
    assert set(proposals.removed) >= {
        "return_1", "hourly_return", "session_hour_sin", "is_ny_session"
    }  # fmt: skip
    assert "rsi_14" not in proposals.removed


def test_strongest_feature_is_the_one_with_the_edge(proposals: selection.Proposals):
    """Mean |SHAP| over the folds' test rows puts the planted feature far in front."""
    mean = {one.feature: one.mean for one in proposals.strengths}
    assert mean["rsi_14"] == max(mean.values())
    assert mean["rsi_14"] > 5 * sorted(mean.values())[-2]
    assert all(len(one.by_fold) == proposals.folds == 6 for one in proposals.strengths)


def test_a_feature_that_no_tree_uses_is_negligible(table: TrainingTable):
    """A constant column has no SHAP value and is proposed, beside a partner that carries."""
    x = table.x.copy()
    x[:, NAMES.index("rsi_slope")] = 0.5
    found = proposed(dataclasses.replace(table, x=x))
    slope = next(one for one in found.strengths if one.feature == "rsi_slope")
    assert slope.mean == 0.0
    assert slope.negligible
    assert "rsi_slope" in found.removed
    assert "rsi_14" not in found.removed


def test_every_look_is_counted(proposals: selection.Proposals):
    """All features, without each of three groups, and without all proposals: five looks."""
    assert proposals.looks == 5
    assert proposals.together is not None
    assert proposals.together.rows == proposals.rows


def test_selection_never_sees_a_gate_fold(table: TrainingTable, proposals: selection.Proposals):
    """Whatever the gate folds hold, and whatever resolves in them, the proposals are the same."""
    stop_ms = int(table.start_ms[-1]) - 2 * WEEK_MS
    hidden = table.end_ms > stop_ms
    rng = np.random.default_rng(5)
    x, y = table.x.copy(), table.y.copy()
    x[hidden] = 1e6 * rng.normal(size=(int(hidden.sum()), len(NAMES)))
    y[hidden] = rng.integers(0, 3, int(hidden.sum()))
    end = np.where(hidden, table.end_ms + 9 * BAR_MS, table.end_ms)
    changed = dataclasses.replace(table, x=x, y=y, end_ms=end, closed_ms=end)
    assert proposed(changed) == proposals


def test_selection_does_see_the_folds_before(table: TrainingTable, proposals: selection.Proposals):
    """A change of one label in the last fold that it may see changes what it says."""
    y = table.y.copy()
    last = int(np.flatnonzero(table.end_ms <= int(table.start_ms[-1]) - 2 * WEEK_MS)[-1])
    y[last] = 2 - y[last] if y[last] != 1 else 0
    assert proposed(dataclasses.replace(table, y=y)).log_loss != proposals.log_loss


def test_rows_of_selection_are_resolved_before_the_gates(table: TrainingTable):
    """The part for selection holds no later row, and its folds learn only what was resolved."""
    inside = selection.inner(table, VALIDATION)
    known = np.flatnonzero(table.end_ms <= inside.until_ms)
    np.testing.assert_array_equal(inside.start_ms, table.start_ms[known])
    assert len(inside.folds) == 6
    for fold in inside.folds:
        assert (table.end_ms[known][fold.train] <= fold.test_start_ms).all()
        assert (inside.start_ms[fold.test] >= fold.test_start_ms).all()
        assert (inside.start_ms[fold.test] < fold.test_end_ms).all()


def test_a_row_without_a_label_is_not_judged(table: TrainingTable):
    """Rows that never resolve are in no fold of the selection."""
    unresolved = np.where(np.arange(BARS) % 7 == 0, np.iinfo(np.int64).max, table.end_ms)
    y = np.where(np.arange(BARS) % 7 == 0, -1, table.y).astype(np.int8)
    inside = selection.inner(dataclasses.replace(table, end_ms=unresolved, y=y), VALIDATION)
    assert inside.y.min() == 0
    assert sum(len(fold.test) for fold in inside.folds) < 6 * WEEK * 6.1 / 7


def test_a_history_of_gate_folds_only_is_refused(table: TrainingTable):
    """Where no fold comes before the gates there is nothing to select on."""
    only = dataclasses.replace(VALIDATION, gate_folds=8)
    with pytest.raises(ValueError, match="found 8 walk-forward blocks, expected more than the 8"):
        selection.inner(table, only)


def test_a_single_group_is_refused(table: TrainingTable):
    """Without its one group nothing would be left to fit."""
    two = dataclasses.replace(table, x=table.x[:, :2], feature_names=NAMES[:2])
    with pytest.raises(ValueError, match=r"found \['returns'\], expected at least two"):
        proposed(two)


def test_a_base_without_shap_values_is_refused(table: TrainingTable):
    """The forest gives none, and its name is in the error."""
    forest = RandomForest(
        dataclasses.replace(settings().models.base("random_forest").settings, trees=2)
    )
    inside = selection.inner(table, VALIDATION)
    with pytest.raises(ValueError, match="found random_forest, expected one that gives SHAP"):
        selection.propose(inside, forest, seed=1, n_jobs=1, memory_rows=WEEK)


@pytest.mark.parametrize(
    ("mean", "adjusted", "verdict"),
    [(0.1, 0.01, "carries"), (-0.1, 0.01, "harms"), (0.1, 0.06, "nothing shown")],
)
def test_verdicts_follow_sign_and_adjusted_p(mean: float, adjusted: float, verdict: str):
    """Five per cent after Holm's correction decides, and then the sign."""
    difference = Difference(
        mean=mean, low=mean - 1, high=mean + 1, p_value=0.001, terms=6, rows=100
    )
    assert selection.Ablation("returns", ("return_1",), difference, adjusted).verdict == verdict


def test_memory_is_a_week_and_more_than_two_labels():
    """A week of bars; with a horizon of 500 bars a thousand, so that labels cannot reach over."""
    chosen = settings()
    longer = dataclasses.replace(chosen.labels, horizon_bars=500)
    assert selection.memory_rows(chosen) == WEEK
    assert selection.memory_rows(dataclasses.replace(chosen, labels=longer)) == 1_000


def test_picture_of_proposals_holds_their_numbers(proposals: selection.Proposals):
    """A bar a feature, the strongest first, and a point with its interval for each group left
    out; the bytes repeat.
    """
    *panels, forest = proposals_figure(proposals).axes
    bars = [bar.get_width() for panel in panels for bar in panel.patches]
    names = [label.get_text() for panel in panels for label in panel.get_yticklabels()]
    strengths = sorted(proposals.strengths, key=lambda one: (-one.mean, one.feature))
    assert names == [one.feature for one in strengths]
    assert bars == [max(one.mean, SHOWN_SHAP) for one in strengths]
    points = [line.get_xdata()[0] / 1e3 for line in forest.lines if line.get_marker() == "o"]
    shown = sorted((one.difference.mean for one in proposals.ablations), reverse=True)
    together = [] if proposals.together is None else [proposals.together.mean]
    assert points == pytest.approx([*shown, *together])
    assert proposals_png(proposals) == proposals_png(proposals)
