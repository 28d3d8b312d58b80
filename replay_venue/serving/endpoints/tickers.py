"""Tickers: the last 24 hours, the last price, the best of the book."""

from collections.abc import Mapping

import numpy as np

from replay_venue.serving import parameters
from replay_venue.serving.endpoints import trades
from replay_venue.serving.parameters import RefusedError
from replay_venue.serving.venue import ServedVenue
from replay_venue.serving.wire import JsonObject, decimal, kline_rows

Query = Mapping[str, str]


def day_tickers(venue: ServedVenue, query: Query) -> JsonObject | list[JsonObject]:
    """Return the last 24 hours, of one symbol or of all."""
    rows = [day(venue, symbol) for symbol in parameters.symbols(query, venue.market.symbols)]
    return rows[0] if query.get("symbol") else rows


def day(venue: ServedVenue, symbol: str) -> JsonObject:
    """Return the last 96 quarters of an hour, the running one among them."""
    bars = venue.klines(symbol, "15m", None, None, 96)
    if len(bars) == 0:
        raise RefusedError(-1121, "Invalid symbol.")
    opened = float(bars.open[0])
    last = float(bars.close[-1])
    volume = float(bars.volume.sum())
    turnover = float((bars.volume * bars.close).sum())
    start_ms = int(bars.open_time_ms[0])
    now_ms = venue.clock.now_ms()
    first = trades.earliest(venue, symbol, start_ms, now_ms, 1)
    latest = trades.latest(venue, symbol, now_ms, 1)
    return {
        "symbol": symbol,
        "priceChange": decimal(round(last - opened, 8)),
        "priceChangePercent": decimal(round(100.0 * (last / opened - 1.0), 3)),
        "weightedAvgPrice": decimal(round(turnover / volume if volume else last, 8)),
        "lastPrice": decimal(last),
        "lastQty": decimal(latest.quantity[-1]) if len(latest.quantity) else "0",
        "openPrice": decimal(opened),
        "highPrice": decimal(np.max(bars.high)),
        "lowPrice": decimal(np.min(bars.low)),
        "volume": decimal(round(volume, 3)),
        "quoteVolume": decimal(round(turnover, 4)),
        "openTime": start_ms,
        "closeTime": now_ms,
        "firstId": int(first.trade_id[0]) if len(first.trade_id) else -1,
        "lastId": int(latest.trade_id[-1]) if len(latest.trade_id) else -1,
        "count": sum(row[8] for row in kline_rows(bars, "15m")),
    }


def last_prices(venue: ServedVenue, query: Query) -> JsonObject | list[JsonObject]:
    """Return the last price, of one symbol or of all."""
    now_ms = venue.clock.shown_ms()
    rows = [
        {"symbol": symbol, "price": decimal(venue.last_price(symbol)), "time": now_ms}
        for symbol in parameters.symbols(query, venue.market.symbols)
    ]
    return rows[0] if query.get("symbol") else rows


def best_prices(venue: ServedVenue, query: Query) -> JsonObject | list[JsonObject]:
    """Return the best bid and ask, of one symbol or of all that have an order book."""
    symbols = parameters.symbols(query, venue.market.symbols)
    rows = [row for symbol in symbols if (row := _best(venue, symbol)) is not None]
    if not query.get("symbol"):
        return rows
    if not rows:
        raise RefusedError(*NO_BOOK)
    return rows[0]


NO_BOOK = (-4_108, "This market has no order book: its recording holds none.")


def _best(venue: ServedVenue, symbol: str) -> JsonObject | None:
    book = venue.book(symbol, venue.clock.now_ms())
    if book is None:
        return None
    return {
        "symbol": symbol,
        "bidPrice": decimal(book.bid_price[0]),
        "bidQty": decimal(book.bid_quantity[0]),
        "askPrice": decimal(book.ask_price[0]),
        "askQty": decimal(book.ask_quantity[0]),
        "time": book.time_ms,
        "lastUpdateId": book.update_id,
    }
