"""Spans against sets of milliseconds: every operation means what its words say."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market_data.spans import (
    Span,
    common,
    grid,
    inside,
    minus,
    runs,
    silences,
    union,
    within,
)

TIME = st.integers(0, 60)
SPANS = st.lists(st.tuples(TIME, TIME), max_size=6)
TIMES = st.sets(TIME, max_size=20)


def members(spans: list[Span]) -> set[int]:
    """Return every millisecond in the spans."""
    return {at for start, end in spans for at in range(start, end)}


def ascending(times: set[int]) -> np.ndarray:
    return np.array(sorted(times), dtype=np.int64)


@given(SPANS, SPANS, TIME, TIME)
def test_spans_are_sets_of_moments(one: list[Span], other: list[Span], low: int, high: int):
    """Union, difference, intersection and clipping agree with sets; results are in order."""
    for found, expected in (
        (union(one), members(one)),
        (minus(one, other), members(one) - members(other)),
        (common(one, other), members(one) & members(other)),
        (within(one, low, high), members(one) & set(range(low, high))),
    ):
        assert members(found) == expected
        assert all(a[1] < b[0] for a, b in pairwise(found))


@given(SPANS, st.integers(0, 10))
def test_union_reaches_over_small_gaps(spans: list[Span], reach: int):
    """What is apart by at most the reach becomes one; nothing is lost."""
    found = union(spans, reach)
    assert members(found) >= members(spans)
    assert all(b[0] - a[1] > reach for a, b in pairwise(found))


@given(SPANS, st.integers(1, 7))
def test_grid_holds_every_multiple_once(spans: list[Span], step: int):
    """Grid points are the multiples of the step, and `runs` gives back what they cover."""
    points = grid(spans, step)
    assert points.tolist() == sorted(at for at in members(spans) if at % step == 0)
    covered = {at + k for at in points.tolist() for k in range(step)}
    assert members(runs(points, step)) == covered


@given(TIMES, SPANS)
def test_inside_marks_what_a_span_holds(times: set[int], spans: list[Span]):
    """A moment is marked when a span holds it."""
    held = inside(ascending(times), spans)
    assert ascending(times)[held].tolist() == sorted(times & members(spans))


@given(st.integers(0, 5), st.integers(2, 8), st.integers(3, 20), st.data())
def test_every_missing_beat_of_a_rhythm_lies_in_a_silence(
    start: int, beat: int, beats: int, data: st.DataObject
):
    """Rows come at a beat; wherever some are taken away, in the middle or at an end, is found."""
    whole = start + beat * 100 * np.arange(beats + 2)
    span = (int(whole[0]), int(whole[-1]) + beat * 100)
    gone = data.draw(st.sets(st.integers(0, beats + 1), max_size=beats // 3))
    left = np.delete(whole, sorted(gone))
    pairs_left = bool((np.diff(left) == beat * 100).any())
    found = silences(left, span, 100, beat * 250)
    assert inside(left, found).sum() == 0
    if pairs_left and len(left) > 2:
        assert inside(whole[sorted(gone)], found).all()
        assert bool(found) == bool(gone)


def test_rhythm_may_change():
    """Settlements every eight hours, later every four: only around the change is there a doubt."""
    times = np.concatenate((np.arange(0, 8_000, 80), np.arange(8_000, 12_000, 40)))
    found = silences(times, (0, 12_000), 10, 100)
    assert found
    assert min(start for start, _ in found) >= 8_000 - 11 * 80
    assert max(end for _, end in found) <= 8_000 + 11 * 40


def test_span_without_rows_is_silent_if_it_is_long():
    """Nothing is known of its rhythm: only the longest silence tells."""
    none = np.empty(0, np.int64)
    assert silences(none, (0, 100), 10, 50) == [(0, 100)]
    assert silences(none, (0, 50), 10, 50) == []
