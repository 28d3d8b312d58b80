"""A market that is a plain formula of time: what a venue must answer can be worked out by hand."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kernel.bars import TIMEFRAME_MS, Bars
from kernel.onchain_metrics import METRICS
from replay_venue.market.instruments import Perpetual, instrument
from replay_venue.market.series import AggregateTrades, Book, OnChain, Points

MINUTE_MS = 60_000
DAY_MS = 86_400_000
BOOK_MS = 100  # the book moves so often
TICK, LOT = 10.0, 1_000.0


@dataclass(frozen=True)
class Clockwork:
    """Four trades a minute that make up its candle, a book that moves every 100 ms.

    `missing` are days without candles; `bookless` is a recording without an order book.
    """

    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
    missing: frozenset[int] = field(default_factory=frozenset)
    bookless: bool = False

    def instrument(self, symbol: str) -> Perpetual:
        return instrument(symbol)

    def bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        step = TIMEFRAME_MS[timeframe]
        opens = np.arange(-(-start_ms // step) * step, end_ms, step, dtype=np.int64)
        opens = opens[~np.isin(opens // DAY_MS * DAY_MS, list(self.missing))]
        minutes = opens[:, None] + np.arange(0, step, MINUTE_MS)
        return _candles(opens, _closes(symbol, minutes - MINUTE_MS), _closes(symbol, minutes))

    def running_bar(self, symbol: str, timeframe: str, open_ms: int, now_ms: int) -> Bars:
        opens = np.array([open_ms])
        if now_ms < open_ms + MINUTE_MS:
            price = _closes(symbol, opens - MINUTE_MS)
            return Bars(
                open_time_ms=opens,
                open=price,
                high=price,
                low=price,
                close=price,
                volume=np.zeros(1),
            )
        minutes = np.arange(open_ms, now_ms - MINUTE_MS + 1, MINUTE_MS)[None]
        return _candles(opens, _closes(symbol, minutes - MINUTE_MS), _closes(symbol, minutes))

    def mark_bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        return _shifted(self.bars(symbol, timeframe, start_ms, end_ms), 0.1)

    def index_bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        return _shifted(self.bars(symbol, timeframe, start_ms, end_ms), -0.2)

    def trades(self, symbol: str, start_ms: int, end_ms: int) -> AggregateTrades:
        time_ms = np.arange(-(-start_ms // 15_000) * 15_000, end_ms, 15_000, dtype=np.int64)
        minute = time_ms // MINUTE_MS * MINUTE_MS
        bars = _candles(
            minute,
            _closes(symbol, minute - MINUTE_MS)[:, None],
            _closes(symbol, minute)[:, None],
        )
        part = time_ms % MINUTE_MS // 15_000
        price = np.choose(part, [bars.open, bars.low, bars.high, bars.close])
        side = np.where(_noise(time_ms, 3) % 2, 1, -1).astype(np.int8)
        return AggregateTrades(time_ms, time_ms // 15_000, price, np.full(len(part), 0.25), side)

    def book(self, symbol: str, at_ms: int, levels: int) -> Book | None:
        if self.bookless:
            return None
        step = at_ms // BOOK_MS
        middle = int(_closes(symbol, np.array([at_ms - MINUTE_MS]))[0] * TICK)
        middle += int(_noise(np.array([step // 3]), 5)[0] % 9)
        away = np.arange(1, 2 * levels + 1)
        sides = [_side(middle + sign * away, step, levels) for sign in (-1, 1)]
        return Book(at_ms, step, *sides[0], *sides[1])

    def funding(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        return _points(8 * 3_600_000, start_ms, end_ms, 1e-4, 1e-6)

    def funding_hours(self, symbol: str, at_ms: int) -> int:
        return 8

    def open_interest(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        return _points(900_000, start_ms, end_ms, 1_000.0, 0.5)

    def fear_greed(self, start_ms: int, end_ms: int) -> Points:
        return _points(DAY_MS, start_ms, end_ms, 10.0, 1.0)

    def onchain(self, asset: str, start_ms: int, end_ms: int) -> OnChain:
        days = _points(DAY_MS, start_ms, end_ms, 1.0, 0.25)
        value = {name: days.value + at for at, name in enumerate(METRICS)}
        value["HashRate"] = np.where(days.time_ms // DAY_MS % 3 == 0, np.nan, days.value)
        return OnChain(days.time_ms, value)


def _closes(symbol: str, minute_ms: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the close of the minute that opened at each time, in whole ticks."""
    number = minute_ms // MINUTE_MS
    salt = len(symbol) + ord(symbol[0])
    return (50_000 + salt + number % 4_001 + _noise(number, salt) % 97) / TICK


def _candles(
    opens: NDArray[np.int64], before: NDArray[np.float64], after: NDArray[np.float64]
) -> Bars:
    """Return candles of minutes, float64[n, minutes] before and after each."""
    return Bars(
        open_time_ms=opens,
        open=before[:, 0],
        high=np.maximum(before, after).max(axis=1) + 0.5,
        low=np.minimum(before, after).min(axis=1) - 0.5,
        close=after[:, -1],
        volume=np.full(len(opens), float(after.shape[1])),
    )


def _shifted(bars: Bars, by: float) -> Bars:
    prices = (bars.open, bars.high, bars.low, bars.close)
    shifted = (np.rint((price + by) * TICK) / TICK for price in prices)
    return Bars(bars.open_time_ms, *shifted, np.zeros(len(bars)))


def _side(ticks: NDArray[np.int64], step: int, levels: int) -> tuple[NDArray, NDArray]:
    """Return prices and quantities of a side: a quarter of the levels is empty at any time."""
    draw = _noise(ticks * 7_919 + (step + ticks) // 5, 11)
    there = np.flatnonzero(draw % 4)[:levels]
    return ticks[there] / TICK, (draw[there] % 5_000 + 1) / LOT


def _points(step: int, start_ms: int, end_ms: int, base: float, each: float) -> Points:
    times = np.arange(-(-start_ms // step) * step, end_ms, step, dtype=np.int64)
    return Points(times, np.round(base + each * (times // step % 80), 6))


def _noise(number: NDArray[np.int64], salt: int) -> NDArray[np.int64]:
    mixed = (number.astype(np.uint64) + np.uint64(salt)) * np.uint64(0x9E3779B97F4A7C15)
    return ((mixed ^ (mixed >> np.uint64(29))) >> np.uint64(33)).astype(np.int64)
