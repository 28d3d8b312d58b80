"""Spans of time, half-open and in milliseconds: what is wanted, what was read, what is missing."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]
"""(start, end): start <= time < end."""
Times = NDArray[np.int64]
AROUND = 10  # distances before and after one, to which it is compared
DUE_BETWEEN = 1.5
# stamps are some milliseconds off
DUE_BEFORE = 0.99
DUE_AFTER = 1.01


def union(spans: Iterable[Span], reach_ms: int = 0) -> list[Span]:
    """Return the spans in order, those that overlap or are at most `reach_ms` apart as one."""
    joined: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if joined and start <= joined[-1][1] + reach_ms:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def minus(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """Return what is in `spans` and not in `taken`."""
    left: list[Span] = []
    holes = union(taken)
    for start, end in union(spans):
        at = start
        for hole_start, hole_end in holes:
            if hole_end <= at or hole_start >= end:
                continue
            left.append((at, hole_start))
            at = hole_end
        left.append((at, end))
    return union(left)


def within(spans: Iterable[Span], start_ms: int, end_ms: int) -> list[Span]:
    """Return the parts of the spans from `start_ms` to `end_ms`."""
    return union((max(start, start_ms), min(end, end_ms)) for start, end in spans)


def common(spans: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """Return what is in both."""
    one = union(spans)
    return minus(one, minus(one, others))


def inside(times: Times, spans: Iterable[Span]) -> NDArray[np.bool_]:
    """Return which times, bool[n], lie in one of the spans."""
    found = np.zeros(len(times), dtype=np.bool_)
    for start, end in spans:
        found |= (times >= start) & (times < end)
    return found


def grid(spans: Iterable[Span], step_ms: int) -> Times:
    """Return the multiples of `step_ms` in the spans, ascending."""
    points = [
        np.arange(-(-start // step_ms) * step_ms, end, step_ms) for start, end in union(spans)
    ]
    return np.concatenate([*points, np.empty(0, np.int64)]).astype(np.int64)


def runs(points: Times, step_ms: int) -> list[Span]:
    """Return the spans that ascending grid points cover, each point with its step."""
    if not len(points):
        return []
    breaks = np.flatnonzero(np.diff(points) > step_ms) + 1
    first = points[np.concatenate(([0], breaks))]
    last = points[np.concatenate((breaks - 1, [len(points) - 1]))]
    return list(zip(first.tolist(), (last + step_ms).tolist(), strict=True))


def silences(times: Times, span: Span, step_ms: int, longest_ms: int) -> list[Span]:
    """Return the parts of the span, each between two of its times, in which another one was due.

    One is due after the shortest of the distances around, `step_ms` at least, and half as long
    again, or after `longest_ms` in any case; between an end of the span and the next time, after
    that distance. The rhythm may change over the years, and one beat too few does not hide another.
    """
    start, end = span
    among = times[(times >= start) & (times < end)]
    if not len(among):
        return [span] if end - start > longest_ms else []
    gaps = np.diff(among)
    usual = np.array([longest_ms])
    if len(gaps) > 1:
        around = np.pad(gaps, AROUND, mode="edge")
        usual = np.lib.stride_tricks.sliding_window_view(around, 2 * AROUND + 1).min(axis=1)
        usual = np.clip(usual, step_ms, longest_ms)
    long = np.flatnonzero(gaps > np.minimum(DUE_BETWEEN * usual, longest_ms))
    found = list(zip((among[long] + 1).tolist(), among[long + 1].tolist(), strict=True))
    if among[0] - start >= DUE_BEFORE * usual[0]:
        found.append((start, int(among[0])))
    if end - among[-1] > DUE_AFTER * usual[-1]:
        found.append((int(among[-1]) + 1, end))
    return union(found)
