"""No span of a training row meets a test span, and each path covers each row once."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from research.validation.combinatorial import combinatorial
from tests.research.validation.test_folds import UNRESOLVED, spans


@given(spans=spans(), groups=st.integers(2, 7), data=st.data())
@settings(max_examples=150, deadline=None)
def test_training_rows_are_those_that_meet_no_test_span(
    spans: tuple[np.ndarray, np.ndarray], groups: int, data: st.DataObject
):
    """Purged is exactly what meets a test span or is not known, checked pair by pair."""
    start, end = spans
    groups = min(groups, len(start))
    tested = data.draw(st.integers(1, groups - 1))
    known = data.draw(st.sampled_from([int(np.median(end)), int(end.max())]))
    for split in combinatorial(
        start, end, groups=groups, test_groups=tested, known_ms=known
    ).splits:
        meets = (start[:, None] < end[split.test]) & (start[split.test] < end[:, None])
        due = np.flatnonzero(~meets.any(axis=1) & (end <= known))
        np.testing.assert_array_equal(split.train, due)


@given(spans=spans(), groups=st.integers(2, 7), data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_path_covers_every_row_once(
    spans: tuple[np.ndarray, np.ndarray], groups: int, data: st.DataObject
):
    """A path has one split a group, which predicts it; paths share no (split, group) pair."""
    start, end = spans
    groups = min(groups, len(start))
    tested = data.draw(st.integers(1, groups - 1))
    paths = combinatorial(start, end, groups=groups, test_groups=tested, known_ms=UNRESOLVED - 1)
    assert paths.splits_of.shape == (comb(groups, tested) * tested // groups, groups)
    for path in paths.splits_of:
        rows = [
            row
            for g, j in enumerate(path)
            for row in np.intersect1d(paths.splits[j].test, np.flatnonzero(paths.group == g))
        ]
        assert rows == list(range(len(start)))
    pairs = {(j, g) for path in paths.splits_of.tolist() for g, j in enumerate(path)}
    assert len(pairs) == paths.splits_of.size


def test_six_groups_of_which_three_are_tested_give_ten_paths():
    """The choice that gives ten histories costs twenty fits."""
    start = np.arange(60, dtype=np.int64)
    paths = combinatorial(start, start + 2, groups=6, test_groups=3, known_ms=100)
    assert (len(paths.splits), len(paths.splits_of)) == (20, 10)


@pytest.mark.parametrize(("groups", "tested"), [(3, 0), (3, 3), (21, 2), (1, 1)])
def test_impossible_groups_are_refused(groups: int, tested: int):
    """No group to test, none to learn from, or more groups than rows say so."""
    start = np.arange(20, dtype=np.int64)
    with pytest.raises(ValueError, match="groups: found"):
        combinatorial(start, start + 1, groups=groups, test_groups=tested, known_ms=99)


def test_spans_that_end_before_they_start_are_refused():
    """A label without length is a mistake of the caller."""
    start = np.arange(20, dtype=np.int64)
    with pytest.raises(ValueError, match="label spans"):
        combinatorial(start, start, groups=4, test_groups=2, known_ms=99)
