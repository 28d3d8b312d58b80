import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from research.graphs.fusion import log_votes
from research.models.base import TrainingRows
from research.models.calibration import (
    fit_isotonic,
    fit_logistic,
    fit_meta,
    geometric_mean,
    merge_close,
)
from research.settings import MetaSettings


def meta_settings(prior: float = 10.0, bins: int = 8, min_step: float = 0.01) -> MetaSettings:
    return MetaSettings(prior, 0.7, bins, prior, min_step)


def votes(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.dirichlet(np.ones(3), (n, 3)).reshape(n, 9).astype(np.float32)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 200), prior=st.sampled_from([0.0, 5.0, 500.0]))
@settings(max_examples=150, deadline=None)
def test_isotonic_never_falls_and_stays_within_zero_and_one(seed: int, n: int, prior: float):
    """A curve is monotone on all of [0, 1], and no steeper than its smallest step allows."""
    rng = np.random.default_rng(seed)
    p = rng.random(n) ** 2
    hit = (rng.random(n) < 0.4).astype(float)
    curve = fit_isotonic(p, hit, rng.uniform(0.01, 1, n), meta_settings(prior))
    y = curve.predict(np.linspace(-0.1, 1.1, 500))
    assert np.all(np.diff(y) >= 0)
    assert y.min() >= 0 and y.max() <= 1
    assert np.all(np.diff(curve.x) > 0.0099)


def test_isotonic_with_much_data_finds_the_truth():
    """A distorted probability comes out as the share of what happened."""
    rng = np.random.default_rng(3)
    truth = rng.random(60_000)
    hit = (rng.random(60_000) < truth).astype(float)
    curve = fit_isotonic(truth**2, hit, np.ones(60_000), meta_settings(50.0, bins=40))
    inner = (truth > 0.1) & (truth < 0.9)
    assert np.abs(curve.predict(truth[inner] ** 2) - truth[inner]).mean() < 0.01


def test_isotonic_with_little_data_stays_near_the_identity():
    """Ten labels against a prior of fifty a bin hardly bend the curve."""
    rng = np.random.default_rng(4)
    p = rng.random(10)
    curve = fit_isotonic(p, np.ones(10), np.ones(10), meta_settings(50.0, bins=5))
    grid = np.linspace(0, 1, 50)
    assert np.abs(curve.predict(grid) - grid).max() < 0.06


@given(
    x=st.lists(st.floats(0, 1), min_size=1, max_size=30), step=st.sampled_from([0.001, 0.01, 0.2])
)
def test_merge_close_keeps_mass_and_distance(x: list[float], step: float):
    """Merged points stand at least a step apart and weigh what their parts weighed."""
    ascending = np.sort(x)
    mass = np.arange(1.0, len(x) + 1)
    merged, y, total = merge_close(ascending, ascending, mass, step)
    assert np.all(np.diff(merged) >= step - 1e-12)
    assert total.sum() == pytest.approx(mass.sum())
    assert merged @ total == pytest.approx(ascending @ mass)
    assert y @ total == pytest.approx(ascending @ mass)


def test_logistic_without_prior_direction_equals_scikit_learn():
    """Pulled towards zero weights, the regression is scikit-learn's ridge up to its free
    intercept.
    """
    rng = np.random.default_rng(5)
    x = votes(rng, 3_000)
    y = (rng.random((3_000, 1)) > np.cumsum(x[:, :3], axis=1)[:, :2]).sum(axis=1).astype(np.int8)
    ours = fit_logistic(TrainingRows(x, y, np.ones(3_000)), np.zeros((9, 3)), 1e-3)
    theirs = LogisticRegression(C=1e3, max_iter=5_000, tol=1e-10).fit(log_votes(x), y)
    assert np.abs(ours.predict(x) - theirs.predict_proba(log_votes(x))).max() < 1e-3


def test_logistic_without_data_is_the_geometric_mean():
    """A few rows leave the prior where it is: the normalised geometric mean of the bases."""
    rng = np.random.default_rng(6)
    x = votes(rng, 30)
    fitted = fit_logistic(
        TrainingRows(x, rng.integers(0, 3, 30).astype(np.int8), np.full(30, 1e-6)),
        geometric_mean(9),
        300.0,
    )
    mean = np.exp(log_votes(x).reshape(30, 3, 3).mean(axis=1))
    expected = mean / mean.sum(axis=1, keepdims=True)
    assert np.abs(fitted.predict(x) - expected).max() < 1e-6


def test_meta_gives_three_columns_where_a_class_never_happened():
    """A span without HOLD still yields probabilities of all three classes."""
    rng = np.random.default_rng(7)
    rows = TrainingRows(votes(rng, 200), rng.choice([0, 2], 200).astype(np.int8), np.ones(200))
    p = fit_meta(rows, rows, meta_settings()).predict(votes(rng, 50))
    assert p.shape == (50, 3)
    assert np.abs(p.sum(axis=1) - 1).max() < 1e-12
