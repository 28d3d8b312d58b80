import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from research.evaluation.bootstrap import areas, draws, interval, means


@given(seed=st.integers(0, 10_000), n=st.integers(5, 60))
@settings(max_examples=40, deadline=None)
def test_areas_are_scikit_learns_on_every_draw(seed: int, n: int):
    """With ties and repeated rows the area of each draw is that of the rows drawn."""
    rng = np.random.default_rng(seed)
    score = np.round(rng.normal(size=n), 1)
    hit = np.arange(n) % 3 == 0
    drawn = draws(n, 4, seed, number=5)
    for found, weight in zip(areas(score, hit, drawn), drawn, strict=True):
        if 0 < weight[hit].sum() < weight.sum():
            expected = roc_auc_score(hit, score, sample_weight=weight)
            assert found == pytest.approx(expected)
        else:
            assert np.isnan(found)


def test_draws_take_whole_stretches_as_many_rows_as_there_are():
    """Each draw holds as many rows as the sample, in runs of the block's length; equal seeds give
    equal draws.
    """
    drawn = draws(100, 10, seed=3, number=50)
    assert (drawn.sum(axis=1) == 100).all()
    assert (np.abs(np.diff(drawn, axis=1, append=drawn[:, :1])).sum(axis=1) <= 20).all()
    assert np.array_equal(drawn, draws(100, 10, seed=3, number=50))


def test_an_interval_of_overlapping_rows_is_as_wide_as_that_of_independent_ones():
    """Each value repeated ten times gives about the spread of the tenth of independent values."""
    rng = np.random.default_rng(1)
    once = rng.normal(size=400)
    repeated = np.repeat(once, 10)
    wide = interval(0.0, means(repeated, draws(4_000, 40, seed=1)))
    right = interval(0.0, means(once, draws(400, 4, seed=1)))
    naive = interval(0.0, means(repeated, draws(4_000, 1, seed=1)))
    assert wide.high - wide.low == pytest.approx(right.high - right.low, rel=0.2)
    assert naive.high - naive.low < 0.5 * (right.high - right.low)
