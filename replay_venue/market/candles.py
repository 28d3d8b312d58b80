"""Candles of every interval from a market that knows the fine ones only."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kernel.bars import TIMEFRAME_MS, Bars
from replay_venue.market import intervals
from replay_venue.market.series import AggregateTrades

Read = Callable[[str, int, int], Bars]  # (timeframe, start_ms, end_ms) -> complete candles


def complete(read: Read, interval: str, start_ms: int, end_ms: int) -> Bars:
    """Return the candles that open in [start_ms, end_ms), all of which must be over.

    Candles coarser than a day are summed up from days, only where no day is missing.
    """
    if interval in TIMEFRAME_MS:
        return read(interval, start_ms, max(end_ms, start_ms))
    first, stop = (intervals.first_open(interval, at_ms) for at_ms in (start_ms, end_ms))
    days = read("1d", first, max(stop, first))
    number = intervals.numbers(interval, days.open_time_ms)
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    merged = _decimal(merge(days, starts))
    found = np.diff(np.append(starts, len(days)))
    number = number[starts]
    opens = intervals.opens(interval, number)
    days_long = (intervals.opens(interval, number + 1) - opens) // intervals.DAY_MS
    return select(merged, found == days_long)


def first(read: Read, interval: str, start_ms: int, end_ms: int, limit: int) -> Bars:
    """Return the first `limit` complete candles of a window; it is read no further than needed."""
    bars = limit
    while True:
        stop_ms = intervals.open_of(interval, start_ms, bars + 1)
        found = complete(read, interval, start_ms, min(stop_ms, end_ms))
        if len(found) >= limit or stop_ms >= end_ms:
            return found.slice(0, limit)
        bars *= 2


def merge(bars: Bars, starts: NDArray[np.int64]) -> Bars:
    """Return one candle per run of rows that begins at each of `starts`."""
    if len(starts) == 0:
        return bars.slice(0, 0)
    lasts = np.append(starts[1:], len(bars)) - 1
    return Bars(
        open_time_ms=bars.open_time_ms[starts],
        open=bars.open[starts],
        high=np.maximum.reduceat(bars.high, starts),
        low=np.minimum.reduceat(bars.low, starts),
        close=bars.close[lasts],
        volume=np.add.reduceat(bars.volume, starts),
    )


def whole(bars: Bars, open_ms: int) -> Bars:
    """Return all rows as the one candle that opened at `open_ms`: 0 or 1 rows."""
    one = _decimal(merge(bars, np.zeros(min(len(bars), 1), np.int64)))
    return Bars(np.full(len(one), open_ms, np.int64), *columns(one)[1:])


def flat(open_ms: int, price: float) -> Bars:
    """Return a candle in which nothing has happened yet; none where the price is unknown."""
    known = np.full(1, price)[~np.isnan([price])]
    opened = np.full(len(known), open_ms, np.int64)
    return Bars(
        open_time_ms=opened,
        open=known,
        high=known,
        low=known,
        close=known,
        volume=np.zeros(len(known)),
    )


def traded(bars: Bars, since: AggregateTrades) -> Bars:
    """Return the one candle of `bars` with the trades made since its last whole minute in it."""
    if len(bars) == 0 or len(since.price) == 0:
        return bars
    return Bars(
        open_time_ms=bars.open_time_ms,
        open=bars.open,
        high=np.maximum(bars.high, since.price.max()),
        low=np.minimum(bars.low, since.price.min()),
        close=since.price[-1:],
        volume=np.round(bars.volume + since.quantity.sum(), 8),
    )


def select(bars: Bars, rows: NDArray[np.bool_]) -> Bars:
    """Return the rows that `rows` marks."""
    return Bars(*(column[rows] for column in columns(bars)))


def columns(bars: Bars) -> list[NDArray]:
    """Return the columns in their order."""
    return [getattr(bars, name) for name in Bars.__slots__]


def _decimal(bars: Bars) -> Bars:
    """Return the bars with volumes of eight decimals: a sum of decimals is one."""
    return replace(bars, volume=np.round(bars.volume, 8))
