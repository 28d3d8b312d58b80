"""A stand-in for Coinbase under /coinbase: what its public spot candles need, and no more.

Prices are the index's, which is what spot trades at: they differ a little from the perpetual's.
Source: docs.cdp.coinbase.com, "Advanced Trade API / Public", and "Track APIs" for time and
currencies.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from fastapi import APIRouter, Request

from kernel.bars import TIMEFRAME_MS, Bars
from replay_venue.market.instruments import Perpetual
from replay_venue.serving import wire
from replay_venue.serving.venue import ServedVenue
from replay_venue.serving.wire import JsonObject

GRANULARITIES = {
    "ONE_MINUTE": "1m",
    "FIVE_MINUTE": "5m",
    "FIFTEEN_MINUTE": "15m",
    "THIRTY_MINUTE": "30m",
    "ONE_HOUR": "1h",
    "TWO_HOUR": "2h",
    "SIX_HOUR": "6h",
    "ONE_DAY": "1d",
}
QUOTES = ("USD", "USDT", "USDC")
MAX_CANDLES = 350
SPOT_SHARE = 0.2  # of the perpetual's volume: spot trades less

Query = Mapping[str, str]


class RefusedByCoinbaseError(Exception):
    """A request Coinbase would refuse: its error, its words and the HTTP status."""

    def __init__(self, error: str, message: str, status: int) -> None:
        super().__init__(message)
        self.body = {"error": error, "error_details": message, "message": message}
        self.status = status


def router(venue: ServedVenue) -> APIRouter:
    """Return the endpoints over `venue`."""
    routes = APIRouter(prefix="/coinbase")

    @routes.get("/v2/time")
    async def time() -> Any:
        now_ms = venue.clock.shown_ms()
        moment = datetime.fromtimestamp(now_ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return wire.response({"data": {"iso": moment, "epoch": now_ms // 1_000}})

    @routes.get("/v2/currencies")
    async def currencies() -> Any:
        return wire.response({"data": [{"id": "USD", "name": "US Dollar", "min_size": "0.01"}]})

    @routes.get("/v2/currencies/crypto")
    async def crypto() -> Any:
        return wire.response({"data": [_asset(code) for code in ("USDT", "USDC", *_bases(venue))]})

    @routes.get("/v2/exchange-rates")
    async def rates() -> Any:
        codes = ("USD", "USDT", "USDC", *_bases(venue))
        return wire.response({"data": {"currency": "USD", "rates": dict.fromkeys(codes, "1.0")}})

    @routes.get("/api/v3/brokerage/market/products")
    async def products(request: Request) -> Any:
        spot = request.query_params.get("product_type", "SPOT") == "SPOT"
        rows = _products(venue) if spot else []
        return wire.response({"products": rows, "num_products": len(rows)})

    @routes.get("/api/v3/brokerage/market/products/{product}/candles")
    async def product_candles(product: str, request: Request) -> Any:
        try:
            return wire.response({"candles": candles(venue, product, request.query_params)})
        except RefusedByCoinbaseError as error:
            return wire.response(error.body, error.status)

    return routes


def candles(venue: ServedVenue, product: str, query: Query) -> list[JsonObject]:
    """Return candles from `start` to `end`, seconds and both included, the latest first."""
    what = _traded(venue).get(product)
    if what is None:
        raise RefusedByCoinbaseError("NOT_FOUND", "ProductID is invalid", 404)
    timeframe = GRANULARITIES.get(query.get("granularity", ""))
    if timeframe is None:
        raise RefusedByCoinbaseError("INVALID_ARGUMENT", "granularity is invalid", 400)
    step = TIMEFRAME_MS[timeframe]
    start_ms = _time(query, "start")
    end_ms = _time(query, "end")
    if end_ms < start_ms or (end_ms - start_ms) // step > MAX_CANDLES:
        raise RefusedByCoinbaseError(
            "INVALID_ARGUMENT",
            f"number of candles requested should be less than {MAX_CANDLES}",
            400,
        )
    bars = _bars(venue, what, timeframe, start_ms, end_ms)
    names = ("open", "high", "low", "close", "volume")
    rows = [
        {"start": str(row[0] // 1_000)} | dict(zip(names, row[1:6], strict=True))
        for row in wire.kline_rows(bars, timeframe)
    ]
    return rows[::-1]


def _bars(venue: ServedVenue, what: Perpetual, timeframe: str, start_ms: int, end_ms: int) -> Bars:
    """Return the index's candles, the present one last, with a share of the perpetual's volume."""
    window = (what.symbol, timeframe, start_ms, end_ms, MAX_CANDLES + 1)
    index = venue.klines(*window, "index")
    traded = venue.klines(*window)
    by_open = dict(zip(traded.open_time_ms.tolist(), traded.volume.tolist(), strict=True))
    volume = [SPOT_SHARE * by_open.get(open_ms, 0.0) for open_ms in index.open_time_ms.tolist()]
    return replace(index, volume=np.round(np.array(volume, dtype=np.float64), what.lot_decimals))


def _products(venue: ServedVenue) -> list[JsonObject]:
    return [_product(name, what) for name, what in _traded(venue).items()]


def _product(name: str, what: Perpetual) -> JsonObject:
    lot = what.lot
    tick = what.tick
    base, _, quote = name.partition("-")
    return {
        "product_id": name,
        "price": "",
        "base_increment": lot,
        "quote_increment": tick,
        "price_increment": tick,
        "quote_min_size": "1",
        "quote_max_size": "150000000",
        "base_min_size": lot,
        "base_max_size": "3400000",
        "base_name": base,
        "quote_name": quote,
        "is_disabled": False,
        "status": "online",
        "trading_disabled": False,
        "product_type": "SPOT",
        "quote_currency_id": quote,
        "base_currency_id": base,
        "alias": "",
        "alias_to": [],
        "display_name": name,
        "product_venue": "CBE",
    }


def _traded(venue: ServedVenue) -> dict[str, Perpetual]:
    """Return the instruments by product: each base against each quote."""
    market = venue.market
    instruments = [market.instrument(symbol) for symbol in market.symbols]
    return {f"{what.base}-{quote}": what for what in instruments for quote in QUOTES}


def _bases(venue: ServedVenue) -> list[str]:
    return [venue.market.instrument(symbol).base for symbol in venue.market.symbols]


def _asset(code: str) -> JsonObject:
    return {"asset_id": code.lower(), "code": code, "name": code, "exponent": 8, "type": "crypto"}


def _time(query: Query, name: str) -> int:
    text = query.get(name, "")
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise RefusedByCoinbaseError("INVALID_ARGUMENT", f"{name} is not a UNIX timestamp", 400)
    return int(text) * 1_000
