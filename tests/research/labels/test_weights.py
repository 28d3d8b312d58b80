import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from research.labels.triple_barrier import UNRESOLVED_MS
from research.labels.weights import as_of, recency, uniqueness
from research.settings import WEEK_MS


@given(seed=st.integers(0, 10_000), n=st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_uniqueness_is_the_mean_share_of_the_bars_a_label_spans(seed: int, n: int):
    """It equals a count of concurrent labels bar by bar."""
    rng = np.random.default_rng(seed)
    start = np.arange(n, dtype=np.int64)
    end = start + rng.integers(1, 10, n)
    expected = []
    for i in range(n):
        shares = [
            1 / sum(start[k] <= t < end[k] for k in range(n))
            for t in range(start[i], min(end[i], n))
        ]
        expected.append(np.mean(shares))
    assert uniqueness(start, end) == pytest.approx(expected)


def test_weights_sum_to_independent_labels_whatever_the_outcome():
    """Ten labels of ten bars each, end to end, count as ten; long and short ones weigh alike."""
    start = np.arange(100, dtype=np.int64)
    together = (start // 10 + 1) * 10
    weights = as_of(200, start, together, together, 1e9)
    assert weights.sum() == pytest.approx(uniqueness(start, together).sum())
    mixed = start + np.where(start % 2 == 0, 5, 48)
    assert np.ptp(as_of(200, start, mixed, mixed, 1e9)) < 1e-9


def test_recency_halves_with_each_half_life():
    """What is decided at the moment weighs 1, one half-life earlier 0.5."""
    start = np.arange(5, dtype=np.int64) * WEEK_MS
    assert recency(start, 4 * WEEK_MS, 2.0)[[4, 2, 0]] == pytest.approx([1.0, 0.5, 0.25])


@given(seed=st.integers(0, 10_000), n=st.integers(2, 80), until=st.integers(1, 90))
@settings(max_examples=200, deadline=None)
def test_weights_know_nothing_after_their_moment(seed: int, n: int, until: int):
    """Whatever later labels become, and whatever follows at all, each weight is the same float."""
    rng = np.random.default_rng(seed)
    start = np.arange(n, dtype=np.int64)
    end = start + rng.integers(1, 20, n)
    later = end > until
    other = np.where(later, np.maximum(start, until) + rng.integers(1, 50, n), end)
    never = np.where(later, UNRESOLVED_MS, end)
    found = as_of(until, start, end, end, 3.0)
    assert found.tobytes() == as_of(until, start, other, other, 3.0).tobytes()
    assert found.tobytes() == as_of(until, start, never, never, 3.0).tobytes()
    begun = start < until
    short = as_of(until, start[begun], end[begun], end[begun], 3.0)
    assert found[begun].tobytes() == short.tobytes()
    assert not found[later].any()
