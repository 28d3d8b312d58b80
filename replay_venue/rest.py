"""Binance USDⓈ-M futures REST, the public market-data endpoints.

Source: developers.binance.com, "USDⓈ-M Futures / Market Data / REST API".
"""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request

from kernel.bars import TIMEFRAME_MS
from replay_venue import book, parameters, wire
from replay_venue.generator import FUNDING_MS
from replay_venue.parameters import RefusedError
from replay_venue.venue import BAR_MS, Venue
from replay_venue.weather import DAY_MS, MINUTE_MS
from replay_venue.wire import JsonObject, decimal

Query = Mapping[str, str]


def router(venue: Venue) -> APIRouter:
    """Return the endpoints over `venue`; every handler runs on the event loop."""
    routes = APIRouter()
    answers = {
        "/fapi/v1/ping": lambda _: {},
        "/fapi/v1/time": lambda _: {"serverTime": venue.clock.now_ms()},
        "/fapi/v1/exchangeInfo": lambda _: exchange_info(venue),
        "/fapi/v1/klines": lambda query: klines(venue, query),
        "/fapi/v1/fundingRate": lambda query: funding_rate(venue, query),
        "/fapi/v1/premiumIndex": lambda query: premium_index(venue, query),
        "/fapi/v1/openInterest": lambda query: open_interest(venue, query),
        "/futures/data/openInterestHist": lambda query: open_interest_history(venue, query),
        "/fapi/v1/depth": lambda query: depth(venue, query),
        "/fapi/v1/aggTrades": lambda query: aggregate_trades(venue, query),
        "/fapi/v1/ticker/24hr": lambda query: tickers(venue, query),
    }
    for path, answer in answers.items():
        _serve(routes, path, answer)
    return routes


def _serve(routes: APIRouter, path: str, answer: Any) -> None:
    async def handle(request: Request) -> Any:
        return wire.response(answer(request.query_params))

    routes.add_api_route(path, handle, methods=["GET"], name=path.rpartition("/")[2])


def exchange_info(venue: Venue) -> JsonObject:
    """Return the traded symbols with their filters."""
    symbols = [venue.market.instrument(symbol) for symbol in venue.market.symbols]
    weight = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
    return {
        "timezone": "UTC",
        "serverTime": venue.clock.now_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": [{**weight, "limit": 2_400}],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [wire.exchange_symbol(what, venue.history_start_ms) for what in symbols],
    }


def klines(venue: Venue, query: Query) -> list[list[Any]]:
    """Return candles; up to 1500, 500 by default."""
    symbol = parameters.symbol(query, venue.market.symbols)
    timeframe = parameters.timeframe(query)
    start_ms, end_ms = parameters.window(query)
    limit = parameters.limit(query, default=500, largest=1_500)
    return wire.kline_rows(venue.klines(symbol, timeframe, start_ms, end_ms, limit), timeframe)


def funding_rate(venue: Venue, query: Query) -> list[JsonObject]:
    """Return settled funding, ascending; up to 1000, 100 by default; of all if none is named."""
    symbols = (
        (parameters.symbol(query, venue.market.symbols),)
        if query.get("symbol")
        else venue.market.symbols
    )
    start_ms, end_ms = parameters.window(query)
    limit = parameters.limit(query, default=100, largest=1_000)
    rows = [row for symbol in symbols for row in _funding_rows(venue, symbol, start_ms, end_ms)]
    rows.sort(key=lambda row: row["fundingTime"])
    return rows[-limit:] if start_ms is None else rows[:limit]


def _funding_rows(
    venue: Venue, symbol: str, start_ms: int | None, end_ms: int | None
) -> list[JsonObject]:
    settled = venue.funding(symbol, start_ms, end_ms)
    return [
        {"symbol": symbol, "fundingTime": time_ms, "fundingRate": decimal(rate), "markPrice": ""}
        for time_ms, rate in zip(settled.time_ms.tolist(), settled.value.tolist(), strict=True)
    ]


def premium_index(venue: Venue, query: Query) -> JsonObject | list[JsonObject]:
    """Return mark price and the last funding rate, of one symbol or of all."""
    if query.get("symbol"):
        return _premium(venue, parameters.symbol(query, venue.market.symbols))
    return [_premium(venue, symbol) for symbol in venue.market.symbols]


def _premium(venue: Venue, symbol: str) -> JsonObject:
    now_ms = venue.clock.now_ms()
    settled = venue.funding(symbol, now_ms - 2 * FUNDING_MS, now_ms).value
    price = decimal(venue.last_price(symbol))
    return {
        "symbol": symbol,
        "markPrice": price,
        "indexPrice": price,
        "estimatedSettlePrice": price,
        "lastFundingRate": decimal(settled[-1]) if len(settled) else "",
        "interestRate": "0.00010000",
        "nextFundingTime": (now_ms // FUNDING_MS + 1) * FUNDING_MS,
        "time": now_ms,
    }


def open_interest(venue: Venue, query: Query) -> JsonObject:
    """Return the latest open interest."""
    symbol = parameters.symbol(query, venue.market.symbols)
    now_ms = venue.clock.now_ms()
    held = venue.open_interest(symbol, now_ms - DAY_MS, now_ms)
    if len(held.value) == 0:
        raise RefusedError(
            -4_108, "Symbol is on delivering or delivered or settling or closed or pre-trading."
        )
    return {
        "openInterest": decimal(held.value[-1]),
        "symbol": symbol,
        "time": int(held.time_ms[-1]),
    }


def open_interest_history(venue: Venue, query: Query) -> list[JsonObject]:
    """Return open interest by `period`, ascending; up to 500, 30 by default.

    The exchange keeps the last month only; this venue keeps all of it.
    """
    symbol = parameters.symbol(query, venue.market.symbols)
    period = parameters.timeframe(query, "period")
    period = period if TIMEFRAME_MS[period] >= BAR_MS else "15m"
    step = TIMEFRAME_MS[period]
    start_ms, end_ms = parameters.window(query)
    limit = parameters.limit(query, default=30, largest=500)
    until = venue.clock.now_ms() if end_ms is None else min(end_ms, venue.clock.now_ms())
    if start_ms is None:
        start_ms = until // step * step - (limit - 1) * step
    until = min(until, -(-start_ms // step) * step + (limit - 1) * step)
    held = venue.open_interest(symbol, start_ms, until)
    opens = venue.klines(symbol, period, start_ms, until, limit)
    price = dict(zip(opens.open_time_ms.tolist(), opens.open.tolist(), strict=True))
    return [
        {
            "symbol": symbol,
            "sumOpenInterest": decimal(value),
            "sumOpenInterestValue": decimal(round(value * price[time_ms], 8)),
            "timestamp": time_ms,
        }
        for time_ms, value in zip(held.time_ms.tolist(), held.value.tolist(), strict=True)
        if time_ms in price
    ]


def depth(venue: Venue, query: Query) -> JsonObject:
    """Return the order book; the levels are one of the exchange's few sizes."""
    symbol = parameters.symbol(query, venue.market.symbols)
    levels = parameters.limit(query, default=500, largest=1_000)
    if levels not in book.DEPTH_LIMITS:
        raise RefusedError(-4_021, f"'{levels}' is not valid depth limit.")
    price = venue.last_price(symbol)
    return book.depth(venue.market.instrument(symbol), price, levels, venue.clock.now_ms())


def aggregate_trades(venue: Venue, query: Query) -> list[JsonObject]:
    """Return trades of the minutes that are over; up to 1000, 500 by default."""
    symbol = parameters.symbol(query, venue.market.symbols)
    start_ms, end_ms = parameters.window(query)
    from_id = parameters.whole(query, "fromId")
    limit = parameters.limit(query, default=500, largest=1_000)
    now_ms = venue.clock.now_ms() // MINUTE_MS * MINUTE_MS
    end_ms = now_ms - 1 if end_ms is None else min(end_ms, now_ms - 1)
    if from_id is not None:
        start_ms = book.trade_minute_ms(from_id)
    span_ms = (limit // book.TRADES_A_MINUTE + 2) * MINUTE_MS
    first_ms = end_ms - span_ms if start_ms is None else start_ms
    first_ms = max(first_ms, venue.history_start_ms) // MINUTE_MS * MINUTE_MS
    stop_ms = end_ms + 1 if start_ms is None else min(end_ms + 1, first_ms + span_ms)
    whole = venue.market.bars(symbol, "1m", first_ms, max(stop_ms, first_ms))
    rows = [
        row
        for row in book.trades(venue.market.instrument(symbol), whole)
        if (start_ms or 0) <= row["T"] <= end_ms and row["a"] >= (from_id or 0)
    ]
    return rows[-limit:] if start_ms is None else rows[:limit]


def tickers(venue: Venue, query: Query) -> JsonObject | list[JsonObject]:
    """Return the last 24 hours, of one symbol or of all."""
    if query.get("symbol"):
        return _ticker(venue, parameters.symbol(query, venue.market.symbols))
    return [_ticker(venue, symbol) for symbol in venue.market.symbols]


def _ticker(venue: Venue, symbol: str) -> JsonObject:
    day = venue.klines(symbol, "15m", None, None, 96)
    if len(day) == 0:
        raise RefusedError(-1121, "Invalid symbol.")
    opened, last, volume = float(day.open[0]), float(day.close[-1]), float(day.volume.sum())
    turnover = float((day.volume * day.close).sum())
    return {
        "symbol": symbol,
        "priceChange": decimal(round(last - opened, 8)),
        "priceChangePercent": decimal(round(100.0 * (last / opened - 1.0), 3)),
        "weightedAvgPrice": decimal(round(turnover / volume if volume else last, 8)),
        "lastPrice": decimal(last),
        "lastQty": "0.001",
        "openPrice": decimal(opened),
        "highPrice": decimal(float(day.high.max())),
        "lowPrice": decimal(float(day.low.min())),
        "volume": decimal(round(volume, 3)),
        "quoteVolume": decimal(round(turnover, 4)),
        "openTime": int(day.open_time_ms[0]),
        "closeTime": venue.clock.now_ms(),
        "firstId": book.trade_id(int(day.open_time_ms[0])),
        "lastId": book.trade_id(venue.clock.now_ms()),
        "count": len(day),
    }
