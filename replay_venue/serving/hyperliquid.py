"""A stand-in for Hyperliquid under /hyperliquid: POST /info for markets, candles and funding.

Perpetuals only, and no spot pairs. Hyperliquid settles funding every hour; here the settlements are
the market's own, every eight hours.
Source: hyperliquid.gitbook.io, "For developers / API / Info endpoint".
"""

import json
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request

from kernel.bars import TIMEFRAME_MS
from replay_venue.market.instruments import Perpetual
from replay_venue.market.intervals import DAY_MS
from replay_venue.serving import wire
from replay_venue.serving.venue import ServedVenue
from replay_venue.serving.wire import JsonObject, decimal

MAX_CANDLES = 5_000
MAX_FUNDING = 500
USDC: JsonObject = {
    "name": "USDC",
    "szDecimals": 8,
    "weiDecimals": 8,
    "index": 0,
    "tokenId": "0x6d1e7cde53ba9467b783cb7c530ce054",
    "isCanonical": True,
    "evmContract": None,
    "fullName": None,
}
Asked = JsonObject


class RefusedByHyperliquidError(Exception):
    """A request Hyperliquid would refuse: HTTP 422, or 500 with null for what is not traded."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def router(venue: ServedVenue) -> APIRouter:
    """Return the endpoint over `venue`."""
    routes = APIRouter(prefix="/hyperliquid")
    answers: dict[str, Callable[[Asked], Any]] = {
        "exchangeStatus": lambda _: {"specialStatuses": None, "time": venue.clock.shown_ms()},
        "meta": lambda _: meta(venue),
        "metaAndAssetCtxs": lambda _: [meta(venue), _contexts(venue)],
        "spotMeta": lambda _: _spot_meta(),
        "spotMetaAndAssetCtxs": lambda _: [_spot_meta(), []],
        "perpDexs": lambda _: [None],
        "allMids": lambda _: {_coin(what): _price(venue, what) for what in _instruments(venue)},
        "candleSnapshot": lambda asked: candle_snapshot(venue, asked),
        "fundingHistory": lambda asked: funding_history(venue, asked),
    }

    @routes.post("/info")
    async def info(request: Request) -> Any:
        try:
            asked = _parsed(await request.body())
            answer = answers.get(asked.get("type", ""))
            if answer is None:
                raise _unreadable()
            return wire.response(answer(asked))
        except RefusedByHyperliquidError as error:
            body = None if error.status == 500 else error.message
            return wire.response(body, error.status)

    return routes


def meta(venue: ServedVenue) -> JsonObject:
    """Return the perpetuals traded."""
    universe = [
        {"name": _coin(what), "szDecimals": what.lot_decimals, "maxLeverage": 40}
        for what in _instruments(venue)
    ]
    return {"universe": universe, "collateralToken": 0}


def candle_snapshot(venue: ServedVenue, asked: Asked) -> list[JsonObject]:
    """Return candles that open in the window, ascending, the latest 5000 of them."""
    wanted = asked.get("req")
    if not isinstance(wanted, dict):
        raise _unreadable()
    what = _instrument(venue, wanted)
    timeframe = wanted.get("interval")
    if timeframe not in TIMEFRAME_MS:
        raise _unreadable()
    step = TIMEFRAME_MS[timeframe]
    now_ms = venue.clock.now_ms()
    start_ms = _whole(wanted, "startTime", None)
    end_ms = min(_whole(wanted, "endTime", now_ms), now_ms)
    start_ms = max(start_ms, end_ms // step * step - (MAX_CANDLES - 1) * step)
    bars = venue.klines(what.symbol, timeframe, start_ms, end_ms, MAX_CANDLES)
    return [
        {"t": row[0], "T": row[6], "s": _coin(what), "i": timeframe}
        | dict(zip("ohlcv", row[1:6], strict=True))
        | {"n": row[8]}
        for row in wire.kline_rows(bars, timeframe)
    ]


def funding_history(venue: ServedVenue, asked: Asked) -> list[JsonObject]:
    """Return the settlements of the window, ascending, the first 500 of them."""
    what = _instrument(venue, asked)
    end_ms = _whole(asked, "endTime", venue.clock.now_ms())
    settled = venue.funding(what.symbol, _whole(asked, "startTime", None), end_ms)
    return [
        {"coin": _coin(what), "fundingRate": decimal(rate), "premium": "0.0", "time": time_ms}
        for time_ms, rate in zip(
            settled.time_ms[:MAX_FUNDING].tolist(),
            settled.value[:MAX_FUNDING].tolist(),
            strict=True,
        )
    ]


def _contexts(venue: ServedVenue) -> list[JsonObject]:
    return [_context(venue, what) for what in _instruments(venue)]


def _context(venue: ServedVenue, what: Perpetual) -> JsonObject:
    now_ms = venue.clock.now_ms()
    price = _price(venue, what)
    settled = venue.funding(what.symbol, now_ms - DAY_MS, now_ms).value
    held = venue.open_interest(what.symbol, now_ms - DAY_MS, now_ms).value
    day = venue.klines(what.symbol, "15m", None, None, 96)
    return {
        "funding": decimal(settled[-1]) if len(settled) else "0.0",
        "openInterest": decimal(held[-1]) if len(held) else "0.0",
        "prevDayPx": decimal(day.open[0]) if len(day) else price,
        "dayNtlVlm": decimal(round(float((day.volume * day.close).sum()), 4)),
        "dayBaseVlm": decimal(round(float(day.volume.sum()), 4)),
        "premium": "0.0",
        "oraclePx": price,
        "markPx": price,
        "midPx": price,
        "impactPxs": [price, price],
    }


def _spot_meta() -> JsonObject:
    return {"tokens": [USDC], "universe": []}


def _instruments(venue: ServedVenue) -> list[Perpetual]:
    return [venue.market.instrument(symbol) for symbol in venue.market.symbols]


def _instrument(venue: ServedVenue, asked: Asked) -> Perpetual:
    for what in _instruments(venue):
        if _coin(what) == asked.get("coin"):
            return what
    raise RefusedByHyperliquidError("unknown coin", 500)


def _coin(what: Perpetual) -> str:
    return what.base


def _price(venue: ServedVenue, what: Perpetual) -> str:
    price = venue.last_price(what.symbol)
    return decimal(price if price == price else what.price)  # noqa: PLR0124  NaN before history


def _whole(asked: Asked, name: str, default: int | None) -> int:
    """Return a whole number up to 15 digits; one without default is needed."""
    value = asked.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**15:
        raise _unreadable()
    return value


def _parsed(body: bytes) -> Asked:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _unreadable() from error
    if not isinstance(asked, dict) or not isinstance(asked.get("type", ""), str):
        raise _unreadable()
    return asked


def _unreadable() -> RefusedByHyperliquidError:
    said = "Failed to deserialize the JSON body into the target type"
    return RefusedByHyperliquidError(said, 422)
