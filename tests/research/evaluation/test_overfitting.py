"""Noise is overfitted half the time, a true edge hardly ever, and names do not matter."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from research.evaluation.overfitting import cross_validate


def test_a_family_of_noise_is_overfitted_half_the_time():
    """Over 40 families of 30 trials without any edge the mean PBO is a half, within its error."""
    rng = np.random.default_rng(1)
    found = [cross_validate(rng.normal(size=(960, 30))).probability for _ in range(40)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)


def test_a_family_with_one_true_edge_is_not_overfitted():
    """One trial of thirty with a real edge is chosen for it, and holds it."""
    returns = np.random.default_rng(2).normal(size=(1_600, 30))
    returns[:, 7] += 0.25
    found = cross_validate(returns)
    assert found.probability < 0.01
    assert found.loss < 0.01
    assert found.held.mean() == pytest.approx(0.25, abs=0.05)


def test_what_shines_only_in_its_half_is_found_out():
    """Trials that win where others lose, by blocks, do worse the better they looked."""
    rng = np.random.default_rng(3)
    sign = np.repeat(rng.choice([-1.0, 1.0], size=(16, 12)), 60, axis=0)
    found = cross_validate(rng.normal(size=(960, 12)) + 0.3 * (sign - sign.mean(axis=0)))
    assert found.probability > 0.5
    assert found.degradation < -0.5


def slow(returns: np.ndarray, blocks: int) -> list[float]:
    """Return the logits by the paper's own steps, one combination at a time."""
    cut = np.array_split(returns, blocks)
    logits: list[float] = []
    for inside in combinations(range(blocks), blocks // 2):
        seen = np.concatenate([cut[k] for k in inside])
        other = np.concatenate([cut[k] for k in range(blocks) if k not in inside])
        best = int(np.argmax(seen.mean(axis=0) / seen.std(axis=0, ddof=1)))
        held = other.mean(axis=0) / other.std(axis=0, ddof=1)
        place = rankdata(held)[best] / (returns.shape[1] + 1)
        logits.append(float(np.log(place / (1 - place))))
    return logits


@given(seed=st.integers(0, 2**32 - 1), trials=st.integers(2, 9), shift=st.floats(-50, 50))
@settings(max_examples=30, deadline=None)
def test_the_fast_way_is_the_papers(seed: int, trials: int, shift: float):
    """Sums per block give what cutting and stacking gives, also far from zero."""
    returns = np.random.default_rng(seed).normal(size=(64, trials)) + shift
    np.testing.assert_allclose(cross_validate(returns, blocks=8).logits, slow(returns, 8))


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_relabelling_the_trials_changes_nothing(seed: int):
    """PBO is of the family, in whatever order it is listed."""
    rng = np.random.default_rng(seed)
    returns = rng.normal(size=(96, 6))
    before = cross_validate(returns, blocks=6)
    after = cross_validate(returns[:, rng.permutation(6)], blocks=6)
    np.testing.assert_allclose(after.logits, before.logits)


def test_trials_that_never_trade_share_a_rank():
    """A family that never moves is neither good nor bad: every logit is 0."""
    found = cross_validate(np.zeros((64, 5)), blocks=4)
    np.testing.assert_array_equal(found.logits, 0.0)
    assert found.degradation == 0.0


@pytest.mark.parametrize(
    ("shape", "blocks"), [((100, 1), 4), ((100, 3), 5), ((7, 3), 4), ((100, 3), 0)]
)
def test_too_little_to_compare_is_refused(shape: tuple[int, int], blocks: int):
    """One trial, an odd number of blocks or a bar a block say so."""
    with pytest.raises(ValueError, match="expected at least 2 trials"):
        cross_validate(np.zeros(shape), blocks=blocks)


def test_broken_returns_are_refused():
    """One return that is no number says so."""
    with pytest.raises(ValueError, match="not finite"):
        cross_validate(np.full((64, 3), np.nan), blocks=4)
