from research.gates.evidence import evaluate
from research.pipeline import Retrained
from research.settings import Settings


def test_evaluation_pools_the_gate_folds(trained: Retrained, small: Settings):
    """Calibration and disagreement are of all gate rows together."""
    found = evaluate(trained.candidate, small)
    assert found.rows == sum(len(fold.rows) for fold in trained.candidate.folds)
    labelled = sum(int(rows) for rows in found.curves[0].rows)
    assert labelled == sum(
        int((trained.prepared.table.y[fold.rows] >= 0).sum()) for fold in trained.candidate.folds
    )
    assert 0 <= found.disagreement <= 1
