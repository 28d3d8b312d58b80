import numpy as np
import pytest

from research.evaluation.reliability import calibration_mae, disagreement, reliability


def drawn(rng: np.random.Generator, p: np.ndarray) -> np.ndarray:
    """Return classes drawn with the probabilities of each row."""
    return (rng.random((len(p), 1)) > np.cumsum(p, axis=1)[:, :2]).sum(axis=1).astype(np.int8)


def test_calibration_of_true_probabilities_is_near_zero():
    """Classes drawn from the very probabilities give hardly any error."""
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(3), 50_000)
    assert calibration_mae(p, drawn(rng, p)) < 0.004


def test_calibration_of_leaning_probabilities_is_what_was_added():
    """A constant lean of 0.1 from one class to another costs 0.2 / 3 over three classes."""
    rng = np.random.default_rng(2)
    p = 0.2 + 0.4 * rng.dirichlet(np.ones(3), 80_000)
    leaning = p + np.array([-0.1, 0.0, 0.1])
    error = calibration_mae(leaning, drawn(rng, p))
    assert error == pytest.approx(0.2 / 3, abs=0.006)


def test_calibration_refuses_overconfidence_and_the_noise_of_few_weeks_counts():
    """Squared probabilities fail 0.05 in every draw; true ones, on overlapping labels, in some."""
    honest = []
    bold = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        p = np.repeat(rng.dirichlet([4, 1, 4], 336), 24, axis=0)
        y = np.repeat(drawn(rng, p[::24]), 24)
        honest.append(calibration_mae(p, y))
        bold.append(calibration_mae(p**2 / (p**2).sum(axis=1, keepdims=True), y))
    assert min(bold) > 0.05
    assert np.mean(np.array(honest) <= 0.05) > 0.5


def test_reliability_counts_equal_bins_and_leaves_out_unlabelled_rows():
    """Five bins of a class hold the same number of rows, none without a label."""
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(3), 103)
    y = drawn(rng, p)
    y[:3] = -1
    curves = reliability(p, y)
    assert [curve.name for curve in curves] == ["SELL", "HOLD", "BUY"]
    assert all(curve.rows.tolist() == [20] * 5 for curve in curves)
    shares = sum(float(curve.observed @ curve.rows) for curve in curves)
    assert shares == pytest.approx(100)


def test_reliability_refuses_too_few_rows():
    """Four rows do not fill five bins."""
    with pytest.raises(ValueError, match="found 4 labelled rows, expected at least 5"):
        reliability(np.full((4, 3), 1 / 3), np.zeros(4, np.int8))


def test_disagreement_counts_rows_without_one_voice():
    """Two of four rows have bases that choose differently."""
    sell = [0.6, 0.1, 0.3]
    buy = [0.3, 0.1, 0.6]
    votes = np.array([sell * 3, buy * 3, sell + buy + sell, buy + buy + sell])
    assert disagreement(votes) == 0.5
