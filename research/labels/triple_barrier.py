"""What would have paid: ATR-aware triple barrier labels, and the span of time each of them looks
at.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.compiled import compiled
from kernel.holes import run_ends
from research.settings import LabelSettings

SELL = 0
HOLD = 1
BUY = 2
UNRESOLVED_MS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Labels:
    """One label per bar t, for a decision at the close of t that fills at the open of t+1.

    `label` int8[n] is 0 SELL, 1 HOLD, 2 BUY, or -1 where the data end before it resolves, the ATR
    is missing, or a bar of its horizon is. `start_ms` int64[n] is the decision time; `end_ms`
    int64[n] the close of the bar that decided the label, or `UNRESOLVED_MS`, so that no training
    window ever admits an unresolved row. `valid` bool[n] is label >= 0.
    """

    label: NDArray[np.int8]
    start_ms: NDArray[np.int64]
    end_ms: NDArray[np.int64]
    valid: NDArray[np.bool_]


def triple_barrier(
    bars: Bars, atr: NDArray[np.float64], settings: LabelSettings, bar_ms: int
) -> Labels:
    """Return BUY or SELL where that trade would take profit first, HOLD where neither would within
    the horizon.

    Entry is the open of t+1; barriers are multiples of `atr` (price units, float64[n]) known at
    the close of t. As in the kernel's fills, a bar that touches both barriers of a trade stops it.
    If a take profit of both sides falls into one bar the order is unknown: HOLD. The label depends
    on the bars t+1 … t+horizon only. The horizon is time: a row with a hole in it has no label, not
    even where a barrier was touched before the hole, or only quick outcomes would be learned there.
    """
    if len(atr) != len(bars):
        raise ValueError(f"atr: found {len(atr)} values, expected one per bar: {len(bars)}")
    label = np.full(len(bars), -1, np.int8)
    last = np.full(len(bars), -1, np.int64)
    compiled(_label_all)(
        bars.open,
        bars.high,
        bars.low,
        np.ascontiguousarray(atr, np.float64),
        run_ends(bars.open_time_ms, bar_ms),
        settings.take_profit_atr,
        settings.stop_loss_atr,
        settings.horizon_bars,
        label,
        last,
    )
    valid = label >= 0
    end_ms = np.where(valid, bars.open_time_ms[last] + bar_ms, UNRESOLVED_MS)
    return Labels(label, bars.open_time_ms + bar_ms, end_ms, valid)


def _label_all(
    open_: NDArray[np.float64],
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    atr: NDArray[np.float64],
    run_end: NDArray[np.int64],
    take_profit_atr: float,
    stop_loss_atr: float,
    horizon: int,
    label: NDArray[np.int8],
    last: NDArray[np.int64],
) -> None:
    """Fill `label` and `last` (row of the deciding bar) for every row that resolves.

    `run_end` is, for each row, the first row after the next hole, or n.
    """
    n = len(open_)
    nearer = min(take_profit_atr, stop_loss_atr)
    for t in range(n - 1):
        if not atr[t] > 0.0:
            continue
        end = t + horizon
        if run_end[t] < n and end >= run_end[t]:
            continue
        entry = open_[t + 1]
        above_profit = entry + take_profit_atr * atr[t]
        below_stop = entry - stop_loss_atr * atr[t]
        below_profit = entry - take_profit_atr * atr[t]
        above_stop = entry + stop_loss_atr * atr[t]
        above = entry + nearer * atr[t]
        below = entry - nearer * atr[t]
        long_open = True
        short_open = True
        for k in range(t + 1, min(end + 1, n)):
            if high[k] < above and low[k] > below:
                continue
            long_wins = long_open and low[k] > below_stop and high[k] >= above_profit
            short_wins = short_open and high[k] < above_stop and low[k] <= below_profit
            long_open = long_open and low[k] > below_stop
            short_open = short_open and high[k] < above_stop
            if long_wins or short_wins or not (long_open or short_open):
                label[t] = 1 + long_wins - short_wins
                last[t] = k
                break
        if last[t] < 0 and end < n:
            label[t] = 1
            last[t] = end
