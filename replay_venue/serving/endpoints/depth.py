"""The order book's snapshot."""

from collections.abc import Mapping

from replay_venue.serving import parameters, wire
from replay_venue.serving.depth import Books
from replay_venue.serving.endpoints.tickers import NO_BOOK
from replay_venue.serving.parameters import RefusedError
from replay_venue.serving.venue import ServedVenue
from replay_venue.serving.wire import JsonObject

LIMITS = (5, 10, 20, 50, 100, 500, 1_000)
Query = Mapping[str, str]


def depth(venue: ServedVenue, books: Books, query: Query) -> JsonObject:
    """Return the order book; the levels are one of the exchange's few sizes, 500 by default.

    -4108 where the market has no book, as a recording without one.
    """
    symbol = parameters.symbol(query, venue.market.symbols)
    levels = parameters.limit(query, default=500, largest=1_000)
    if levels not in LIMITS:
        raise RefusedError(-4_021, f"'{levels}' is not valid depth limit.")
    book = books.shown(symbol)
    if book is None:
        raise RefusedError(*NO_BOOK)
    return {
        "lastUpdateId": book.update_id,
        "E": venue.clock.shown_ms(),
        "T": book.time_ms,
        "bids": wire.levels(book.bid_price[:levels], book.bid_quantity[:levels]),
        "asks": wire.levels(book.ask_price[:levels], book.ask_quantity[:levels]),
    }
