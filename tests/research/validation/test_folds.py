import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from research.validation.folds import split_in_time, walk_forward

UNRESOLVED = np.iinfo(np.int64).max


@st.composite
def spans(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Return decision times, ascending with gaps, and label ends of any length, some unresolved."""
    n = draw(st.integers(2, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    start = np.cumsum(rng.integers(1, 20, n)).astype(np.int64)
    end = start + rng.integers(1, draw(st.integers(2, 400)), n)
    return start, np.where(rng.random(n) < 0.1, UNRESOLVED, end)


@given(
    spans=spans(), block=st.integers(1, 200), first=st.integers(0, 300), window=st.integers(1, 900)
)
@settings(max_examples=400, deadline=None)
def test_folds_never_learn_from_a_label_that_meets_a_test_span(
    spans: tuple[np.ndarray, np.ndarray], block: int, first: int, window: int
):
    """No training span [start, end) shares a moment with any test span of its fold, or follows
    it.
    """
    start, end = spans
    stop = int(start[-1]) + 1
    folds = walk_forward(
        start, end, first_test_ms=first, stop_ms=stop, block_ms=block, max_train_ms=window
    )
    predicted = np.concatenate([fold.test for fold in folds]) if folds else np.array([])
    assert len(np.unique(predicted)) == len(predicted)
    for fold in folds:
        assert fold.test_start_ms >= first
        assert fold.test_end_ms <= stop
        assert np.all(end[fold.train] <= fold.test_start_ms)
        assert np.all(start[fold.train] >= fold.test_start_ms - window)
        assert np.all(
            (start[fold.test] >= fold.test_start_ms) & (start[fold.test] < fold.test_end_ms)
        )
        for test_start in start[fold.test]:
            assert not np.any((start[fold.train] < UNRESOLVED) & (end[fold.train] > test_start))


@given(spans=spans(), block=st.integers(5, 200))
@settings(max_examples=100, deadline=None)
def test_folds_use_every_label_known_in_time(spans: tuple[np.ndarray, np.ndarray], block: int):
    """Purging leaves out nothing but labels that were not resolved when the block began."""
    start, end = spans
    stop = int(start[-1]) + 1
    for fold in walk_forward(
        start, end, first_test_ms=0, stop_ms=stop, block_ms=block, max_train_ms=stop
    ):
        left_out = np.setdiff1d(np.arange(len(start)), fold.train)
        assert np.all(end[left_out] > fold.test_start_ms)


@given(spans=spans(), share=st.floats(0.1, 0.9))
@settings(max_examples=200, deadline=None)
def test_split_in_time_keeps_spans_apart(spans: tuple[np.ndarray, np.ndarray], share: float):
    """No label of the earlier part ends after the later part begins."""
    start, end = spans
    earlier, later = split_in_time(start, end, np.arange(len(start)), share)
    assert len(later) > 0
    assert np.all(end[earlier] <= start[later[0]])


def test_the_seeds_gapless_split_would_leak():
    """The same rows split by position alone, as TimeSeriesSplit does, do meet their test span."""
    start = np.arange(500, dtype=np.int64)
    end = start + 48
    fold = walk_forward(start, end, first_test_ms=400, stop_ms=500, block_ms=100, max_train_ms=500)[
        0
    ]
    by_position = np.arange(400)
    assert int((end[by_position] > fold.test_start_ms).sum()) == 47
    assert int((end[fold.train] > fold.test_start_ms).sum()) == 0


def test_folds_refuse_spans_that_end_before_they_start():
    """A label that ends at its own decision is a mistake upstream."""
    times = np.array([10, 20])
    with pytest.raises(ValueError, match="expected end_ms > start_ms"):
        walk_forward(times, times, first_test_ms=0, stop_ms=30, block_ms=5, max_train_ms=9)
