import numpy as np
import pytest

from research.evaluation import calibration_mae, clustered_error, disagreement, reliability


def drawn(rng: np.random.Generator, p: np.ndarray) -> np.ndarray:
    """Return classes drawn with the probabilities of each row."""
    return (rng.random((len(p), 1)) > np.cumsum(p, axis=1)[:, :2]).sum(axis=1).astype(np.int8)


def hourly(n: int) -> np.ndarray:
    """Return decision times an hour apart."""
    return np.arange(n, dtype=np.int64) * 3_600_000


def test_calibration_of_true_probabilities_is_near_zero():
    """Classes drawn from the very probabilities give hardly any error."""
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(3), 50_000)
    assert calibration_mae(reliability(p, drawn(rng, p), hourly(50_000))) < 0.004


def test_calibration_of_leaning_probabilities_is_what_was_added():
    """A constant lean of 0.1 from one class to another costs 0.2 / 3 over three classes."""
    rng = np.random.default_rng(2)
    p = 0.2 + 0.4 * rng.dirichlet(np.ones(3), 80_000)
    leaning = p + np.array([-0.1, 0.0, 0.1])
    error = calibration_mae(reliability(leaning, drawn(rng, p), hourly(80_000)))
    assert error == pytest.approx(0.2 / 3, abs=0.006)


def overlapping(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return true probabilities, and classes that last for 24 rows each, as overlapping labels
    do.
    """
    p = np.repeat(rng.dirichlet([4, 1, 4], n // 24), 24, axis=0)
    return p, np.repeat(drawn(rng, p[::24]), 24)


def test_calibration_judges_the_model_and_not_the_sample():
    """On twelve weeks of overlapping labels true probabilities pass 0.05; overconfident ones
    seldom.
    """
    honest, bold, plain = [], [], []
    for seed in range(20):
        p, y = overlapping(np.random.default_rng(seed), 8_064)
        start_ms = np.arange(8_064, dtype=np.int64) * 900_000
        curves = reliability(p, y, start_ms)
        squared = p**2 / (p**2).sum(axis=1, keepdims=True)
        honest.append(calibration_mae(curves))
        plain.append(np.mean([curve.mae for curve in curves]))
        bold.append(calibration_mae(reliability(squared, y, start_ms)))
    assert max(honest) < 0.05
    assert np.mean(np.array(bold) > 0.05) >= 0.8
    assert np.mean(honest) < 0.03 < np.mean(plain)


def test_clustered_error_of_independent_values_is_the_usual_one():
    """With one value a cluster it is the standard error of a mean."""
    values = np.random.default_rng(4).normal(size=500)
    usual = values.std(ddof=1) / np.sqrt(500)
    assert clustered_error(values, np.arange(500)) == pytest.approx(usual)
    assert clustered_error(np.repeat(values, 10), np.repeat(np.arange(500), 10)) == pytest.approx(
        usual
    )
    assert clustered_error(values, np.zeros(500, np.int64)) == 0.0


def test_reliability_counts_equal_bins_and_leaves_out_unlabelled_rows():
    """Five bins of a class hold the same number of rows, none without a label."""
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(3), 103)
    y = drawn(rng, p)
    y[:3] = -1
    curves = reliability(p, y, hourly(103))
    assert [curve.name for curve in curves] == ["SELL", "HOLD", "BUY"]
    assert all(curve.rows.tolist() == [20] * 5 for curve in curves)
    shares = sum(float(curve.observed @ curve.rows) for curve in curves)
    assert shares == pytest.approx(100)


def test_reliability_refuses_too_few_rows():
    """Four rows do not fill five bins."""
    with pytest.raises(ValueError, match="found 4 labelled rows, expected at least 5"):
        reliability(np.full((4, 3), 1 / 3), np.zeros(4, np.int8), hourly(4))


def test_disagreement_counts_rows_without_one_voice():
    """Two of four rows have bases that choose differently."""
    sell, buy = [0.6, 0.1, 0.3], [0.3, 0.1, 0.6]
    votes = np.array([sell * 3, buy * 3, sell + buy + sell, buy + buy + sell])
    assert disagreement(votes) == 0.5
