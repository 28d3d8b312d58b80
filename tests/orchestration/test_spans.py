"""Spans against sets of milliseconds: every operation means what its words say."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchestration.resources.spans import (
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


@given(TIMES, st.tuples(st.integers(0, 30), st.integers(30, 60)), st.integers(1, 15), TIME)
def test_silences_lie_between_rows_that_are_too_far_apart(
    times: set[int], span: Span, longest: int, edge: int
):
    """A moment is in a silence exactly when its neighbours are further apart than allowed."""
    start, end = span
    edge = min(edge, longest)
    edges = [start - 1, *sorted(at for at in times if start <= at < end), end]
    expected: set[int] = set()
    for before, after in pairwise(edges):
        outer = (before == edges[0]) + (after == end)
        if after - before > longest - outer * (longest - edge):
            expected |= set(range(before + 1, after))
    assert members(silences(ascending(times), span, longest, edge)) == expected
