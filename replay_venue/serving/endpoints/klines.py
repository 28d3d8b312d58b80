"""Candles: klines, continuousKlines, markPriceKlines, indexPriceKlines."""

from collections.abc import Mapping

from replay_venue.serving import parameters, wire
from replay_venue.serving.parameters import RefusedError
from replay_venue.serving.venue import Price, ServedVenue

Query = Mapping[str, str]


def klines(venue: ServedVenue, query: Query) -> bytes:
    """Return candles; up to 1500, 500 by default."""
    symbol = parameters.symbol(query, venue.market.symbols)
    return _candles(venue, query, symbol, "last")


def continuous_klines(venue: ServedVenue, query: Query) -> bytes:
    """Return the candles of a pair's perpetual, the only contract traded here."""
    symbol = parameters.symbol(query, venue.market.symbols, "pair")
    if query.get("contractType") != "PERPETUAL":
        raise RefusedError(-1130, "Data sent for parameter 'contractType' is not valid.")
    return _candles(venue, query, symbol, "last")


def mark_price_klines(venue: ServedVenue, query: Query) -> bytes:
    """Return candles of the mark price, as of `klines` without volume."""
    symbol = parameters.symbol(query, venue.market.symbols)
    return _candles(venue, query, symbol, "mark")


def index_price_klines(venue: ServedVenue, query: Query) -> bytes:
    """Return candles of a pair's index price, as of `klines` without volume."""
    symbol = parameters.symbol(query, venue.market.symbols, "pair")
    return _candles(venue, query, symbol, "index")


def _candles(venue: ServedVenue, query: Query, symbol: str, price: Price) -> bytes:
    interval = parameters.interval(query)
    start_ms, end_ms = parameters.window(query)
    limit = parameters.limit(query, default=500, largest=1_500)
    bars = venue.klines(symbol, interval, start_ms, end_ms, limit, price)
    page = wire.kline_page if price == "last" else wire.price_kline_page
    return page(bars, interval)
