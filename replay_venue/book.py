"""An order book and trades around the candles: whole ticks and lots, the same whenever asked."""

import numpy as np

from kernel.bars import Bars
from replay_venue.instruments import Instrument
from replay_venue.weather import GENESIS_MS, MINUTE_MS
from replay_venue.wire import JsonObject, decimal

TRADES_A_MINUTE = 4
DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1_000)


def depth(what: Instrument, price: float, levels: int, now_ms: int) -> JsonObject:
    """Return a book of `levels` a side around `price`, one tick apart, deeper further away."""
    tick, lot = 10.0**what.tick_decimals, 10.0**what.lot_decimals
    best = int(np.rint(price * tick))
    minute = now_ms // MINUTE_MS
    lots = np.random.default_rng([minute, best]).exponential(what.volume * lot / 20.0, (2, levels))
    size = np.maximum(np.rint(lots * (1.0 + np.arange(levels) / 20.0)), 1.0) / lot
    asks = [[decimal((best + 1 + i) / tick), decimal(size[0, i])] for i in range(levels)]
    bids = [[decimal((best - i) / tick), decimal(size[1, i])] for i in range(min(levels, best - 1))]
    return {"lastUpdateId": now_ms, "E": now_ms, "T": now_ms, "bids": bids, "asks": asks}


def trades(what: Instrument, minutes: Bars) -> list[JsonObject]:
    """Return aggregate trades of whole minutes: four each, which make up the minute's candle."""
    lot = 10.0**what.lot_decimals
    rows: list[JsonObject] = []
    for open_ms, *candle in zip(
        *(getattr(minutes, name).tolist() for name in Bars.__slots__), strict=True
    ):
        open_, high, low, close, volume = candle
        prices = (open_, low, high, close) if close >= open_ else (open_, high, low, close)
        whole = int(np.rint(volume * lot))
        sizes = [whole // TRADES_A_MINUTE] * TRADES_A_MINUTE
        sizes[-1] += whole - sum(sizes)
        for number, (price, size) in enumerate(zip(prices, sizes, strict=True)):
            identity = trade_id(open_ms) + number
            rows.append(
                {
                    "a": identity,
                    "p": decimal(price),
                    "q": decimal(size / lot),
                    "nq": decimal(size / lot),
                    "f": identity,
                    "l": identity,
                    "T": open_ms + number * MINUTE_MS // TRADES_A_MINUTE,
                    "m": number > 0 and price < prices[number - 1],
                }
            )
    return rows


def trade_id(time_ms: int) -> int:
    """Return the id of the first trade of the minute that holds `time_ms`."""
    return max((time_ms - GENESIS_MS) // MINUTE_MS, 0) * TRADES_A_MINUTE


def trade_minute_ms(identity: int) -> int:
    """Return the minute of a trade by its id."""
    return GENESIS_MS + identity // TRADES_A_MINUTE * MINUTE_MS
