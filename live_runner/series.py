"""The slow series of one symbol: when to ask for them again, and what is known of them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kernel.observation import MAX_AGE_MS, SERIES, Observer
from live_runner.settings import RunnerSettings
from live_runner.venue import DAY_MS, Row, Venue, VenueError

FUNDING_PERIOD_MS = 28_800_000


@dataclass(slots=True)
class Source:
    """One request that brings one or two series.

    A newer row than `last_event_ms` cannot be known before `last_event_ms + period_ms + lag_ms`, so
    until then, and for bars that closed before the last fetch, there is nothing to ask for.
    """

    names: tuple[str, ...]
    period_ms: int
    lag_ms: int
    fetch: Callable[[int, int], Awaitable[list[Row]]]
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
        oldest = first_close_ms - max(MAX_AGE_MS[name] for name in self.names)
        return oldest if self.last_event_ms is None else max(self.last_event_ms + 1, oldest)


class SeriesBook:
    """Keep one symbol's observer as informed as the venue allows.

    Before a bar with close c is decided every source has been read at a venue time of at least c,
    or is named as stale. One fetch serves a whole backlog: rows that become known after a bar are
    ignored for that bar.
    """

    def __init__(self, symbol: str, settings: RunnerSettings, venue: Venue) -> None:
        self.observer = Observer(settings.bar_ms)
        self._lags = settings.lags_ms
        self._sources = _sources(symbol, settings, venue)

    async def ensure(self, first_close_ms: int, last_close_ms: int) -> str:
        """Fetch what bars closing in [first, last] may know, the last of which has closed.

        Return which series could not be read and why, '' for none.
        """
        due = [source for source in self._sources if source.due(last_close_ms)]
        if not due:
            return ""
        polls = (self._poll(source, first_close_ms, last_close_ms) for source in due)
        return "; ".join(failure for failure in await asyncio.gather(*polls) if failure)

    async def load(self, first_close_ms: int, last_close_ms: int) -> None:
        """Do the same where nothing may be missing; raises VenueError."""
        for source in self._sources:
            await self._read(source, first_close_ms, last_close_ms)

    async def _poll(self, source: Source, first_close_ms: int, last_close_ms: int) -> str:
        try:
            await self._read(source, first_close_ms, last_close_ms)
        except VenueError as error:
            return f"stale {', '.join(source.names)}: {error}"
        return ""

    async def _read(self, source: Source, first_close_ms: int, last_close_ms: int) -> None:
        rows = await source.fetch(source.since_ms(first_close_ms), last_close_ms)
        self._learn(source, rows, last_close_ms)

    def _learn(self, source: Source, rows: list[Row], fetched_at_ms: int) -> None:
        for name, event_ms, value in rows:
            self.observer.learn(name, event_ms, event_ms + self._lags[name], value)
            source.last_event_ms = max(source.last_event_ms or event_ms, event_ms)
        source.fetched_at_ms = max(source.fetched_at_ms, fetched_at_ms)


def _sources(symbol: str, settings: RunnerSettings, venue: Venue) -> list[Source]:
    funding, interest, fear, flow, mvrv = SERIES
    lags, bar_ms = settings.lags_ms, settings.bar_ms

    async def read_interest(start_ms: int, end_ms: int) -> list[Row]:
        return await venue.open_interest(symbol, settings.timeframe, bar_ms, start_ms, end_ms)

    async def read_funding(start_ms: int, end_ms: int) -> list[Row]:
        return await venue.funding(symbol, start_ms, end_ms)

    async def read_onchain(start_ms: int, end_ms: int) -> list[Row]:
        return await venue.onchain(symbol, start_ms, end_ms)

    return [
        Source((funding,), FUNDING_PERIOD_MS, lags[funding], read_funding),
        Source((interest,), bar_ms, lags[interest], read_interest),
        Source((fear,), DAY_MS, lags[fear], venue.fear_greed),
        Source((flow, mvrv), DAY_MS, min(lags[flow], lags[mvrv]), read_onchain),
    ]
