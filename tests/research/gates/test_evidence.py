from research.gates.evidence import evaluate_calibration
from research.pipeline import Retrained


def test_evaluation_pools_the_gate_folds(trained: Retrained):
    """Calibration and disagreement are of all gate rows together."""
    found = evaluate_calibration(trained.candidate)
    assert found.rows == sum(len(fold.rows) for fold in trained.candidate.folds)
    labelled = sum(int(rows) for rows in found.curves[0].rows)
    assert labelled == sum(
        int((trained.prepared.table.y[fold.rows] >= 0).sum()) for fold in trained.candidate.folds
    )
    assert 0 <= found.disagreement <= 1
