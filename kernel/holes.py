"""Bars that follow missing ones, and for how long nothing is decided on them.

Features count bars as they exist, so after a hole they span more time than they say. The runner,
the training table and the backtest let the same bars out.
"""

import numpy as np
from numpy.typing import NDArray

DAY_MS = 86_400_000


def bars_let_out(lost_bars: int, warmup_bars: int, bar_ms: int, silent_bars: int) -> int:
    """Return how many bars after a hole it takes until one is decided again.

    A day, or as many as the hole had, up to the warm-up of what decides: by then nothing that it
    reads reaches over the hole. Up to `silent_bars` in a row are no hole: where nothing trades the
    exchange publishes no candle, so a history of this market never had them.
    """
    if lost_bars <= silent_bars:
        return 0
    return min(max(lost_bars, DAY_MS // bar_ms), warmup_bars)


def let_out(
    open_time_ms: NDArray[np.int64], bar_ms: int, warmup_bars: int, silent_bars: int
) -> NDArray[np.bool_]:
    """Return bool[n]: which bars, int64[n] ascending, follow a hole too closely to be decided."""
    out = np.zeros(len(open_time_ms), dtype=np.bool_)
    for row in np.flatnonzero(np.diff(open_time_ms) > bar_ms) + 1:
        lost_bars = int(open_time_ms[row] - open_time_ms[row - 1]) // bar_ms - 1
        wait_bars = bars_let_out(lost_bars, warmup_bars, bar_ms, silent_bars)
        decided_ms = open_time_ms[row] + (wait_bars - 1) * bar_ms
        out[row : np.searchsorted(open_time_ms, decided_ms)] = True
    return out


def run_ends(open_time_ms: NDArray[np.int64], bar_ms: int) -> NDArray[np.int64]:
    """Return int64[n]: for each bar the row after the last one that follows it without a hole."""
    n = len(open_time_ms)
    stops = np.append(np.flatnonzero(np.diff(open_time_ms) > bar_ms) + 1, n)
    return stops[np.searchsorted(stops, np.arange(n), side="right")]
