"""Events of the streams in the exchange's shapes, as JSON.

Source: developers.binance.com, "USDⓈ-M Futures / WebSocket Market Streams". `E` is the time that
the venue states.
"""

from replay_venue.market.series import AggregateTrades, Book
from replay_venue.serving import wire
from replay_venue.serving.depth import Change, Update
from replay_venue.serving.endpoints import derivatives, tickers
from replay_venue.serving.venue import ServedVenue
from replay_venue.serving.wire import JsonObject, decimal

_MINI = {
    "c": "lastPrice",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "q": "quoteVolume",
}
_TICKER = _MINI | {
    "p": "priceChange",
    "P": "priceChangePercent",
    "w": "weightedAvgPrice",
    "Q": "lastQty",
    "O": "openTime",
    "C": "closeTime",
    "F": "firstId",
    "L": "lastId",
    "n": "count",
}


def trades(venue: ServedVenue, symbol: str, found: AggregateTrades, kind: str) -> list[bytes]:
    """Return one event per trade, of the stream `aggTrade` or `trade`."""
    head = f'{{"e":"{kind}","E":{venue.clock.shown_ms()},"s":"{symbol}",'
    if kind == "trade":
        template = head + '"t":%d,"p":"%s","q":"%s","T":%d,"m":%s,"X":"MARKET"}'
        return [(template % row).encode() for row in wire.trade_rows(found)]
    template = head + '"a":%d,"p":"%s","q":"%s","nq":"%s","f":%d,"l":%d,"T":%d,"m":%s}'
    return [
        (template % (number, price, quantity, quantity, number, number, time_ms, maker)).encode()
        for number, price, quantity, time_ms, maker in wire.trade_rows(found)
    ]


def depth_update(venue: ServedVenue, symbol: str, update: Update) -> bytes:
    """Return a `depthUpdate`.

    `U` is `pu`, the state the event begins at, so that a snapshot of that very state is bridged by
    U <= lastUpdateId <= u as well as one taken on the way.
    """
    return wire.encoded(
        {
            **_depth(venue, symbol, update.after),
            "U": update.before_id,
            "u": update.after.update_id,
            "pu": update.before_id,
            "b": _levels(update.bids),
            "a": _levels(update.asks),
        }
    )


def partial_depth(venue: ServedVenue, symbol: str, book: Book, levels: int) -> bytes:
    """Return the best `levels` of the book."""
    return wire.encoded(
        {
            **_depth(venue, symbol, book),
            "U": book.update_id,
            "u": book.update_id,
            "pu": book.update_id - 1,
            "b": wire.levels(book.bid_price[:levels], book.bid_quantity[:levels]),
            "a": wire.levels(book.ask_price[:levels], book.ask_quantity[:levels]),
        }
    )


def book_ticker(venue: ServedVenue, symbol: str, book: Book) -> bytes:
    """Return the best bid and ask."""
    return wire.encoded(
        {
            "e": "bookTicker",
            "u": book.update_id,
            "E": venue.clock.shown_ms(),
            "T": book.time_ms,
            "s": symbol,
            "b": decimal(book.bid_price[0]),
            "B": decimal(book.bid_quantity[0]),
            "a": decimal(book.ask_price[0]),
            "A": decimal(book.ask_quantity[0]),
        }
    )


def mark_price(venue: ServedVenue, symbol: str) -> bytes:
    """Return mark price, index price and funding, as premiumIndex has them."""
    row = derivatives.premium(venue, symbol)
    return wire.encoded(
        {
            "e": "markPriceUpdate",
            "E": row["time"],
            "s": symbol,
            "p": row["markPrice"],
            "i": row["indexPrice"],
            "P": row["estimatedSettlePrice"],
            "r": row["lastFundingRate"],
            "T": row["nextFundingTime"],
        }
    )


def ticker(venue: ServedVenue, symbol: str, kind: str) -> bytes:
    """Return the last 24 hours, as ticker/24hr has them, in full or as a `miniTicker`."""
    row = tickers.day(venue, symbol)
    event, names = ("24hrTicker", _TICKER) if kind == "ticker" else ("24hrMiniTicker", _MINI)
    head = {"e": event, "E": venue.clock.shown_ms(), "s": symbol}
    return wire.encoded(head | {short: row[name] for short, name in names.items()})


def kline(
    venue: ServedVenue, symbol: str, interval: str, *, open_ms: int, closed: bool
) -> bytes | None:
    """Return the candle that opened at `open_ms`, over or still running; None if there is none."""
    if closed:
        bar = venue.closed_bar(symbol, interval, open_ms)
    else:
        bar = venue.running_bar(symbol, interval)
    if len(bar) == 0 or int(bar.open_time_ms[0]) != open_ms:
        return None
    now_ms = venue.clock.shown_ms()
    return wire.encoded(
        wire.kline_event(bar, symbol=symbol, interval=interval, closed=closed, now_ms=now_ms)
    )


def _depth(venue: ServedVenue, symbol: str, book: Book) -> JsonObject:
    return {"e": "depthUpdate", "E": venue.clock.shown_ms(), "T": book.time_ms, "s": symbol}


def _levels(changes: list[Change]) -> list[list[str]]:
    return [[decimal(price), decimal(quantity) if quantity else "0"] for price, quantity in changes]
