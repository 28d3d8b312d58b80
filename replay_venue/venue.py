"""The venue: a market, a clock, and the rule that nothing after the clock is ever shown."""

from dataclasses import dataclass

import numpy as np

from kernel.bars import TIMEFRAME_MS, Bars
from replay_venue.clock import Clock
from replay_venue.faults import Faults
from replay_venue.series import MarketSource, OnChain, Points
from replay_venue.weather import DAY_MS

BAR_MS = TIMEFRAME_MS["15m"]


@dataclass(frozen=True, slots=True)
class Venue:
    """What is served. Windows here include both ends, as the exchange's do; None is open."""

    market: MarketSource
    clock: Clock
    faults: Faults
    history_start_ms: int

    def klines(
        self, symbol: str, timeframe: str, start_ms: int | None, end_ms: int | None, limit: int
    ) -> Bars:
        """Return candles by open time: `limit` from `start_ms` on, else the last until `end_ms`.

        Where the window reaches the present its last row is the unfinished candle.
        """
        step, now_ms = TIMEFRAME_MS[timeframe], self.clock.now_ms()
        last_ms = now_ms if end_ms is None else min(end_ms, now_ms)
        first_ms = last_ms - limit * step + 1 if start_ms is None else start_ms
        first_ms = max(first_ms, self.history_start_ms)
        running_ms = now_ms // step * step
        bars = self._first(symbol, timeframe, first_ms, min(last_ms + 1, running_ms), limit)
        if len(bars) < limit and first_ms <= running_ms <= last_ms:
            bars = _joined(bars, self.market.running_bar(symbol, timeframe, running_ms, now_ms))
        return bars

    def closed_bar(self, symbol: str, timeframe: str, open_ms: int) -> Bars:
        """Return the candle that opened at `open_ms`, which must be over: 0 or 1 rows."""
        step = TIMEFRAME_MS[timeframe]
        if open_ms + step > self.clock.now_ms():
            raise ValueError(f"closed_bar: found open {open_ms}, expected a candle that has closed")
        return self.market.bars(symbol, timeframe, open_ms, open_ms + step)

    def running_bar(self, symbol: str, timeframe: str) -> Bars:
        """Return the unfinished candle as it stands: 0 or 1 rows."""
        now_ms = self.clock.now_ms()
        open_ms = now_ms // TIMEFRAME_MS[timeframe] * TIMEFRAME_MS[timeframe]
        return self.market.running_bar(symbol, timeframe, open_ms, now_ms)

    def last_price(self, symbol: str) -> float:
        """Return the price now; NaN before the first candle."""
        bars = self.klines(symbol, "15m", None, None, 1)
        return float(bars.close[-1]) if len(bars) else float("nan")

    def funding(self, symbol: str, start_ms: int | None, end_ms: int | None) -> Points:
        """Return the funding rates settled so far."""
        return self.market.funding(symbol, *self._past(start_ms, end_ms, 0))

    def open_interest(self, symbol: str, start_ms: int | None, end_ms: int | None) -> Points:
        """Return open interest measured so far."""
        return self.market.open_interest(symbol, *self._past(start_ms, end_ms, 0))

    def fear_greed(self) -> Points:
        """Return the index published so far."""
        return self.market.fear_greed(*self._past(None, None, 0))

    def onchain(self, asset: str, start_ms: int | None, end_ms: int | None) -> OnChain:
        """Return the values of the days that are over."""
        return self.market.onchain(asset, *self._past(start_ms, end_ms, DAY_MS))

    def _past(self, start_ms: int | None, end_ms: int | None, delay_ms: int) -> tuple[int, int]:
        """Return the half-open window of stamps known now, `delay_ms` after each."""
        now_ms = self.clock.now_ms() - delay_ms
        start_ms = self.history_start_ms if start_ms is None else start_ms
        end_ms = now_ms if end_ms is None else min(end_ms, now_ms)
        return max(start_ms, self.history_start_ms), end_ms + 1

    def _first(self, symbol: str, timeframe: str, start_ms: int, end_ms: int, limit: int) -> Bars:
        """Return the first `limit` candles of a window; it is read no further than they need."""
        span = limit * TIMEFRAME_MS[timeframe]
        while True:
            bars = self.market.bars(symbol, timeframe, start_ms, min(start_ms + span, end_ms))
            if len(bars) >= limit or start_ms + span >= end_ms:
                return bars.slice(0, limit)
            span *= 2


def _joined(bars: Bars, more: Bars) -> Bars:
    return Bars(
        *(np.concatenate([getattr(bars, name), getattr(more, name)]) for name in Bars.__slots__)
    )
