import dataclasses

import numpy as np

from kernel.features.registry import FEATURES
from research.gates.evidence import champion_metrics, evaluate_calibration
from research.pipeline import Retrained
from research.settings import Settings


def columns(trained: Retrained) -> np.ndarray:
    """Return the candidate's own features of every bar."""
    at = [FEATURES.index(name) for name in trained.candidate.feature_names]
    return trained.prepared.features[:, at].astype(np.float32)


def window(trained: Retrained) -> tuple[int, int]:
    return trained.candidate.folds[0].start_ms, trained.candidate.folds[-1].end_ms


def test_champion_on_its_own_gate_folds_has_its_own_figures(trained: Retrained, small: Settings):
    """Compared over its own gate folds, a champion is judged by the graphs that judged it then."""
    found = champion_metrics(
        trained.candidate, columns(trained), trained.prepared.market, window(trained), small
    )
    assert found == trained.walk.whole


def test_champion_is_never_judged_on_rows_its_graph_was_trained_on(
    trained: Retrained, small: Settings
):
    """Before its cutoff the final graph is not asked, whatever it would have said."""
    useless = dataclasses.replace(trained.candidate, signal=b"not a graph")
    found = champion_metrics(
        useless, columns(trained), trained.prepared.market, window(trained), small
    )
    assert found == trained.walk.whole


def test_champion_answers_for_newer_bars_with_its_final_graph(trained: Retrained, small: Settings):
    """After its cutoff the champion is the graph that went live."""
    start, stop = window(trained)
    older = dataclasses.replace(trained.candidate, folds=(), training_window_ms=(0, start))
    final_only = champion_metrics(
        older, columns(trained), trained.prepared.market, (start, stop), small
    )
    assert final_only != trained.walk.whole
    assert final_only.trades > 0


def test_evaluation_pools_the_gate_folds(trained: Retrained):
    """Calibration and disagreement are of all gate rows together."""
    found = evaluate_calibration(trained.candidate)
    assert found.rows == sum(len(fold.rows) for fold in trained.candidate.folds)
    labelled = sum(int(rows) for rows in found.curves[0].rows)
    assert labelled == sum(
        int((trained.prepared.table.y[fold.rows] >= 0).sum()) for fold in trained.candidate.folds
    )
    assert 0 <= found.disagreement <= 1
