"""Which rows of a window are there and which are missing, up to the ingest's clock."""

from dataclasses import dataclass

import numpy as np

from market_data.spans import Span, Times, grid, runs
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.tables import Table
from market_data.window import Window

LATE_BARS = 2


@dataclass(frozen=True, slots=True)
class Coverage:
    """Say what one window holds of what is due in it, by event time.

    `due` is the span in which rows are due: from the symbol's first row ever, or the window's
    start, to what must have arrived by the clock. `expected` counts the grid points in it, 0 for a
    table of which only silence can be judged; `missing` are the spans without rows.
    """

    window: Window
    rows: int
    due: Span
    expected: int
    missing: tuple[Span, ...]

    @property
    def share(self) -> float:
        """Return the rows of the grid that are there, NaN where none is due."""
        if not self.expected:
            return float("nan")
        step = (self.due[1] - self.due[0]) / self.expected
        lost = sum(end - start for start, end in self.missing) / step
        return 1.0 - lost / self.expected


def coverage(
    lake: Lake, table: Table, window: Window, bar_ms: int, earliest_ms: int, clock_ms: int | None
) -> Coverage:
    """Return what is missing in the window.

    Of a dense table every grid point is due, the last two that closed before the clock excepted:
    one may still be under way, and the newest is not stored before a later one shows it is over.
    Of a table with a longest silence, longer ones are missing spans; the newest row may be as old
    as that and `earliest_ms`, after which it can be known. A window before the symbol's first row,
    or of a table that has none at all, misses nothing here. Without a clock nothing is due after
    the last row.
    """
    back_ms = table.longest_silence_ms
    start_ms = window.start_ms - back_ms
    frame = lake.as_of(table.name, window.symbol, FOREVER_MS, start_ms, window.end_ms)
    times = np.unique(frame["event_time_ms"].to_numpy(np.int64))
    inside = int((frame["event_time_ms"] >= window.start_ms).sum())
    first_ms = lake.first_event_ms(table.name, window.symbol)
    if first_ms is None or first_ms >= window.end_ms:
        return Coverage(window, inside, (window.start_ms, window.start_ms), 0, ())
    if table.dense:
        step = table.step(bar_ms)
        last_ms = _last_due_ms(times, clock_ms, step)
        due = (max(first_ms, window.start_ms), max(first_ms, min(window.end_ms, last_ms)))
        points = grid([due], step)
        missing = runs(np.setdiff1d(points, times), step)
        return Coverage(window, inside, due, len(points), tuple(missing))
    settled_ms = window.end_ms
    if clock_ms is not None:
        settled_ms = min(settled_ms, clock_ms - earliest_ms)
    due = (max(first_ms, window.start_ms), settled_ms)
    missing = _silences(times, first_ms, due, back_ms) if back_ms else []
    return Coverage(window, inside, due, 0, tuple(missing))


def _last_due_ms(times: Times, clock_ms: int | None, step: int) -> int:
    """Return the end of what must be there, or is."""
    after_last = int(times[-1]) + step if len(times) else 0
    if clock_ms is None:
        return after_last
    return max(after_last, clock_ms // step * step - LATE_BARS * step)


def _silences(times: Times, first_ms: int, due: Span, longest_ms: int) -> list[Span]:
    """Return the spans in `due` between neighbours that are further apart than `longest_ms`.

    Where no row lies within the longest silence before the window, the silence began before it.
    """
    start, end = due
    if not len(times) or times[0] > start:
        times = np.concatenate(([start if first_ms >= start else start - longest_ms - 1], times))
    edges = np.concatenate((times, [max(end, int(times[-1]))]))
    long = np.flatnonzero(np.diff(edges) > longest_ms)
    return [(max(start, int(edges[at])), int(edges[at + 1])) for at in long]
