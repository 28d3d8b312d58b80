"""The order book at a moment: whole ticks and lots, the same whenever that moment is asked for.

It stands around the last trade: after a buyer took, that price is the best ask. Each price level
keeps its quantity for its own while, between 1.6 and 102 seconds, so that little changes from one
step to the next. Depth falls and the spread grows with volatility. The ten best levels a side carry
an imbalance that is redrawn every second and leans with what comes next.
"""

import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay_venue.market.instruments import Perpetual
from replay_venue.market.series import Book
from replay_venue.market.weather import BAR_VOLATILITY

STEP_MS = 100
IMBALANCED_LEVELS = 10
LEAN = 0.25  # of the imbalance, on the side to which the price moves within the second
_TILT = 0.5  # log quantity of a side per unit of imbalance
_SHORTEST_LIFE = 16  # of a level's quantity, in steps; the longest is 64 times as long
_EMPTY = 0.12  # share of levels without an order
_SPREAD = {"BTCUSDT": 5e-7, "ETHUSDT": 1e-6}
_SPREAD_ELSEWHERE = 2e-5  # of the price, beside one tick, on average
_GAP = 3e-6  # between levels, of the price at genesis


@dataclass(frozen=True, slots=True)
class Moment:
    """What a book stands on.

    `ticks` and `side` are of the last trade. `volatility` is that of this 15m bar and, before
    `bar_open_ms`, `volatility_before`. `next_side` is the side on which the price is a second
    later, 0 where it is the same; `told` is what the book's planted edge makes of the return of the
    next 15 minutes, in standard deviations.
    """

    at_ms: int
    ticks: int
    side: int
    bar_open_ms: int
    volatility: float
    volatility_before: float
    next_side: int
    told: float
    told_share: float


def order_book(seed: int, what: Perpetual, moment: Moment, levels: int) -> Book:
    """Return the book of `levels` a side at a moment on the grid of `STEP_MS`."""
    step = moment.at_ms // STEP_MS
    salt = np.uint64(zlib.crc32(f"{seed} {what.symbol} book".encode()))
    spread = _spread_ticks(what, moment, step, salt)
    best = (moment.ticks - spread, moment.ticks)
    if moment.side < 0:
        best = (moment.ticks, moment.ticks + spread)
    lean = _TILT * _imbalance(moment, step, salt)
    tick = 10.0**what.tick_decimals
    lot = 10.0**what.lot_decimals
    sides: list[NDArray[np.float64]] = []
    for down, first in zip((True, False), best, strict=True):
        ticks = _prices(what, first, levels, down)
        lots = _lots(what, moment, step, ticks, salt + np.uint64(down))
        lots[0] = max(lots[0], 1.0)
        held = np.flatnonzero(lots > 0)[:levels]
        shown = lots[held]
        top = slice(0, IMBALANCED_LEVELS)
        shown[top] = np.maximum(np.rint(shown[top] * math.exp(lean if down else -lean)), 1.0)
        sides += [ticks[held] / tick, shown / lot]
    return Book(moment.at_ms, step, *sides)


def _prices(what: Perpetual, best: int, levels: int, down: bool) -> NDArray[np.int64]:
    """Return the prices in ticks at which orders may stand, best first, more than `levels`."""
    gap = max(round(what.price * _GAP * 10.0**what.tick_decimals), 1)
    count = int(levels * 1.25) + 16
    if down:
        ticks = ((best - 1) // gap - np.arange(count)) * gap
    else:
        ticks = (best // gap + 1 + np.arange(count)) * gap
    return np.concatenate([[best], ticks[ticks > 0]])


def _lots(
    what: Perpetual, moment: Moment, step: int, ticks: NDArray[np.int64], salt: np.uint64
) -> NDArray[np.float64]:
    """Return whole lots at each price, 0 where no order stands."""
    own = _hash(ticks.astype(np.uint64), salt)
    life = _SHORTEST_LIFE << (own & np.uint64(7)).astype(np.int64).clip(0, 6)
    phase = (own >> np.uint64(8)).astype(np.int64) & 0xFFFF
    number = (step + phase) // life
    drawn = _hash(own + number.astype(np.uint64), salt)
    began_ms = (number * life - phase) * STEP_MS
    volatility = np.where(
        began_ms >= moment.bar_open_ms, moment.volatility, moment.volatility_before
    )
    calm = (BAR_VOLATILITY * what.volatility / volatility) ** 0.7
    away = np.log2(1.0 + np.arange(len(ticks))).astype(np.int64)
    usual = what.volume * 10.0**what.lot_decimals / 20.0 * (0.3 + 0.1 * away) * calm
    lots = np.ceil(-np.log(_share(drawn)) * usual)
    lots[_share(_hash(drawn, salt)) < _EMPTY] = 0.0
    return lots


def _spread_ticks(what: Perpetual, moment: Moment, step: int, salt: np.uint64) -> int:
    drawn = float(_share(_hash(np.array([step // 10], np.uint64), salt + np.uint64(2)))[0])
    nervous = (moment.volatility / (BAR_VOLATILITY * what.volatility)) ** 1.5
    usual = _SPREAD.get(what.symbol, _SPREAD_ELSEWHERE) * moment.ticks * nervous
    return min(1 + int(-math.log(drawn) * usual), max(moment.ticks - 1, 1))


def _imbalance(moment: Moment, step: int, salt: np.uint64) -> float:
    """Return the imbalance of this second, of about unit variance."""
    seconds = np.array([step // 10, step // 10 + (1 << 40), step // 100], np.uint64)
    first, second, slow = _share(_hash(seconds, salt + np.uint64(3))).tolist()
    fast = math.sqrt(-2.0 * math.log(first)) * math.cos(2.0 * math.pi * second)
    slow = (slow - 0.5) * math.sqrt(12.0)
    noise = 0.8 * fast + 0.6 * slow
    told = moment.told_share
    return math.sqrt(1.0 - told**2) * noise + told * moment.told + LEAN * moment.next_side


def _hash(values: NDArray[np.uint64], salt: np.uint64) -> NDArray[np.uint64]:
    """Return 64 mixed bits for each value. Source: Steele et al. 2014, SplitMix64."""
    mixed = values * np.uint64(0x9E3779B97F4A7C15) + np.uint64(
        int(salt) * 0xD1B54A32D192ED03 % 2**64
    )
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _share(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return floats above 0 and below 1."""
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
