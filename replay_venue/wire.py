"""Market values in the exchange's own shapes; each decimal reads back as the same double."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.responses import Response

from kernel.bars import TIMEFRAME_MS, Bars
from replay_venue.instruments import Instrument

JsonObject = dict[str, Any]


def decimal(value: float) -> str:
    """Return the shortest plain decimal that reads back as exactly `value`."""
    text = repr(float(value))
    return text if "e" not in text else np.format_float_positional(value, trim="0")


@dataclass(frozen=True, slots=True)
class Flow:
    """What a candle says beyond its five numbers; derived from them, the same at any time."""

    quote: str
    trades: int
    taker_base: str
    taker_quote: str


def flow(open_: float, high: float, low: float, close: float, volume: float) -> Flow:
    """Return turnover, trade count and the takers' share, which leans with the candle."""
    typical = (high + low + close) / 3.0
    share = 0.5 + 0.25 * (close - open_) / (high - low) if high > low else 0.5
    return Flow(
        decimal(round(volume * typical, 4)),
        int(volume * typical / 2_000.0) + 1 if volume > 0 else 0,
        decimal(round(volume * share, 3)),
        decimal(round(volume * share * typical, 4)),
    )


def kline_rows(bars: Bars, timeframe: str) -> list[list[Any]]:
    """Return rows as of GET /fapi/v1/klines."""
    step = TIMEFRAME_MS[timeframe]
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    rows: list[list[Any]] = []
    for open_ms, *values in zip(
        bars.open_time_ms.tolist(), *(column.tolist() for column in columns), strict=True
    ):
        extra = flow(*values)
        shown = [decimal(value) for value in values]
        derived = (extra.quote, extra.trades, extra.taker_base, extra.taker_quote)
        rows.append([open_ms, *shown, open_ms + step - 1, *derived, "0"])
    return rows


def kline_event(
    bars: Bars, row: int, *, symbol: str, timeframe: str, closed: bool, now_ms: int
) -> JsonObject:
    """Return row `row` as an event of the stream <symbol>@kline_<timeframe>."""
    step = TIMEFRAME_MS[timeframe]
    open_ms, open_, high, low, close, volume, close_ms, *rest = kline_rows(
        bars.slice(row, row + 1), timeframe
    )[0]
    quote, trades, taker_base, taker_quote, ignored = rest
    first_id = open_ms // step * 100_000
    kline = {
        "t": open_ms,
        "T": close_ms,
        "s": symbol,
        "i": timeframe,
        "f": first_id if trades else -1,
        "L": first_id + trades - 1 if trades else -1,
        "o": open_,
        "c": close,
        "h": high,
        "l": low,
        "v": volume,
        "n": trades,
        "x": closed,
        "q": quote,
        "V": taker_base,
        "Q": taker_quote,
        "B": ignored,
    }
    return {"e": "kline", "E": now_ms, "s": symbol, "k": kline}


def exchange_symbol(what: Instrument, onboard_ms: int) -> JsonObject:
    """Return one entry of `symbols` in GET /fapi/v1/exchangeInfo."""
    tick = f"{10.0**-what.tick_decimals:.{what.tick_decimals}f}"
    lot = f"{10.0**-what.lot_decimals:.{what.lot_decimals}f}"
    return {
        "symbol": what.symbol,
        "pair": what.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": onboard_ms,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": what.base,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": what.tick_decimals,
        "quantityPrecision": what.lot_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": "20000000",
                "tickSize": tick,
            },
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "100000", "stepSize": lot},
            {"filterType": "MARKET_LOT_SIZE", "minQty": lot, "maxQty": "10000", "stepSize": lot},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.1500",
                "multiplierDown": "0.8500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def response(body: Any, status: int = 200) -> Response:
    """Return `body` as a compact JSON answer."""
    content = json.dumps(body, separators=(",", ":"), allow_nan=False)
    return Response(content, status, media_type="application/json")
