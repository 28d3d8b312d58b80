"""Features that say the same are found whatever their scale, and chains are not clusters."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from research.features.collinearity import collinearity, spearman
from research.features.pictures import clusters_figure, clusters_png

ROWS = 4_000


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(11).normal(size=(ROWS, 4))


def test_rank_correlation_is_that_of_scipy(noise: np.ndarray):
    """On full columns, ties included, it is scipy's to 1e-12."""
    noise[:, 1] += noise[:, 0]
    noise[:, 2] = np.round(noise[:, 2] - 2 * noise[:, 0])
    np.testing.assert_allclose(spearman(noise), spearmanr(noise).statistic, atol=1e-12)


def test_rank_correlation_takes_the_rows_that_both_have(noise: np.ndarray):
    """With gaps it is pandas' correlation of the ranks over the rows in common."""
    noise[:, 1] -= noise[:, 0]
    noise[np.random.default_rng(1).random(noise.shape) < 0.3] = np.nan
    np.testing.assert_allclose(spearman(noise), pd.DataFrame(noise).rank().corr(), atol=1e-12)


def test_what_has_no_correlation_has_none(noise: np.ndarray):
    """A constant, an empty column and one with two values are like nothing but themselves."""
    noise[:, 1] = 7.0
    noise[:, 2] = np.nan
    noise[2:, 3] = np.nan
    np.testing.assert_array_equal(spearman(noise), np.eye(4))


def test_copies_of_any_monotone_shape_are_one_cluster(noise: np.ndarray):
    """A feature, its exponential and its negative are one cluster; the others are alone."""
    a, b, c, _ = noise.T
    values = np.column_stack([a, b, np.exp(a), c, -a + 0.1 * b])
    found = collinearity(values, ["a", "b", "exp_a", "c", "minus_a"])
    (cluster,) = found.clusters
    assert cluster.names == ("a", "exp_a", "minus_a")
    assert 0.98 < cluster.weakest < 1.0
    assert cluster.centre in {"a", "exp_a"}
    place = [found.order.index(at) for at in (0, 2, 4)]
    assert max(place) - min(place) == 2


def test_a_chain_is_not_a_cluster(noise: np.ndarray):
    """a ~ b ~ c with a and c less alike than 0.9 do not become one: every two must be alike."""
    a, step, other, _ = noise.T
    values = np.column_stack([a, a + 0.42 * step, a + 0.84 * step, other])
    rho = np.abs(spearman(values))
    assert rho[0, 1] > 0.9
    assert rho[1, 2] > 0.9
    assert rho[0, 2] < 0.9
    found = collinearity(values, ["a", "b", "c", "d"])
    assert [len(cluster.names) for cluster in found.clusters] == [2]
    assert all(cluster.weakest >= 0.9 for cluster in found.clusters)


def test_picture_shows_what_is_alike_and_how_much(noise: np.ndarray):
    """The map holds |ρ| of the features with a like, and a box around each cluster."""
    values = np.column_stack([noise[:, 0], noise[:, 1], noise[:, 0] * 2.0])
    figure = clusters_figure(collinearity(values, ["a", "b", "c"]))
    drawn, listed = figure.axes[:2]
    names = [label.get_text() for label in drawn.get_yticklabels()]
    assert sorted(names) == ["a", "c"]
    assert drawn.collections[0].get_array().ravel().tolist() == pytest.approx([1.0] * 4)
    assert [(box.get_width(), box.get_height()) for box in drawn.patches] == [(2, 2)]
    assert {"1", "≥ 1.00"} <= {text.get_text() for text in listed.texts}


@pytest.mark.parametrize("count", [1, 4])
def test_picture_of_nothing_alike_is_a_picture(noise: np.ndarray, count: int):
    """Without any cluster, or with a single feature, the picture still says so."""
    found = collinearity(noise[:, :count], [f"f{at}" for at in range(count)])
    figure = clusters_figure(found)
    assert found.clusters == ()
    assert figure.get_suptitle().startswith(f"0 of {count} features say what another says")
    assert len(figure.axes[0].patches) == 0
    assert clusters_png(found) == clusters_png(found)
