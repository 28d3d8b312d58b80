"""Spans of time, half-open and in milliseconds: what is wanted, what was read, what is missing."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]
"""(start, end): start <= time < end."""
Times = NDArray[np.int64]


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


def silences(times: Times, span: Span, longest_ms: int, edge_ms: int | None = None) -> list[Span]:
    """Return the parts of the span that lie between two times further apart than `longest_ms`.

    `times` ascend. From an end of the span to the next time at most `edge_ms` may pass, which is
    not more, and by default as long.
    """
    start, end = span
    pad = longest_ms - (longest_ms if edge_ms is None else edge_ms)
    among = times[(times >= start) & (times < end)]
    edges = np.concatenate(([start - 1 - pad], among, [end + pad]))
    long = np.flatnonzero(np.diff(edges) > longest_ms)
    found = zip((edges[long] + 1).tolist(), edges[long + 1].tolist(), strict=True)
    return within(found, start, end)
