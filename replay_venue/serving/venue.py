"""The venue: a market, a clock, and the rule that nothing after the clock is ever shown."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from kernel.bars import TIMEFRAME_MS, Bars
from kernel.resampling import joined
from replay_venue.market import candles, intervals
from replay_venue.market.intervals import DAY_MS, MINUTE_MS
from replay_venue.market.series import AggregateTrades, Book, MarketSource, OnChain, Points
from replay_venue.serving.clock import Clock
from replay_venue.serving.faults.faults import Faults

BAR_MS = TIMEFRAME_MS["15m"]
BOOK_LEVELS = 1_000  # a side; nothing deeper exists here
Price = Literal["last", "mark", "index"]
_PRICE_TIMEFRAMES = ("1m", "15m", "1h", "8h", "1d")


@dataclass(frozen=True, slots=True)
class ServedVenue:
    """What is served. Windows here include both ends, as the exchange's do; None is open."""

    market: MarketSource
    clock: Clock
    faults: Faults
    history_start_ms: int

    def klines(
        self,
        symbol: str,
        interval: str,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        price: Price = "last",
    ) -> Bars:
        """Return candles by open time: `limit` from `start_ms` on, else the last until `end_ms`.

        Where the window reaches the present its last row is the unfinished candle.
        """
        now_ms = self.clock.now_ms()
        last_ms = now_ms if end_ms is None else min(end_ms, now_ms)
        first_ms = intervals.open_of(interval, last_ms, 1 - limit) if start_ms is None else start_ms
        first_ms = max(first_ms, self.history_start_ms)
        running_ms = intervals.open_of(interval, now_ms)
        read = self._reader(symbol, price)
        bars = candles.first(read, interval, first_ms, min(last_ms + 1, running_ms), limit)
        if len(bars) < limit and first_ms <= running_ms <= last_ms:
            bars = joined([bars, self.running_bar(symbol, interval, price)])
        return bars

    def closed_bar(self, symbol: str, interval: str, open_ms: int) -> Bars:
        """Return the candle that opened at `open_ms`, which must be over: 0 or 1 rows."""
        stop_ms = intervals.next_open(interval, open_ms)
        if stop_ms > self.clock.now_ms():
            raise ValueError(f"closed_bar: found open {open_ms}, expected a candle that has closed")
        return candles.complete(self._reader(symbol, "last"), interval, open_ms, stop_ms)

    def running_bar(self, symbol: str, interval: str, price: Price = "last") -> Bars:
        """Return the unfinished candle as it stands, its last trade in it: 0 or 1 rows."""
        now_ms = self.clock.now_ms()
        open_ms = intervals.open_of(interval, now_ms)
        read = self._reader(symbol, price)
        if price == "last":
            if interval in TIMEFRAME_MS:
                known = self.market.running_bar(symbol, interval, open_ms, now_ms)
                return candles.traded(known, self.trades(symbol, _minute(now_ms), now_ms))
            days = read("1d", open_ms, intervals.open_of("1d", now_ms))
            return candles.whole(joined([days, self.running_bar(symbol, "1d")]), open_ms)
        minutes = read("1m", open_ms, _minute(now_ms))
        known = candles.whole(minutes, open_ms)
        return known if len(known) else candles.flat(open_ms, self._quoted(read))

    def last_price(self, symbol: str) -> float:
        """Return the price now; NaN before the first candle."""
        now_ms = self.clock.now_ms()
        for interval in ("15m", "1h", "4h", "1d"):
            bars = self.klines(symbol, interval, now_ms - TIMEFRAME_MS[interval], None, 2)
            if len(bars):
                return float(bars.close[-1])
        return math.nan

    def reference_price(self, symbol: str, price: Price) -> float:
        """Return the mark or index price of the last minute known, else the last price."""
        quoted = self._quoted(self._reader(symbol, price))
        return self.last_price(symbol) if math.isnan(quoted) else quoted

    def trades(self, symbol: str, start_ms: int, end_ms: int) -> AggregateTrades:
        """Return the aggregate trades of the window that have happened."""
        return self.market.trades(symbol, *self._past(start_ms, end_ms, 0))

    def book(self, symbol: str, at_ms: int) -> Book | None:
        """Return the whole order book at a moment that has come; None where there is none."""
        return self.market.book(symbol, min(at_ms, self.clock.now_ms()), BOOK_LEVELS)

    def funding(self, symbol: str, start_ms: int | None, end_ms: int | None) -> Points:
        """Return the funding rates settled so far."""
        return self.market.funding(symbol, *self._past(start_ms, end_ms, 0))

    def marks(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> Bars:
        """Return the complete candles of the mark price that open in the window."""
        now_ms = intervals.open_of(interval, self.clock.now_ms())
        return self.market.mark_bars(symbol, interval, start_ms, min(end_ms + 1, now_ms))

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
        start_ms = max(start_ms, self.history_start_ms)
        return start_ms, max(end_ms + 1, start_ms)

    def _reader(self, symbol: str, price: Price) -> Callable[[str, int, int], Bars]:
        by_price = {
            "last": self.market.bars,
            "mark": self.market.mark_bars,
            "index": self.market.index_bars,
        }
        return partial(by_price[price], symbol)

    def _quoted(self, read: Callable[[str, int, int], Bars]) -> float:
        """Return the close of the latest complete candle, of the finest timeframe that has one."""
        for timeframe in _PRICE_TIMEFRAMES:
            stop_ms = intervals.open_of(timeframe, self.clock.now_ms())
            bars = read(timeframe, stop_ms - 2 * TIMEFRAME_MS[timeframe], stop_ms)
            if len(bars):
                return float(bars.close[-1])
        return math.nan


def _minute(now_ms: int) -> int:
    """Return the minute that runs at `now_ms`; its trades are in no candle of the market yet."""
    return now_ms // MINUTE_MS * MINUTE_MS
