"""The slow series: never asked for in vain, never forgotten."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.observation import OBSERVATION_FIELDS
from live_runner.series import SeriesBook
from live_runner.venue import DAY_MS, Row, Venue, VenueError
from tests.live_runner.inside import desk_settings
from tests.live_runner.stage import BAR_MS, LAGS_MS, START_MS

FUNDING_MS = 8 * 3_600_000


@dataclass
class CountingVenue(Venue):
    """A venue whose series are functions of time; it counts requests."""

    down: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)

    def _serve(self, source: str, step_ms: int, start_ms: int, end_ms: int) -> range:
        self.asked.append(source)
        if source in self.down:
            raise VenueError(f"GET {source}: found 503, expected 200")
        return range(-(-start_ms // step_ms) * step_ms, end_ms + 1, step_ms)

    async def funding(self, symbol: str, start_ms: int, end_ms: int) -> list[Row]:
        """Serve one rate every eight hours."""
        times = self._serve("funding", FUNDING_MS, start_ms, end_ms)
        return [Row("funding_rate", at, at / FUNDING_MS) for at in times]

    async def open_interest(
        self, symbol: str, timeframe: str, bar_ms: int, start_ms: int, end_ms: int
    ) -> list[Row]:
        """Serve one value a bar."""
        times = self._serve("interest", BAR_MS, start_ms, end_ms)
        return [Row("open_interest", at, at / BAR_MS) for at in times]

    async def onchain(self, symbol: str, start_ms: int, end_ms: int) -> list[Row]:
        """Serve two values a day, each known after the day."""
        times = self._serve("onchain", DAY_MS, start_ms, end_ms - DAY_MS)
        rows = [(Row("exchange_net_flow", at, 1.0), Row("mvrv", at, 2.0)) for at in times]
        return [one for pair in rows for one in pair]

    async def fear_greed(self, start_ms: int, end_ms: int) -> list[Row]:
        """Serve one value a day."""
        times = self._serve("fear", DAY_MS, start_ms, end_ms)
        return [Row("fear_greed", at, 50.0) for at in times]


def _book(venue: CountingVenue) -> SeriesBook:
    return SeriesBook("BTCUSDT", desk_settings(Path("unused"), "http://127.0.0.1:1"), venue)


def _observed(book: SeriesBook, close_ms: int) -> dict[str, float]:
    row = book.observer.observe(close_ms - BAR_MS, 1.0, 1.0, 1.0, 1.0, 1.0)
    return dict(zip(OBSERVATION_FIELDS, row, strict=True))


def test_a_day_of_bars_asks_no_more_than_could_have_changed() -> None:
    """Over 96 bars: open interest every other bar, funding and the daily series a few times.

    A fetch at a close brings the row stamped with that close, which counts from the next bar on.
    """
    venue = CountingVenue()
    book = _book(venue)

    async def day() -> None:
        for bar in range(1, 97):
            close_ms = START_MS + bar * BAR_MS
            assert await book.ensure(close_ms, close_ms) == ""

    asyncio.run(day())
    counts = {name: venue.asked.count(name) for name in ("interest", "funding", "fear", "onchain")}
    print(counts)
    assert counts["interest"] == 48
    assert counts["funding"] <= 5
    assert counts["fear"] <= 3
    assert counts["onchain"] <= 3


@given(batches=st.lists(st.integers(1, 400), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_backlogs_of_any_size_see_what_single_bars_would(batches: list[int]) -> None:
    """However bars are batched, each sees the newest rows that were known at its close."""
    venue = CountingVenue()
    book = _book(venue)
    first_ms = START_MS

    async def drain(size: int, first_ms: int) -> None:
        before = len(venue.asked)
        assert await book.ensure(first_ms, first_ms + (size - 1) * BAR_MS) == ""
        assert len(venue.asked) - before <= 4

    for size in batches:
        asyncio.run(drain(size, first_ms))
        for bar in range(size):
            close_ms = first_ms + bar * BAR_MS
            seen = _observed(book, close_ms)
            lag_ms = LAGS_MS["funding_rate"]
            assert seen["funding_rate"] == (close_ms - lag_ms) // FUNDING_MS
            assert seen["open_interest"] == (close_ms - LAGS_MS["open_interest"]) // BAR_MS
            assert (seen["fear_greed"], seen["mvrv"]) == (50.0, 2.0)
        first_ms += size * BAR_MS


def test_a_series_that_cannot_be_read_is_named_and_asked_for_again() -> None:
    """A failing source makes the bar stale with its reason, and the next bar asks anew."""
    venue = CountingVenue(down=frozenset({"interest"}))
    book = _book(venue)
    reason = asyncio.run(book.ensure(START_MS, START_MS))
    assert reason.startswith("stale open_interest: GET interest: found 503")
    venue.down = frozenset()
    assert asyncio.run(book.ensure(START_MS + BAR_MS, START_MS + BAR_MS)) == ""
    seen = _observed(book, START_MS)
    assert seen["open_interest"] == START_MS // BAR_MS - 1
