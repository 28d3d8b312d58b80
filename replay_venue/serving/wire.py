"""Market values in the exchange's own shapes; each decimal reads back as the same double."""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from kernel.bars import Bars
from replay_venue.market import intervals
from replay_venue.market.instruments import Perpetual
from replay_venue.market.series import AggregateTrades

JsonObject = dict[str, Any]


def decimal(value: float) -> str:
    """Return the shortest plain decimal that reads back as exactly `value`."""
    text = repr(float(value))
    return text if "e" not in text else np.format_float_positional(value, trim="0")


def decimals(values: NDArray[np.float64]) -> list[str]:
    """Return `decimal` of each value; a column at a time costs a third of one by one."""
    texts = list(map(repr, values.tolist()))
    return list(map(decimal, values.tolist())) if "e" in "".join(texts) else texts


def kline_rows(bars: Bars, interval: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows as of GET /fapi/v1/klines.

    Turnover, trade count and the takers' share, which leans with the candle, are derived from the
    candle's five numbers, so that they are the same at any time.
    """
    typical = (bars.high + bars.low + bars.close) / 3.0
    reach = bars.high - bars.low
    lean = np.divide(bars.close - bars.open, reach, out=np.zeros(len(bars)), where=reach > 0)
    taken = bars.volume * (0.5 + 0.25 * lean)
    quote = bars.volume * typical
    count = np.where(bars.volume > 0, (quote / 2_000.0).astype(np.int64) + 1, 0)
    return zip(
        bars.open_time_ms.tolist(),
        *(decimals(column) for column in (bars.open, bars.high, bars.low, bars.close, bars.volume)),
        close_times(bars, interval),
        decimals(np.round(quote, 4)),
        count.tolist(),
        decimals(np.round(taken, 3)),
        decimals(np.round(taken * typical, 4)),
        strict=True,
    )


def kline_page(bars: Bars, interval: str) -> bytes:
    """Return the rows of candles as JSON."""
    template = '[%d,"%s","%s","%s","%s","%s",%d,"%s",%d,"%s","%s","0"]'
    return _page(template % row for row in kline_rows(bars, interval))


def price_kline_page(bars: Bars, interval: str) -> bytes:
    """Return candles of a mark or index price as JSON: they have no volume."""
    rows = zip(
        bars.open_time_ms.tolist(),
        *(decimals(column) for column in (bars.open, bars.high, bars.low, bars.close)),
        close_times(bars, interval),
        strict=True,
    )
    template = '[%d,"%s","%s","%s","%s","0",%d,"0",60,"0","0","0"]'
    return _page(template % row for row in rows)


def close_times(bars: Bars, interval: str) -> list[int]:
    """Return the last millisecond of each candle."""
    number = intervals.numbers(interval, bars.open_time_ms)
    return (intervals.opens(interval, number + 1) - 1).tolist()


def kline_event(bars: Bars, *, symbol: str, interval: str, closed: bool, now_ms: int) -> JsonObject:
    """Return the one candle of `bars` as an event of the stream <symbol>@kline_<interval>."""
    open_ms, open_, high, low, close, volume, close_ms, quote, trades, taken, taken_quote = next(
        kline_rows(bars, interval)
    )
    first_id = open_ms // intervals.MINUTE_MS * 100_000
    kline = {
        "t": open_ms,
        "T": close_ms,
        "s": symbol,
        "i": interval,
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
        "V": taken,
        "Q": taken_quote,
        "B": "0",
    }
    return {"e": "kline", "E": now_ms, "s": symbol, "k": kline}


def trade_rows(trades: AggregateTrades) -> Iterator[tuple[int, str, str, int, str]]:
    """Yield id, price, quantity, time and whether the buyer was the maker, as JSON words."""
    return zip(
        trades.trade_id.tolist(),
        decimals(trades.price),
        decimals(trades.quantity),
        trades.time_ms.tolist(),
        np.where(trades.side < 0, "true", "false").tolist(),
        strict=True,
    )


def aggregate_page(trades: AggregateTrades) -> bytes:
    """Return trades as of GET /fapi/v1/aggTrades; each stands for one trade of the same id."""
    template = '{"a":%d,"p":"%s","q":"%s","nq":"%s","f":%d,"l":%d,"T":%d,"m":%s}'
    return _page(
        template % (number, price, quantity, quantity, number, number, time_ms, maker)
        for number, price, quantity, time_ms, maker in trade_rows(trades)
    )


def trade_page(trades: AggregateTrades) -> bytes:
    """Return trades as of GET /fapi/v1/trades."""
    turnover = decimals(np.round(trades.price * trades.quantity, 8))
    template = (
        '{"id":%d,"price":"%s","qty":"%s","quoteQty":"%s","time":%d,"isBuyerMaker":%s,'
        '"isRPITrade":false}'
    )
    return _page(
        template % (number, price, quantity, quote, time_ms, maker)
        for (number, price, quantity, time_ms, maker), quote in zip(
            trade_rows(trades), turnover, strict=True
        )
    )


def levels(price: NDArray[np.float64], quantity: NDArray[np.float64]) -> list[list[str]]:
    """Return one side of a book, best first."""
    return [list(pair) for pair in zip(decimals(price), decimals(quantity), strict=True)]


def exchange_symbol(what: Perpetual, onboard_ms: int) -> JsonObject:
    """Return one entry of `symbols` in GET /fapi/v1/exchangeInfo."""
    tick = what.tick
    lot = what.lot
    # A coin of a hundred thousandth of a dollar is ordered by the billion.
    most = 10.0 ** max(5, 6 - math.floor(math.log10(what.price)))
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
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": f"{most:.0f}", "stepSize": lot},
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": lot,
                "maxQty": f"{most / 10.0:.0f}",
                "stepSize": lot,
            },
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
    """Return `body`, JSON already if it is bytes, as a compact JSON answer."""
    content = body if isinstance(body, bytes) else encoded(body)
    return Response(content, status, media_type="application/json")


def encoded(body: Any) -> bytes:
    """Return compact JSON; ValueError for a number that is none."""
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def _page(rows: Iterator[str]) -> bytes:
    return f"[{','.join(rows)}]".encode()
