"""What is known of one symbol beside its bars: when to ask for it again, and what was recorded."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from kernel.observation import (
    HOUR_MS,
    LOOKBACK_MS,
    MAX_AGE_MS,
    MINUTE_MS,
    OTHER_MARKET,
    SERIES_TABLE,
)
from kernel.observer import Observer
from live_runner.candles import Candle, sound, violation
from live_runner.market.recordings import TICKS, recorded, tell
from live_runner.market.venue import DAY_MS, Price, Row, Venue, VenueError
from live_runner.settings import RunnerSettings

RECALLED_MS = 3 * DAY_MS  # at once; what was recorded earlier, page by page: it fills the memory
FUNDING = ("funding_rate",)
MINUTES = ("minutes",)
ONCHAIN = tuple(name for name, table in SERIES_TABLE.items() if table == "onchain")
Read = Callable[[int, int], Awaitable[list[int]]]
Ask = Callable[..., Awaitable[list[Candle]]]  # candles of one price that open in [start, end)
Learn = Callable[[list[Candle]], list[int]]


class CandleStream(NamedTuple):
    """Closed candles that the socket brings as well, and what learns them."""

    symbol: str
    timeframe: str
    learn: Learn


@dataclass(slots=True)
class SeriesSource:
    """One request that brings rows of one or more series, which bars use for `reach_ms`.

    `read(start_ms, end_ms)` learns the rows of events in [start, end] and returns when they were. A
    newer row than `last_event_ms` cannot be known before `last_event_ms + period_ms + lag_ms`, so
    until then, and for bars that closed before the last fetch, there is nothing to ask for. The
    period is the shortest so far. Funding may settle at any full hour, whatever it did before, and
    is asked for once each hour. Candles of its `stream` wait in `heard`, by their open time, until
    `follow` learns them.
    """

    names: tuple[str, ...]
    period_ms: int
    lag_ms: int
    reach_ms: int
    read: Read
    stream: CandleStream | None
    last_event_ms: int | None = None
    fetched_at_ms: int = -1
    heard: dict[int, Candle] = field(default_factory=dict[int, Candle])

    def due(self, close_ms: int) -> bool:
        """Say whether a row that the last fetch could not bring may be known at `close_ms`."""
        if close_ms <= self.fetched_at_ms:
            return False
        if self.last_event_ms is None:
            return True
        next_ms = self.last_event_ms + self.period_ms
        if self.names == FUNDING:
            asked_ms = (self.fetched_at_ms - self.lag_ms) // HOUR_MS * HOUR_MS
            next_ms = max(next_ms, asked_ms + HOUR_MS)
        return close_ms >= next_ms + self.lag_ms

    def since_ms(self, first_close_ms: int) -> int:
        """Return the event time from which bars closing at `first_close_ms` and later lack rows."""
        oldest = first_close_ms - self.reach_ms
        return oldest if self.last_event_ms is None else max(self.last_event_ms + 1, oldest)

    def hear(self, symbol: str, timeframe: str, candle: Candle) -> None:
        """Take a closed candle off the socket, if it is a sound one of the stream."""
        if self.stream is None or self.stream[:2] != (symbol, timeframe):
            return
        if not violation(candle, self.period_ms):
            self.heard.setdefault(candle.open_time_ms, candle)

    def follow(self, first_close_ms: int) -> None:
        """Learn what was heard of what bars closing at `first_close_ms` and later lack, up to the
        first candle that the socket did not bring.
        """
        if self.stream is None:
            return
        next_ms = -(-self.since_ms(first_close_ms) // self.period_ms) * self.period_ms
        while (candle := self.heard.get(next_ms)) is not None:
            self.last_event_ms = max(self.stream.learn([candle]))
            next_ms += self.period_ms
        self.heard = {at: one for at, one in self.heard.items() if at > next_ms}

    async def fetch(self, first_close_ms: int, last_close_ms: int) -> None:
        """Read what bars closing in [first, last] may know; raises VenueError."""
        times = await self.read(self.since_ms(first_close_ms), last_close_ms)
        before = [] if self.last_event_ms is None else [self.last_event_ms]
        known = sorted({*times, *before})
        self.period_ms = min([self.period_ms, *(b - a for a, b in pairwise(known))])
        self.last_event_ms = max(times, default=self.last_event_ms)
        self.fetched_at_ms = max(self.fetched_at_ms, last_close_ms)


class SeriesBook:
    """Keep one symbol's observer as informed as the venue allows.

    Before a bar with close c is decided every source has been read at a venue time of at least c,
    or is named as stale. One fetch serves a whole backlog: rows that become known after a bar are
    ignored for that bar. Trades and books come from whoever records them, and from what was
    recorded earlier. The socket's candles spare requests, and REST has what it did not bring.
    """

    def __init__(self, symbol: str, settings: RunnerSettings, venue: Venue) -> None:
        self.observer = Observer(settings.bar_ms)
        self._symbol = symbol
        self._coin = settings.coins[symbol]
        self._settings = settings
        self._venue = venue
        self._sources = _sources(self, symbol, settings)
        self._latest_day_ms: dict[str, int] = {}
        self._recalled_since_ms = 0

    def observe(self, candle: Candle) -> list[float]:
        """Return the observation of one closed bar."""
        if self._symbol == OTHER_MARKET:
            self._learn([Row("btc_close", candle.open_time_ms, candle.close)])
        return self.observer.observe(*candle)

    def hear(self, symbol: str, timeframe: str, candle: Candle) -> None:
        """Take any closed candle off the socket."""
        for source in self._sources:
            source.hear(symbol, timeframe, candle)

    async def ensure(self, first_close_ms: int, last_close_ms: int) -> dict[str, str]:
        """Learn what bars closing in [first, last] may know, the last of which has closed.

        What the socket brings is asked for last: it may come while the rest is read, and then need
        not be asked for. Return which series could not be read, and why.
        """
        stale: dict[str, str] = {}
        for streamed in (False, True):
            sources = [one for one in self._sources if (one.stream is not None) is streamed]
            for source in sources:
                source.follow(first_close_ms)
            due = [source for source in sources if source.due(last_close_ms)]
            polls = (self._poll(source, first_close_ms, last_close_ms) for source in due)
            for failures in await asyncio.gather(*polls):
                stale |= failures
        return stale

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

    async def _poll(
        self, source: SeriesSource, first_close_ms: int, last_close_ms: int
    ) -> dict[str, str]:
        try:
            await source.fetch(first_close_ms, last_close_ms)
        except VenueError as error:
            return dict.fromkeys(source.names, str(error))
        return {}

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
        rows = await self._venue.open_interest(
            symbol=self._symbol,
            timeframe=self._settings.timeframe,
            bar_ms=self._settings.bar_ms,
            start_ms=start_ms,
            end_ms=end_ms,
        )
        return self._learn(rows)

    async def read_fear_greed(self, start_ms: int, end_ms: int) -> list[int]:
        """Learn the fear and greed index."""
        return self._learn(await self._venue.fear_greed(start_ms, end_ms))

    async def read_onchain(self, start_ms: int, end_ms: int) -> list[int]:
        """Learn the daily on-chain metrics, each of which is published when it is ready: a day has
        come once all have that came lately.
        """
        rows = await self._venue.onchain(self._coin, start_ms, end_ms)
        self._learn(rows)
        latest = self._latest_day_ms
        for name, event_ms, _ in rows:
            latest[name] = max(latest.get(name, event_ms), event_ms)
        newest_ms = max(latest.values(), default=0)
        coming = [at for name, at in latest.items() if newest_ms - at < MAX_AGE_MS[name]]
        return [min(coming)] if coming else []

    def closes(self, name: str) -> Learn:
        """Return what learns the closes of candles as a series of that name."""
        return lambda found: self._learn([Row(name, one.open_time_ms, one.close) for one in found])

    def learn_minutes(self, candles: list[Candle]) -> list[int]:
        """Learn bars of one minute; return all open times."""
        lag_ms = self._settings.lags_ms["minutes"] or MINUTE_MS
        for at, *values in candles:
            self.observer.learn_minute(at, at + lag_ms, *values)
        return [candle.open_time_ms for candle in candles]

    def reader(
        self, learn: Learn, symbol: str, timeframe: str, bar_ms: int, price: Price = "last"
    ) -> Read:
        """Return what asks REST for the candles of a price and learns them."""

        async def read(start_ms: int, end_ms: int) -> list[int]:
            ask = partial(
                self._venue.candles,
                symbol=symbol,
                timeframe=timeframe,
                bar_ms=bar_ms,
                price=price,
            )
            return learn(await _closed(ask, bar_ms, start_ms, end_ms))

        return read


async def _closed(ask: Ask, bar_ms: int, start_ms: int, end_ms: int) -> list[Candle]:
    """Return the sound candles that open from start on and have closed by `end_ms`.

    The newest is asked for twice: a venue may have it a moment late.
    """
    first_ms = -(-start_ms // bar_ms) * bar_ms
    newest_ms = end_ms // bar_ms * bar_ms - bar_ms
    found = await ask(start_ms=first_ms, end_ms=newest_ms + bar_ms)
    if first_ms <= newest_ms and (not found or found[-1].open_time_ms < newest_ms):
        found += await ask(start_ms=newest_ms, end_ms=newest_ms + bar_ms)
    return sound(found, bar_ms)


def _sources(book: SeriesBook, symbol: str, settings: RunnerSettings) -> list[SeriesSource]:
    """Return what is asked for: of what the lake has, in the symbols that it has."""
    bar = (timeframe, bar_ms) = settings.timeframe, settings.bar_ms
    mark, index, other = map(book.closes, ("mark_close", "index_close", "btc_close"))
    minutes = CandleStream(symbol, "1m", book.learn_minutes)
    plans: list[tuple[tuple[str, ...], int, Read, CandleStream | None]] = [
        (FUNDING, HOUR_MS, book.read_funding, None),
        (("open_interest",), bar_ms, book.read_interest, None),
        (("fear_greed",), DAY_MS, book.read_fear_greed, None),
        (ONCHAIN, DAY_MS, book.read_onchain, None),
        (("mark_close",), bar_ms, book.reader(mark, symbol, *bar, "mark"), None),
        (("index_close",), bar_ms, book.reader(index, symbol, *bar, "index"), None),
        (MINUTES, MINUTE_MS, book.reader(minutes.learn, symbol, "1m", MINUTE_MS), minutes),
    ]
    if symbol != OTHER_MARKET and OTHER_MARKET in settings.symbols:
        stream = CandleStream(OTHER_MARKET, timeframe, other)
        plans.append((("btc_close",), bar_ms, book.reader(other, OTHER_MARKET, *bar), stream))
    sources: list[SeriesSource] = []
    for names, period_ms, read, stream in plans:
        lags = [lag for name in names if (lag := settings.lags_ms[name]) is not None]
        reach_ms = max(LOOKBACK_MS.get(name, bar_ms) for name in names)
        if lags:
            sources.append(
                SeriesSource(
                    names=names,
                    period_ms=period_ms,
                    lag_ms=min(lags),
                    reach_ms=reach_ms,
                    read=read,
                    stream=stream,
                )
            )
    return sources
