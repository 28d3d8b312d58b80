"""Observations of past bars: from the journal, and from the venue where it has none."""

import asyncio
import time
from collections.abc import AsyncIterator

from kernel.features.engine import Stream
from live_runner.candles import Candle, sound
from live_runner.journal.journal import Journal
from live_runner.market.series import SeriesBook
from live_runner.market.venue import Venue
from live_runner.settings import RunnerSettings

PAGE = 256
PUSHES_PER_TURN = 8  # some 2 ms of work before the event loop may decide a bar
OBSERVED_PER_TURN = 32


class History:
    """Fill the journal with observations of past bars and fold streams over them, giving way to the
    present.
    """

    def __init__(self, settings: RunnerSettings, venue: Venue, journal: Journal) -> None:
        self._settings = settings
        self._venue = venue
        self._journal = journal

    async def complete(self, symbol: str, after_ms: int, until_ms: int) -> None:
        """Have the journal hold, or record as a hole, every bar that opens in (after, until];
        raises VenueError.
        """
        bar_ms = self._settings.bar_ms
        have = self._journal.accounted_opens(symbol, after_ms, until_ms)
        missing = [at for at in range(after_ms + bar_ms, until_ms + 1, bar_ms) if at not in have]
        if missing:
            series = SeriesBook(symbol, self._settings, self._venue)
            await self.read(symbol, series, missing[0], missing[-1] + bar_ms)

    async def read(self, symbol: str, series: SeriesBook, start_ms: int, end_ms: int) -> None:
        """Read the bars that open in [start, end) and record what the journal lacks of them; raises
        VenueError.
        """
        bar_ms = self._settings.bar_ms
        await series.load(start_ms + bar_ms, end_ms)
        for page_ms in range(start_ms, end_ms, PAGE * bar_ms):
            stop_ms = min(page_ms + PAGE * bar_ms, end_ms)
            await series.load_page(page_ms + bar_ms, stop_ms)
            await self._read_page(symbol, series, page_ms, stop_ms)
            series.observer.forget(stop_ms)

    async def _read_page(self, symbol: str, series: SeriesBook, start_ms: int, end_ms: int) -> None:
        bar_ms = self._settings.bar_ms
        fit = await self._sound(symbol, start_ms, end_ms)
        if len(fit) < (end_ms - start_ms) // bar_ms:  # asked twice before it is a hole
            fit = await self._sound(symbol, start_ms, end_ms) | fit
        have = self._journal.accounted_opens(symbol, start_ms - bar_ms, end_ms - bar_ms)
        now_ms = time.time_ns() // 1_000_000
        for at in range(start_ms, end_ms, bar_ms):
            if at not in fit and at not in have:
                self._journal.record_hole(
                    symbol, at, "venue has no sound bar in its history", now_ms
                )
        observed = [
            (candle, series.observe(candle))
            async for candle in _giving_way([fit[at] for at in sorted(fit) if at not in have])
        ]
        self._journal.record_history(symbol, observed, now_ms)

    async def _sound(self, symbol: str, start_ms: int, end_ms: int) -> dict[int, Candle]:
        bar_ms = self._settings.bar_ms
        candles = await self._venue.candles(
            symbol=symbol,
            timeframe=self._settings.timeframe,
            bar_ms=bar_ms,
            start_ms=start_ms,
            end_ms=end_ms,
        )
        return {one.open_time_ms: one for one in sound(candles, bar_ms)}

    async def fold(self, symbol: str, stream: Stream, after_ms: int) -> int:
        """Push every recorded observation after `after_ms` and return the open time of the last one
        pushed.
        """
        last_ms = after_ms
        while page := self._journal.observations(symbol, last_ms, PAGE):
            for i, (_, observation) in enumerate(page):
                stream.push(observation.tolist())
                if i % PUSHES_PER_TURN == 0:
                    await asyncio.sleep(0)
            last_ms = page[-1][0]
        return last_ms


async def _giving_way(candles: list[Candle]) -> AsyncIterator[Candle]:
    for i, candle in enumerate(candles):
        if i % OBSERVED_PER_TURN == 0:
            await asyncio.sleep(0)
        yield candle
