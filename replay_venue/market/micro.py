"""What happens inside the minutes of a generated symbol: its trades, and the book around them."""

import math

import numpy as np

from replay_venue.market.book import STEP_MS, Moment, order_book
from replay_venue.market.generator import EndlessHistory
from replay_venue.market.prints import Prints, minute_prints
from replay_venue.market.recent import Recent
from replay_venue.market.series import AggregateTrades, Book
from replay_venue.market.weather import (
    BAR_MINUTES,
    BAR_MS,
    BLOCK_BARS,
    GENESIS_MS,
    MINUTE_MS,
    RETURN_SPREAD,
)

_KEPT_MINUTES = 64
_SECOND_MS = 1_000
_BLOCK_MINUTES = BLOCK_BARS * BAR_MINUTES


class Micro:
    """Trades and books of one symbol, made when asked for."""

    def __init__(self, history: EndlessHistory) -> None:
        self._history = history
        self._recent = Recent(_KEPT_MINUTES)

    def trades(self, start_ms: int, end_ms: int) -> AggregateTrades:
        """Return the trades of [start_ms, end_ms); ids count from genesis without a gap."""
        start_ms = max(start_ms, GENESIS_MS)
        first = start_ms // MINUTE_MS
        stop = -(-max(end_ms, start_ms) // MINUTE_MS)
        parts = [self._minute(number * MINUTE_MS) for number in range(first, stop)]
        if not parts:
            return _trades(np.empty((5, 0), np.int64), 1.0, 1.0)
        rows = np.concatenate(parts, axis=1)
        rows = rows[:, slice(*np.searchsorted(rows[0], [start_ms, end_ms]))]
        what = self._history.instrument
        return _trades(rows, 10.0**what.tick_decimals, 10.0**what.lot_decimals)

    def book(self, at_ms: int, levels: int) -> Book | None:
        """Return the book on the last step of the grid at or before `at_ms`; None before 2023."""
        at_ms = at_ms // STEP_MS * STEP_MS
        if at_ms < GENESIS_MS:
            return None
        history = self._history
        ticks, side = self._last(at_ms)
        second_ms = at_ms // _SECOND_MS * _SECOND_MS
        ahead = self._in_minute(second_ms + _SECOND_MS - 1, second_ms // MINUTE_MS * MINUTE_MS)
        bar_open_ms = at_ms // BAR_MS * BAR_MS
        volatility = history.volatility(bar_open_ms - BAR_MS, bar_open_ms + BAR_MS).value
        moment = Moment(
            at_ms=at_ms,
            ticks=ticks,
            side=side,
            bar_open_ms=bar_open_ms,
            volatility=float(volatility[-1]),
            volatility_before=float(volatility[0]),
            next_side=int(np.sign((ahead or (ticks, 0))[0] - self._last(second_ms)[0])),
            told=self._told(at_ms, float(volatility[-1])),
            told_share=history.planted.told,
        )
        return order_book(history.seed, history.instrument, moment, levels)

    def _told(self, at_ms: int, volatility: float) -> float:
        """Return the return of the 15 minutes from this minute on, in standard deviations."""
        if not self._history.planted.told:
            return 0.0
        open_ms = at_ms // MINUTE_MS * MINUTE_MS
        ahead = self._history.column("minutes", MINUTE_MS, open_ms, open_ms + BAR_MS)
        return math.log(ahead[-1, 3] / ahead[0, 0]) / (volatility * RETURN_SPREAD)

    def _last(self, at_ms: int) -> tuple[int, int]:
        """Return price and side of the last trade at or before `at_ms`."""
        open_ms = at_ms // MINUTE_MS * MINUTE_MS
        found = self._in_minute(at_ms, open_ms)
        if found is None and open_ms > GENESIS_MS:
            found = self._in_minute(open_ms, open_ms - MINUTE_MS)
        if found is None:
            first = self._minute(open_ms)
            found = int(first[2, 0]), int(first[4, 0])
        return found

    def _in_minute(self, at_ms: int, open_ms: int) -> tuple[int, int] | None:
        """Return price and side of the last trade of a minute until `at_ms`; None before it."""
        rows = self._minute(open_ms)
        last = int(np.searchsorted(rows[0], at_ms, side="right")) - 1
        return (int(rows[2, last]), int(rows[4, last])) if last >= 0 else None

    def _minute(self, open_ms: int) -> np.ndarray:
        """Return int64[5, n]: time, id, ticks, lots, side of the trades of a minute."""
        return self._recent.get(open_ms, lambda: self._make(open_ms))

    def _make(self, open_ms: int) -> np.ndarray:
        number, row = divmod((open_ms - GENESIS_MS) // MINUTE_MS, _BLOCK_MINUTES)
        block = self._history.block(number)
        until = self._recent.get(("ids", number), lambda: np.cumsum(block.trades))
        count = int(block.trades[row])
        made: Prints = minute_prints(
            self._history.seed, self._history.instrument, open_ms, block.minutes[row], count
        )
        last_id = block.first_trade + int(until[row])
        ids = np.arange(last_id - count, last_id)
        return np.stack([open_ms + made.offset_ms, ids, made.ticks, made.lots, made.side])


def _trades(rows: np.ndarray, tick: float, lot: float) -> AggregateTrades:
    return AggregateTrades(rows[0], rows[1], rows[2] / tick, rows[3] / lot, rows[4].astype(np.int8))
