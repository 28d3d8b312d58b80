"""Which rows of a window are there and which are missing, up to the ingest's clock."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from market_data.quality.acceptance import accepted_spans
from market_data.spans import Span, Times, common, grid, minus, runs, within
from market_data.storage.lake import Lake
from market_data.tables import Table
from market_data.window import Window

LATE_BARS = 2


@dataclass(frozen=True, slots=True)
class Coverage:
    """Say what one window holds of what is due in it, by event time.

    `due` is the span in which rows are due: from the symbol's first row ever, or the window's
    start, to what must have arrived by the clock. `expected` counts the grid points in it, 0 for a
    table of which only silence can be judged, `present` those that are there. `missing` are the
    spans without rows that nobody has accepted, `accepted` those that a person has. `absent` says
    that the symbol has no row of the table at all although one was due.
    """

    window: Window
    rows: int
    due: Span
    expected: int
    present: int
    missing: tuple[Span, ...]
    accepted: tuple[Span, ...]
    absent: bool

    @property
    def share(self) -> float:
        """Return the rows of the grid that are there, NaN where none is due."""
        return self.present / self.expected if self.expected else float("nan")


def coverage(
    lake: Lake,
    table: Table,
    window: Window,
    bar_ms: int,
    earliest_ms: int,
    clock_ms: int | None,
    *,
    silent_bars: int = 0,
) -> Coverage:
    """Return what is missing in the window.

    Of a dense table every grid point is due, the last two that closed before the clock excepted:
    one may still be under way, and the newest is not stored before a later one shows it is over.
    Up to `silent_bars` points in a row may be left out by the source, where nothing traded.
    Of a table with a longest silence, longer ones are missing spans; the newest row may be as old
    as that and `earliest_ms`, after which it can be known. A window before the symbol's first row
    misses nothing; where there is no row at all, all that was due by the clock is missing. Without
    a clock nothing is due after the last row.
    """
    first_ms = lake.first_event_ms(table.name, window.symbol)
    if first_ms is None:
        return _without_rows(
            lake=lake,
            table=table,
            window=window,
            bar_ms=bar_ms,
            earliest_ms=earliest_ms,
            clock_ms=clock_ms,
        )
    if first_ms >= window.end_ms:
        return Coverage(
            window=window,
            rows=0,
            due=(window.start_ms, window.start_ms),
            expected=0,
            present=0,
            missing=(),
            accepted=(),
            absent=False,
        )
    back_ms = table.longest_silence_ms
    times = lake.event_times(table.name, window.symbol, window.start_ms - back_ms, window.end_ms)
    rows = int((times >= window.start_ms).sum())
    times = np.unique(times)
    expected = present = 0
    missing: list[Span] = []
    if table.dense:
        step = table.step(bar_ms)
        last_ms = _last_due_ms(times, clock_ms, step)
        due = (max(first_ms, window.start_ms), max(first_ms, min(window.end_ms, last_ms)))
        points = grid([due], step)
        lost = np.setdiff1d(points, times)
        expected = len(points)
        present = expected - len(lost)
        missing = longer(runs(lost, step), silent_bars * step)
    else:
        settled_ms = window.end_ms
        if clock_ms is not None:
            settled_ms = min(settled_ms, clock_ms - earliest_ms)
        due = (max(first_ms, window.start_ms), settled_ms)
        missing = _silences(times, first_ms, due, back_ms) if back_ms else []
    taken = accepted_spans(lake, table.name, window.symbol)
    return Coverage(
        window=window,
        rows=rows,
        due=due,
        expected=expected,
        present=present,
        missing=tuple(_unaccepted(missing, taken, back_ms)),
        accepted=tuple(common(missing, taken)),
        absent=False,
    )


def whole_history(lake: Lake, table: Table, windows: Sequence[Window], begin_ms: int) -> Window:
    """Return the window of one symbol from its first row, or `begin_ms`, to the end of `windows`.

    A month that no run was ever asked for is a hole in what is trained on like any other.
    """
    symbol = windows[0].symbol
    first_ms = lake.first_event_ms(table.name, symbol)
    earliest = min(window.start_ms for window in windows)
    start_ms = earliest if first_ms is None else min(earliest, max(first_ms, begin_ms))
    return Window(symbol, start_ms, max(window.end_ms for window in windows))


def longer(spans: Sequence[Span], length_ms: int) -> list[Span]:
    """Return the spans that are longer than a length."""
    return [(start, end) for start, end in spans if end - start > length_ms]


def _without_rows(
    lake: Lake,
    table: Table,
    window: Window,
    bar_ms: int,
    earliest_ms: int,
    clock_ms: int | None,
) -> Coverage:
    """Return a window of a table that has no row of the symbol: all of it is missing, once due."""
    slack_ms = LATE_BARS * table.step(bar_ms) if table.dense else table.longest_silence_ms
    until_ms = window.end_ms
    if clock_ms is not None:
        until_ms = min(until_ms, clock_ms - earliest_ms - slack_ms)
    due = (window.start_ms, max(window.start_ms, until_ms))
    judged = table.dense or table.longest_silence_ms > 0
    taken = accepted_spans(lake, table.name, window.symbol)
    missing = minus([due], taken) if judged else []
    return Coverage(
        window=window,
        rows=0,
        due=due,
        expected=len(grid([due], table.step(bar_ms))) if table.dense else 0,
        present=0,
        missing=tuple(missing),
        accepted=tuple(within(taken, *due)),
        absent=bool(missing),
    )


def _unaccepted(missing: Sequence[Span], taken: Sequence[Span], silence_ms: int) -> list[Span]:
    """Return what is left of the missing spans; a rest that is no longer too long is none."""
    return longer(minus(missing, taken), silence_ms)


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
