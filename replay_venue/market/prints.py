"""Aggregate trades inside the minutes: they make up each candle exactly, the same whenever asked.

How many depends on volume and range. Takers come in runs that lean with the minute's return, and a
price that moves up was taken by a buyer. A minute is a pure function of seed, symbol and time.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay_venue.market.instruments import Perpetual
from replay_venue.market.weather import MINUTE_MS

FEWEST = 4  # first, highest, lowest and last price of a minute
MOST = 1_000
_USUAL = 36.0  # a minute of usual volume and range, beside the fewest
_MOVES = 0.25  # share of trades at which the price may move


@dataclass(frozen=True, slots=True)
class Prints:
    """The trades of one minute, ascending: ms into it, price in ticks, lots, and the taker's side.

    int64[n] each; `side` is +1 where the taker bought.
    """

    offset_ms: NDArray[np.int64]
    ticks: NDArray[np.int64]
    lots: NDArray[np.int64]
    side: NDArray[np.int64]


def trade_counts(
    rng: np.random.Generator, what: Perpetual, minutes: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Return how many trades each minute has, int32[m], of `minutes` int32[m, 5].

    Beside the fewest it is Poisson, in proportion to volume and range against the instrument's
    usual; never more than there are lots.
    """
    lots = minutes[:, 4].astype(np.float64)
    usual_range = 0.0013 * what.volatility * minutes[:, 0]
    volume = lots / (what.volume * 10.0**what.lot_decimals)
    reach = (minutes[:, 1] - minutes[:, 2]) / np.maximum(usual_range, 1.0)
    drawn = FEWEST + rng.poisson(_USUAL * (0.7 * np.minimum(volume, 50.0) + 0.3 * reach))
    counts = np.minimum(np.minimum(drawn, MOST), lots)
    if len(counts) and counts.min() < FEWEST:
        raise ValueError(
            f"{what.symbol}: found a minute of {lots.min():.0f} lots, expected at least {FEWEST}"
        )
    return counts.astype(np.int32)


def minute_prints(
    seed: int, what: Perpetual, open_ms: int, candle: NDArray[np.int32], count: int
) -> Prints:
    """Return the `count` trades of the minute that opened at `open_ms`.

    `candle` int32[5] is open, high, low and close in ticks and volume in lots.
    """
    minute = open_ms // MINUTE_MS
    name = zlib.crc32(f"{what.symbol} prints".encode())
    rng = np.random.Generator(np.random.PCG64([seed, minute, name]))
    open_, high, low, close, volume = (int(value) for value in candle)
    ticks = _path(rng=rng, open_=open_, high=high, low=low, close=close, count=count)
    lean = (close - open_) / (high - low) if high > low else 0.0
    return Prints(
        np.sort(rng.integers(0, MINUTE_MS, count)),
        ticks,
        _lots(rng, volume, count),
        _sides(rng, np.diff(ticks, prepend=open_), 0.25 * lean),
    )


def _path(
    rng: np.random.Generator, open_: int, high: int, low: int, close: int, count: int
) -> NDArray[np.int64]:
    """Return prices that begin at `open_`, end at `close` and reach high and low, none further."""
    last = count - 1
    inside = 1 + rng.permutation(count - 2)[:2]
    anchors = {0: open_, last: close}
    extremes = zip(inside.tolist(), (high, low), strict=True)
    anchors |= {place: price for place, price in extremes if price not in (open_, close)}
    places = np.array(sorted(anchors))
    prices = np.array([anchors[place] for place in places.tolist()], np.float64)
    wander = np.cumsum(rng.standard_normal(count)) * 0.5 * (high - low) / count**0.5
    wander -= np.interp(np.arange(count), places, wander[places])
    path = np.interp(np.arange(count), places, prices) + wander
    moves = rng.random(count) < _MOVES
    moves[places] = True
    held = np.maximum.accumulate(np.where(moves, np.arange(count), 0))
    return np.clip(np.rint(path[held]), low, high).astype(np.int64)


def _sides(rng: np.random.Generator, moved: NDArray[np.int64], lean: float) -> NDArray[np.int64]:
    """Return the takers' sides: with the last move; at the minute's first price a drawn one.

    A price that stays is the same quote, and only one side takes it.
    """
    side = np.sign(moved)
    side[0] = 1 if rng.random() < 0.5 + lean else -1
    return side[np.maximum.accumulate(np.where(side != 0, np.arange(len(side)), 0))]


def _lots(rng: np.random.Generator, volume: int, count: int) -> NDArray[np.int64]:
    """Return whole lots of at least one that sum up to `volume`: a few large, many small."""
    weight = np.exp(1.3 * rng.standard_normal(count))
    lots = 1 + np.floor(weight / weight.sum() * (volume - count)).astype(np.int64)
    lots[weight.argmax()] += volume - lots.sum()
    return lots
