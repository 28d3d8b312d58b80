"""What is known of one symbol beside its bars: when to ask for it again, and what was recorded."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kernel.observation import MAX_AGE_MS, MINUTE_MS, OTHER_MARKET, SERIES_TABLE
from kernel.observer import Observer
from live_runner.candles import Candle, sound
from live_runner.recordings import TICKS, recorded, tell
from live_runner.settings import RunnerSettings
from live_runner.venue import DAY_MS, Price, Row, Venue, VenueError

FUNDING_PERIOD_MS = 28_800_000
RECALLED_MS = 3 * DAY_MS  # at once; what was recorded earlier, page by page: it fills the memory
MINUTES = ("minutes",)
ONCHAIN = tuple(name for name, table in SERIES_TABLE.items() if table == "onchain")


@dataclass(slots=True)
class Source:
    """One request that brings rows of one or more series, which bars use for `reach_ms`.

    `read(start_ms, end_ms)` learns the rows of events in [start, end] and returns when they were. A
    newer row than `last_event_ms` cannot be known before `last_event_ms + period_ms + lag_ms`, so
    until then, and for bars that closed before the last fetch, there is nothing to ask for.
    """

    names: tuple[str, ...]
    period_ms: int
    lag_ms: int
    reach_ms: int
    read: Callable[[int, int], Awaitable[list[int]]]
    last_event_ms: int | None = None
    fetched_at_ms: int = -1

    def due(self, close_ms: int) -> bool:
        """Say whether a row that the last fetch could not bring may be known at `close_ms`."""
        if close_ms <= self.fetched_at_ms:
            return False
        return (
            self.last_event_ms is None
            or close_ms >= self.last_event_ms + self.period_ms + self.lag_ms
        )

    def since_ms(self, first_close_ms: int) -> int:
        """Return the event time from which bars closing at `first_close_ms` and later lack rows."""
        oldest = first_close_ms - self.reach_ms
        return oldest if self.last_event_ms is None else max(self.last_event_ms + 1, oldest)

    async def fetch(self, first_close_ms: int, last_close_ms: int) -> None:
        """Read what bars closing in [first, last] may know; raises VenueError."""
        times = await self.read(self.since_ms(first_close_ms), last_close_ms)
        self.last_event_ms = max(times, default=self.last_event_ms)
        self.fetched_at_ms = max(self.fetched_at_ms, last_close_ms)


class SeriesBook:
    """Keep one symbol's observer as informed as the venue allows.

    Before a bar with close c is decided every source has been read at a venue time of at least c,
    or is named as stale. One fetch serves a whole backlog: rows that become known after a bar are
    ignored for that bar. Trades and books come from whoever records them, and from what was
    recorded earlier.
    """

    def __init__(self, symbol: str, settings: RunnerSettings, venue: Venue) -> None:
        self.observer = Observer(settings.bar_ms)
        self._symbol, self._settings, self._venue = symbol, settings, venue
        self._sources = _sources(self, symbol, settings)
        self._latest_day_ms: dict[str, int] = {}
        self._recalled_since_ms = 0

    def observe(self, candle: Candle) -> list[float]:
        """Return the observation of one closed bar."""
        if self._symbol == OTHER_MARKET:
            self._learn([Row("btc_close", candle.open_time_ms, candle.close)])
        return self.observer.observe(*candle)

    async def ensure(self, first_close_ms: int, last_close_ms: int) -> str:
        """Fetch what bars closing in [first, last] may know, the last of which has closed.

        Return which series could not be read and why, '' for none.
        """
        due = [source for source in self._sources if source.due(last_close_ms)]
        polls = (self._poll(source, first_close_ms, last_close_ms) for source in due)
        return "; ".join(failure for failure in await asyncio.gather(*polls) if failure)

    async def load(self, first_close_ms: int, last_close_ms: int) -> None:
        """Do the same where nothing may be missing, all but the minutes, and recall what was
        recorded in the last days; raises VenueError.
        """
        since_ms = first_close_ms - self._settings.bar_ms
        self._recalled_since_ms = max(since_ms, last_close_ms - RECALLED_MS)
        await self._recall(self._recalled_since_ms)
        slow = [source for source in self._sources if source.names != MINUTES]
        await asyncio.gather(*(source.fetch(first_close_ms, last_close_ms) for source in slow))

    async def load_page(self, first_close_ms: int, last_close_ms: int) -> None:
        """Fetch the minutes of bars closing in [first, last] that `load` spans, and recall what was
        recorded of them earlier than that did; raises VenueError.
        """
        until_ms = min(last_close_ms, self._recalled_since_ms)
        if first_close_ms <= until_ms:
            await self._recall(first_close_ms - self._settings.bar_ms, until_ms)
        for source in self._sources:
            if source.names == MINUTES:
                await source.fetch(first_close_ms, last_close_ms)

    async def _poll(self, source: Source, first_close_ms: int, last_close_ms: int) -> str:
        try:
            await source.fetch(first_close_ms, last_close_ms)
        except VenueError as error:
            return f"stale {', '.join(source.names)}: {error}"
        return ""

    async def _recall(self, since_ms: int, until_ms: int | None = None) -> None:
        """Tell the observer the trades and books recorded of [since, until), or since then, giving
        way in between.
        """
        folder = self._settings.recordings
        if folder is None:
            return
        for table in TICKS:
            for page in recorded(folder, table, self._symbol, since_ms, until_ms):
                for row in page:
                    tell(self.observer, table, row)
                await asyncio.sleep(0)

    def _learn(self, rows: list[Row]) -> list[int]:
        """Learn the rows of series that the lake has, too; return all event times."""
        for name, event_ms, value in rows:
            lag_ms = self._settings.lags_ms[name]
            if lag_ms is not None:
                self.observer.learn(name, event_ms, event_ms + lag_ms, value)
        return [row.event_time_ms for row in rows]

    async def read_funding(self, start_ms: int, end_ms: int) -> list[int]:
        """Learn funding settlements."""
        return self._learn(await self._venue.funding(self._symbol, start_ms, end_ms))

    async def read_interest(self, start_ms: int, end_ms: int) -> list[int]:
        """Learn open interest."""
        bar = (self._settings.timeframe, self._settings.bar_ms)
        return self._learn(await self._venue.open_interest(self._symbol, *bar, start_ms, end_ms))

    async def read_fear_greed(self, start_ms: int, end_ms: int) -> list[int]:
        """Learn the fear and greed index."""
        return self._learn(await self._venue.fear_greed(start_ms, end_ms))

    async def read_onchain(self, start_ms: int, end_ms: int) -> list[int]:
        """Learn the daily on-chain metrics, each of which is published when it is ready: a day has
        come once all have that came lately.
        """
        rows = await self._venue.onchain(self._symbol, start_ms, end_ms)
        self._learn(rows)
        latest = self._latest_day_ms
        for name, event_ms, _ in rows:
            latest[name] = max(latest.get(name, event_ms), event_ms)
        newest_ms = max(latest.values(), default=0)
        coming = [at for name, at in latest.items() if newest_ms - at < MAX_AGE_MS[name]]
        return [min(coming)] if coming else []

    def reader(
        self, name: str, symbol: str, price: Price
    ) -> Callable[[int, int], Awaitable[list[int]]]:
        """Return what learns the closes of a price's bars as a series of that name."""

        async def read(start_ms: int, end_ms: int) -> list[int]:
            bar = (self._settings.timeframe, self._settings.bar_ms)
            candles = await self._closed(symbol, *bar, start_ms, end_ms, price)
            return self._learn([Row(name, one.open_time_ms, one.close) for one in candles])

        return read

    async def read_minutes(self, start_ms: int, end_ms: int) -> list[int]:
        """Learn the bars of one minute."""
        lag_ms = self._settings.lags_ms["minutes"] or MINUTE_MS
        candles = await self._closed(self._symbol, "1m", MINUTE_MS, start_ms, end_ms, "last")
        for at, *values in candles:
            self.observer.learn_minute(at, at + lag_ms, *values)
        return [candle.open_time_ms for candle in candles]

    async def _closed(
        self, symbol: str, timeframe: str, bar_ms: int, start_ms: int, end_ms: int, price: Price
    ) -> list[Candle]:
        """Return the sound candles that open from start on and have closed by `end_ms`.

        The newest is asked for twice: a venue may have it a moment late.
        """
        first_ms = -(-start_ms // bar_ms) * bar_ms
        newest_ms = end_ms // bar_ms * bar_ms - bar_ms
        span = (first_ms, newest_ms + bar_ms)
        found = await self._venue.candles(symbol, timeframe, bar_ms, *span, price)
        if first_ms <= newest_ms and (not found or found[-1].open_time_ms < newest_ms):
            span = (newest_ms, newest_ms + bar_ms)
            found += await self._venue.candles(symbol, timeframe, bar_ms, *span, price)
        return sound(found, bar_ms)


def _sources(book: SeriesBook, symbol: str, settings: RunnerSettings) -> list[Source]:
    """Return what is asked for: of what the lake has, in the symbols that it has."""
    bar_ms = settings.bar_ms
    plans = [
        (("funding_rate",), FUNDING_PERIOD_MS, book.read_funding),
        (("open_interest",), bar_ms, book.read_interest),
        (("fear_greed",), DAY_MS, book.read_fear_greed),
        (ONCHAIN, DAY_MS, book.read_onchain),
        (("mark_close",), bar_ms, book.reader("mark_close", symbol, "mark")),
        (("index_close",), bar_ms, book.reader("index_close", symbol, "index")),
        (MINUTES, MINUTE_MS, book.read_minutes),
    ]
    if symbol != OTHER_MARKET and OTHER_MARKET in settings.symbols:
        plans.append((("btc_close",), bar_ms, book.reader("btc_close", OTHER_MARKET, "last")))
    sources: list[Source] = []
    for names, period_ms, read in plans:
        lags = [lag for name in names if (lag := settings.lags_ms[name]) is not None]
        reach_ms = max(MAX_AGE_MS.get(name, bar_ms) for name in names)
        if lags:
            sources.append(Source(names, period_ms, min(lags), reach_ms, read))
    return sources
