"""Coarser bars from fine ones, and the rows of an append-only table that a moment could know."""

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars


def latest_known(
    event_time_ms: NDArray[np.int64], known_at_ms: NDArray[np.int64], t_ms: int
) -> NDArray[np.bool_]:
    """Return bool[n]: which row is the latest revision of its event known at `t_ms`.

    Rows are ordered by event and revision, and each revision of an event is known later than the
    one before, so those known are the first ones of the event.
    """
    chosen = known_at_ms <= t_ms
    chosen[:-1] &= ~(chosen[1:] & (event_time_ms[1:] == event_time_ms[:-1]))
    return chosen


def first_known(
    event_time_ms: NDArray[np.int64],
    known_at_ms: NDArray[np.int64],
    t_ms: int,
    *ids: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Return bool[n]: which row is the first revision of its event, if that was known at `t_ms`.

    Rows are ordered by event (of several at one time: by `ids`) and revision.
    """
    follows = np.zeros(len(event_time_ms), dtype=np.bool_)
    follows[1:] = event_time_ms[1:] == event_time_ms[:-1]
    for one in ids:
        follows[1:] &= one[1:] == one[:-1]
    return (known_at_ms <= t_ms) & ~follows


def ever_known(event_time_ms: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return bool[n]: whether this revision of an event, or one before it, has a value.

    Rows are ordered by event and revision. What is left out is an event without a value so far;
    what stays with NaN is a value that was withdrawn.
    """
    there = np.isfinite(value)
    # Number the values seen so far; an event has one if more were seen than before its first row.
    seen = np.cumsum(there)
    first = np.concatenate(([True], event_time_ms[1:] != event_time_ms[:-1]))[: len(value)]
    before = np.maximum.accumulate(np.where(first, seen - there, 0))
    return seen > before


def resample(bars: Bars, bar_ms: int, coarse_ms: int) -> Bars:
    """Return the bars of `coarse_ms` that are complete: one that misses a fine bar is absent.

    A coarse bar opens at a multiple of its length since 1970-01-01T00:00Z, as on every exchange,
    and is known at its close. High and low are NaN where a fine one is. Raises ValueError for fine
    bars that are off their grid or not ascending, and for a length that is no multiple of theirs.
    """
    if coarse_ms < bar_ms or coarse_ms % bar_ms:
        raise ValueError(
            f"resample: found bars of {coarse_ms} ms from bars of {bar_ms} ms, expected a multiple"
        )
    if not len(bars):
        return bars
    times = bars.open_time_ms
    _refuse_disorder(times, bar_ms)
    slot = times // coarse_ms
    starts = np.flatnonzero(np.concatenate(([True], slot[1:] != slot[:-1])))
    parts = coarse_ms // bar_ms
    whole = np.diff(starts, append=len(times)) == parts
    first = starts[whole]
    return Bars(
        times[first],
        bars.open[first],
        np.maximum.reduceat(bars.high, starts)[whole],
        np.minimum.reduceat(bars.low, starts)[whole],
        bars.close[first + parts - 1],
        np.add.reduceat(bars.volume, starts)[whole],
    )


def _refuse_disorder(times: NDArray[np.int64], bar_ms: int) -> None:
    late = np.flatnonzero(times[1:] <= times[:-1])
    if len(late):
        before = times[late[0]]
        after = times[late[0] + 1]
        raise ValueError(f"resample: found a bar at {after} after {before}, expected ascending")
    off = np.flatnonzero(times // bar_ms * bar_ms != times)
    if len(off):
        raise ValueError(
            f"resample: found a bar at {times[off[0]]}, expected a multiple of {bar_ms} ms"
        )


def joined(parts: list[Bars]) -> Bars:
    """Return bars that follow one another as one."""
    columns = ("open_time_ms", "open", "high", "low", "close", "volume")
    empty = Bars(np.empty(0, np.int64), *(np.empty(0) for _ in columns[1:]))
    if not parts:
        return empty
    return Bars(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))
