"""Trades: aggTrades by time or by id, and the most recent ones."""

import sys
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from replay_venue.market.intervals import MINUTE_MS
from replay_venue.market.series import AggregateTrades
from replay_venue.serving import parameters, wire
from replay_venue.serving.parameters import RefusedError
from replay_venue.serving.venue import ServedVenue

HOUR_MS = 60 * MINUTE_MS
Query = Mapping[str, str]


def aggregate_trades(venue: ServedVenue, query: Query) -> bytes:
    """Return aggregate trades, ascending; up to 1000, 500 by default.

    From `fromId` on, or from `startTime` on, else the latest, until `endTime`. Source:
    developers.binance.com, "Compressed/Aggregate Trades List".
    """
    symbol = parameters.symbol(query, venue.market.symbols)
    start_ms, end_ms = parameters.window(query)
    from_id = parameters.whole(query, "fromId")
    limit = parameters.limit(query, default=500, largest=1_000)
    if start_ms is not None and end_ms is not None and end_ms - start_ms > HOUR_MS:
        raise RefusedError(
            -1127,
            "Lookup interval is too big. More than 1 hours between startTime and endTime.",
        )
    until_ms = venue.clock.now_ms() if end_ms is None else end_ms
    if from_id is not None:
        found = from_identity(venue, symbol, from_id, until_ms, limit)
    elif start_ms is not None:
        found = earliest(venue, symbol, start_ms, until_ms, limit)
    else:
        found = latest(venue, symbol, until_ms, limit)
    return wire.aggregate_page(found)


def recent_trades(venue: ServedVenue, query: Query) -> bytes:
    """Return the latest trades, ascending; up to 1000, 500 by default."""
    symbol = parameters.symbol(query, venue.market.symbols)
    limit = parameters.limit(query, default=500, largest=1_000)
    return wire.trade_page(latest(venue, symbol, venue.clock.now_ms(), limit))


def earliest(
    venue: ServedVenue, symbol: str, start_ms: int, end_ms: int, limit: int
) -> AggregateTrades:
    """Return the first `limit` trades of a window; no more than needed is read."""
    start_ms = max(start_ms, venue.history_start_ms)
    end_ms = min(end_ms, venue.clock.now_ms())
    span_ms = MINUTE_MS
    while True:
        found = venue.trades(symbol, start_ms, min(start_ms + span_ms, end_ms))
        if len(found.time_ms) >= limit or start_ms + span_ms >= end_ms:
            return cut(found, slice(0, limit))
        span_ms *= 4


def latest(venue: ServedVenue, symbol: str, end_ms: int, limit: int) -> AggregateTrades:
    """Return the last `limit` trades until `end_ms`."""
    end_ms = min(end_ms, venue.clock.now_ms())
    span_ms = MINUTE_MS
    while True:
        found = venue.trades(symbol, end_ms - span_ms, end_ms)
        if len(found.time_ms) >= limit or end_ms - span_ms <= venue.history_start_ms:
            return cut(found, slice(max(len(found.time_ms) - limit, 0), None))
        span_ms *= 4


def from_identity(
    venue: ServedVenue, symbol: str, from_id: int, end_ms: int, limit: int
) -> AggregateTrades:
    """Return `limit` trades from the id on; ids ascend, so the minute is found by bisection."""
    first_ms = venue.history_start_ms
    now_ms = venue.clock.now_ms()

    def first_id(minute: int) -> int:
        found = earliest(venue, symbol, first_ms + minute * MINUTE_MS, now_ms, 1)
        return int(found.trade_id[0]) if len(found.trade_id) else sys.maxsize

    minutes = range((now_ms - first_ms) // MINUTE_MS + 1)
    minute = max(bisect_right(minutes, from_id, key=first_id) - 1, 0)
    start_ms = first_ms + minute * MINUTE_MS
    before = cut(venue.trades(symbol, start_ms, start_ms + MINUTE_MS - 1), slice(None))
    skipped = int(np.searchsorted(before.trade_id, from_id))
    found = earliest(venue, symbol, start_ms, end_ms, limit + skipped)
    return cut(found, slice(skipped, None))


def cut(trades: AggregateTrades, rows: slice) -> AggregateTrades:
    """Return some rows."""
    return AggregateTrades(*(_column(trades, field.name)[rows] for field in fields(trades)))


def _column(trades: AggregateTrades, name: str) -> NDArray:
    return getattr(trades, name)
