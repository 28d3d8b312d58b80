"""The exchange's candle intervals: which bar holds a moment, and where each begins.

Bars of up to a day are whole multiples of their length since 1970, and so are the three-day ones;
weeks open on Monday, months on their first day, all at 00:00 UTC. Source: developers.binance.com,
"USDⓈ-M Futures / Common Definition / Kline intervals".
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.bars import TIMEFRAME_MS

MINUTE_MS = TIMEFRAME_MS["1m"]
DAY_MS = TIMEFRAME_MS["1d"]
COARSE = ("3d", "1w", "1M")
INTERVALS = (*TIMEFRAME_MS, *COARSE)
_MONDAY_MS = 4 * DAY_MS  # 1970-01-05
_GRID = {
    **{name: (step, 0) for name, step in TIMEFRAME_MS.items()},
    "3d": (3 * DAY_MS, 0),
    "1w": (7 * DAY_MS, _MONDAY_MS),
}


def numbers(interval: str, at_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the running number of the bar that holds each moment; neighbours differ by one."""
    if interval == "1M":
        return at_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    step, offset = _grid(interval)
    return (at_ms - offset) // step


def opens(interval: str, number: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the open time in ms of bars by their number."""
    if interval == "1M":
        return number.astype("datetime64[M]").astype("datetime64[ms]").astype(np.int64)
    step, offset = _grid(interval)
    return number * step + offset


def open_of(interval: str, at_ms: int, later: int = 0) -> int:
    """Return the open of the bar that holds `at_ms`, or of the one `later` bars after it."""
    if interval in TIMEFRAME_MS:
        step = TIMEFRAME_MS[interval]
        return (at_ms // step + later) * step
    return _one(opens(interval, numbers(interval, np.array([at_ms], np.int64)) + later))


def first_open(interval: str, from_ms: int) -> int:
    """Return the first open at or after `from_ms`."""
    return open_of(interval, from_ms - 1, 1)


def next_open(interval: str, open_ms: int) -> int:
    """Return where the bar that opens at `open_ms` is over and the next begins."""
    return open_of(interval, open_ms, 1)


def count(interval: str, start_ms: int, end_ms: int) -> int:
    """Return how many bars open in [start_ms, end_ms)."""
    ends = np.array([start_ms - 1, end_ms - 1], np.int64)
    return max(int(np.diff(numbers(interval, ends))[0]), 0)


def _grid(interval: str) -> tuple[int, int]:
    if interval not in _GRID:
        raise ValueError(f"interval: found {interval!r}, expected one of {list(INTERVALS)}")
    return _GRID[interval]


def _one(values: NDArray[Any]) -> int:
    return int(values[0])
