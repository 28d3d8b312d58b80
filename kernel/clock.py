"""The grid that bars live on: UTC milliseconds, a bar known at its close."""

import numpy as np
from numpy.typing import NDArray

from kernel.bars import TIMEFRAME_MS


def bar_ms(timeframe: str) -> int:
    """Return the length of a timeframe in milliseconds.

    Raises ValueError for an unknown timeframe.
    """
    if timeframe not in TIMEFRAME_MS:
        raise ValueError(
            f"timeframe: found {timeframe!r}, expected one of {', '.join(TIMEFRAME_MS)}"
        )
    return TIMEFRAME_MS[timeframe]


def bar_open_ms(at_ms: int, bar_ms: int) -> int:
    """Return the open time of the bar that contains the instant `at_ms`."""
    return at_ms - at_ms % bar_ms


def close_time_ms(open_time_ms: int, bar_ms: int) -> int:
    """Return the instant at which the bar is known; it is the next bar's open."""
    return open_time_ms + bar_ms


def last_closed_open_ms(now_ms: int, bar_ms: int) -> int:
    """Return the open time of the newest bar that is known at `now_ms`."""
    return bar_open_ms(now_ms, bar_ms) - bar_ms


def grid_point_ms(stamp_ms: int, step_ms: int, jitter_ms: int) -> int:
    """Return the multiple of a step that a stamp is at most `jitter_ms` away from, else the stamp.

    Exchanges stamp a settlement some milliseconds after its hour: the hour says which one it is.
    """
    nearest_ms = (stamp_ms + step_ms // 2) // step_ms * step_ms
    return nearest_ms if abs(stamp_ms - nearest_ms) <= jitter_ms else stamp_ms


def expected_opens(start_ms: int, end_ms: int, bar_ms: int) -> NDArray[np.int64]:
    """Return the open times, int64, of every bar with start <= open and close <= end."""
    first = -(-start_ms // bar_ms) * bar_ms
    return np.arange(first, end_ms - bar_ms + 1, bar_ms, dtype=np.int64)


def missing_opens(
    open_time_ms: NDArray[np.int64], start_ms: int, end_ms: int, bar_ms: int
) -> NDArray[np.int64]:
    """Return the open times in [start, end) that the grid expects and `open_time_ms` lacks,
    ascending.
    """
    return np.setdiff1d(expected_opens(start_ms, end_ms, bar_ms), open_time_ms)
