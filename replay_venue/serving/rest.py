"""Binance USDⓈ-M futures REST, the public market-data endpoints.

Source: developers.binance.com, "USDⓈ-M Futures / Market Data / REST API".
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from replay_venue.serving import wire
from replay_venue.serving.depth import Books
from replay_venue.serving.endpoints import depth, derivatives, klines, tickers, trades
from replay_venue.serving.venue import ServedVenue
from replay_venue.serving.wire import JsonObject

Query = Mapping[str, str]
ANSWERS: dict[str, Callable[[ServedVenue, Query], Any]] = {
    "/fapi/v1/klines": klines.klines,
    "/fapi/v1/continuousKlines": klines.continuous_klines,
    "/fapi/v1/markPriceKlines": klines.mark_price_klines,
    "/fapi/v1/indexPriceKlines": klines.index_price_klines,
    "/fapi/v1/fundingRate": derivatives.funding_rate,
    "/fapi/v1/fundingInfo": derivatives.funding_info,
    "/fapi/v1/premiumIndex": derivatives.premium_index,
    "/fapi/v1/openInterest": derivatives.open_interest,
    "/futures/data/openInterestHist": derivatives.open_interest_history,
    "/fapi/v1/aggTrades": trades.aggregate_trades,
    "/fapi/v1/trades": trades.recent_trades,
    "/fapi/v1/ticker/24hr": tickers.day_tickers,
    "/fapi/v1/ticker/price": tickers.last_prices,
    "/fapi/v2/ticker/price": tickers.last_prices,
    "/fapi/v1/ticker/bookTicker": tickers.best_prices,
}


def router(venue: ServedVenue, books: Books) -> APIRouter:
    """Return the endpoints over `venue`; every handler runs on the event loop."""
    routes = APIRouter()
    answers = {path: partial(answer, venue) for path, answer in ANSWERS.items()} | {
        "/fapi/v1/ping": lambda _: {},
        "/fapi/v1/time": lambda _: {"serverTime": venue.clock.shown_ms()},
        "/fapi/v1/exchangeInfo": lambda _: exchange_info(venue),
        "/fapi/v1/depth": partial(depth.depth, venue, books),
    }
    for path, answer in answers.items():
        _serve(routes, path, answer)
    return routes


def _serve(routes: APIRouter, path: str, answer: Callable[[Query], Any]) -> None:
    async def handle(request: Request) -> Any:
        return wire.response(answer(request.query_params))

    routes.add_api_route(path, handle, methods=["GET"], name=path.rpartition("/")[2])


def exchange_info(venue: ServedVenue) -> JsonObject:
    """Return the traded symbols with their filters."""
    symbols = [venue.market.instrument(symbol) for symbol in venue.market.symbols]
    weight = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
    return {
        "timezone": "UTC",
        "serverTime": venue.clock.shown_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": [{**weight, "limit": 2_400}],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [wire.exchange_symbol(what, venue.history_start_ms) for what in symbols],
    }
