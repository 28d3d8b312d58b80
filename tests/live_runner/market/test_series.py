"""The slow series: never asked for in vain, never forgotten."""

import asyncio
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.observation import DEPTH_FIELDS, FUNDING_FIELDS, OBSERVATION_FIELDS
from live_runner.candles import Candle
from live_runner.market.recordings import RecordingWriter
from live_runner.market.series import SeriesBook
from live_runner.market.venue import DAY_MS, Price, Row, Venue, VenueError
from tests.live_runner.inside import desk_settings
from tests.live_runner.stage import BAR_MS, LAGS_MS, START_MS

FUNDING_MS = 8 * 3_600_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000


@dataclass
class CountingVenue(Venue):
    """A venue whose series are functions of time; it counts requests.

    It lacks the candles that open at some times and the newest day of metrics that are late, and
    answers for no source that is down.
    """

    down: frozenset[str] = frozenset()
    lacks: frozenset[int] = frozenset()
    late: frozenset[str] = frozenset()
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

    async def candles(
        self,
        symbol: str,
        timeframe: str,
        bar_ms: int,
        start_ms: int,
        end_ms: int,
        price: Price = "last",
    ) -> list[Candle]:
        """Serve a candle an interval, of no height, at a price of its own."""
        name = f"{symbol} {timeframe} {price}"
        times = self._serve(name, bar_ms, start_ms, end_ms - bar_ms)
        level = {"last": 1.0, "mark": 2.0, "index": 3.0}[price] + (symbol != "BTCUSDT")
        held = [at for at in times if at not in self.lacks]
        prices = [(at, level * at / MINUTE_MS) for at in held]
        return [
            Candle(open_time_ms=at, open=price, high=price, low=price, close=price, volume=0.0)
            for at, price in prices
        ]

    async def onchain(self, coin: str, start_ms: int, end_ms: int) -> list[Row]:
        """Serve two values a day, each known after the day."""
        times = self._serve("onchain", DAY_MS, start_ms, end_ms - DAY_MS)
        rows = [(Row("exchange_net_flow", at, 1.0), Row("mvrv", at, 2.0)) for at in times]
        held = [one for pair in rows for one in pair]
        newest_ms = max((row.event_time_ms for row in held), default=0)
        return [row for row in held if row.name not in self.late or row.event_time_ms < newest_ms]

    async def fear_greed(self, start_ms: int, end_ms: int) -> list[Row]:
        """Serve one value a day."""
        times = self._serve("fear", DAY_MS, start_ms, end_ms)
        return [Row("fear_greed", at, 50.0) for at in times]


def _book(venue: CountingVenue, symbol: str = "BTCUSDT", **changes: Any) -> SeriesBook:
    settings = replace(desk_settings(Path("unused"), "http://127.0.0.1:1"), **changes)
    return SeriesBook(symbol, settings, venue)


def _observed(book: SeriesBook, close_ms: int, volume: float = 1.0) -> dict[str, float]:
    row = book.observe(
        Candle(
            open_time_ms=close_ms - BAR_MS, open=1.0, high=1.0, low=1.0, close=1.0, volume=volume
        )
    )
    return dict(zip(OBSERVATION_FIELDS, row, strict=True))


def test_a_day_of_bars_asks_no_more_than_could_have_changed() -> None:
    """Over 96 bars: open interest every other bar, funding every hour, the rest a few times.

    A fetch at a close brings the row stamped with that close, which counts from the next bar on.
    """
    venue = CountingVenue()
    book = _book(venue)

    async def day() -> None:
        for bar in range(1, 97):
            close_ms = START_MS + bar * BAR_MS
            assert await book.ensure(close_ms, close_ms) == {}

    asyncio.run(day())
    counts = {name: venue.asked.count(name) for name in ("interest", "funding", "fear", "onchain")}
    print(counts)
    assert counts["interest"] == 48
    assert counts["funding"] <= 25
    assert counts["fear"] <= 3
    assert counts["onchain"] <= 3
    for name in ("BTCUSDT 1m last", "BTCUSDT 15m mark", "BTCUSDT 15m index"):
        assert venue.asked.count(name) == 96


@given(batches=st.lists(st.integers(1, 400), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_backlogs_of_any_size_see_what_single_bars_would(batches: list[int]) -> None:
    """However bars are batched, each sees the newest rows that were known at its close."""
    venue = CountingVenue()
    book = _book(venue)
    first_ms = START_MS

    async def drain(size: int, first_ms: int) -> None:
        before = len(venue.asked)
        assert await book.ensure(first_ms, first_ms + (size - 1) * BAR_MS) == {}
        assert len(venue.asked) - before <= 7

    for size in batches:
        asyncio.run(drain(size, first_ms))
        for bar in range(size):
            close_ms = first_ms + bar * BAR_MS
            seen = _observed(book, close_ms)
            lag_ms = LAGS_MS["funding_rate"]
            assert seen["funding_rate"] == (close_ms - lag_ms) // FUNDING_MS
            assert seen["open_interest"] == (close_ms - LAGS_MS["open_interest"]) // BAR_MS
            assert (seen["fear_greed"], seen["mvrv"]) == (50.0, 2.0)
            open_ms = close_ms - BAR_MS
            assert seen["mark_close"] == 2.0 * open_ms / MINUTE_MS
            assert seen["index_close"] == 3.0 * open_ms / MINUTE_MS
            assert seen["minute_00_close"] == open_ms / MINUTE_MS
            assert seen["minute_14_close"] == (close_ms - MINUTE_MS) / MINUTE_MS
        first_ms += size * BAR_MS


def test_a_series_that_cannot_be_read_is_named_and_asked_for_again() -> None:
    """A failing source is told with its reason, and the next bar asks anew."""
    venue = CountingVenue(down=frozenset({"interest"}))
    book = _book(venue)
    stale = asyncio.run(book.ensure(START_MS, START_MS))
    assert stale == {"open_interest": "GET interest: found 503, expected 200"}
    venue.down = frozenset()
    assert asyncio.run(book.ensure(START_MS + BAR_MS, START_MS + BAR_MS)) == {}
    seen = _observed(book, START_MS)
    assert seen["open_interest"] == START_MS // BAR_MS - 1


def test_a_metric_that_is_late_is_asked_for_until_its_day_is_whole() -> None:
    """One that its source publishes after the others is not left out until the next day; one that
    never came is not waited for.
    """
    venue = CountingVenue()
    book = _book(venue)
    bar_ms = START_MS

    def asked() -> int:
        nonlocal bar_ms
        before = venue.asked.count("onchain")
        bar_ms += BAR_MS
        assert asyncio.run(book.ensure(bar_ms, bar_ms)) == {}
        return venue.asked.count("onchain") - before

    assert asked() == 1
    assert asked() == 0
    venue.late = frozenset({"mvrv"})
    bar_ms += DAY_MS
    assert [asked(), asked()] == [1, 1]
    venue.late = frozenset()
    assert [asked(), asked()] == [1, 0]


def _ensured(venue: CountingVenue, symbol: str = "BTCUSDT", **changes: Any) -> dict[str, float]:
    book = _book(venue, symbol, **changes)
    assert asyncio.run(book.ensure(START_MS + BAR_MS, START_MS + BAR_MS)) == {}
    return _observed(book, START_MS + BAR_MS)


def test_funding_is_there_for_its_bars_also_where_the_interval_changes() -> None:
    """Every eight hours, from one bar to the next every hour, then every four: no rate is late."""

    def settles(hour: int) -> bool:
        day = hour % 24
        return day % (8 if day < 10 else 1 if day < 16 else 4) == 0

    class Often(CountingVenue):
        async def funding(self, symbol: str, start_ms: int, end_ms: int) -> list[Row]:
            hours = [at // HOUR_MS for at in self._serve("funding", HOUR_MS, start_ms, end_ms)]
            return [Row("funding_rate", at * HOUR_MS + 7, float(at)) for at in hours if settles(at)]

    market = Often()
    book = _book(market)
    for bar in range(96):
        close_ms = START_MS + (bar + 1) * BAR_MS
        assert asyncio.run(book.ensure(close_ms, close_ms)) == {}
        latest = (close_ms - 1) // HOUR_MS
        found = _observed(book, close_ms)
        rates = [found[name] for name in FUNDING_FIELDS]
        expected = [float(latest - k) if settles(latest - k) else math.nan for k in range(24)]
        np.testing.assert_array_equal(rates, expected)
    assert market.asked.count("funding") <= 25


def test_btc_is_asked_for_beside_another_symbol_and_is_its_own_beside_itself() -> None:
    """ETHUSDT reads BTCUSDT's closed candle; BTCUSDT asks nobody for its own."""
    venue = CountingVenue()
    assert _ensured(venue, "ETHUSDT")["btc_close"] == START_MS / MINUTE_MS
    assert venue.asked.count("BTCUSDT 15m last") == 1
    alone = CountingVenue()
    assert _ensured(alone)["btc_close"] == 1.0
    assert "BTCUSDT 15m last" not in alone.asked


def test_what_the_lake_does_not_have_is_not_asked_for() -> None:
    """Without a lag there is no table, and without BTCUSDT among the symbols no candles of it."""
    lags = {**LAGS_MS, "mark_close": None, "minutes": None}
    venue = CountingVenue()
    seen = _ensured(venue, "ETHUSDT", lags_ms=lags, symbols=("ETHUSDT",))
    assert {"ETHUSDT 15m mark", "ETHUSDT 1m last", "BTCUSDT 15m last"}.isdisjoint(venue.asked)
    assert math.isnan(seen["mark_close"])
    assert math.isnan(seen["minute_14_close"])
    assert math.isnan(seen["btc_close"])
    assert seen["index_close"] == 4.0 * START_MS / MINUTE_MS


def test_the_newest_candle_is_asked_for_twice_and_then_missing() -> None:
    """A minute that the venue does not have leaves its place empty and stops nothing."""
    venue = CountingVenue(lacks=frozenset({START_MS + 14 * MINUTE_MS}))
    seen = _ensured(venue)
    assert venue.asked.count("BTCUSDT 1m last") == 2
    assert math.isnan(seen["minute_14_close"])
    assert seen["minute_13_close"] == START_MS / MINUTE_MS + 13


def test_trades_and_books_recorded_before_a_restart_are_recalled(tmp_path: Path) -> None:
    """What an earlier process recorded of the running bar counts as if this one had heard it."""
    recordings = RecordingWriter(tmp_path)
    for number in range(3_000):
        at = START_MS + number * 300
        keys = {"event_time_ms": at, "known_at_ms": at + 40}
        trade = {"trade_id": number, "price": 1.0, "quantity": 1.0, "side": 1.0}
        recordings.add("trades", "BTCUSDT", {**keys, **trade})
        book = dict.fromkeys(DEPTH_FIELDS[:6], 1.0 + number)
        recordings.add("depth", "BTCUSDT", {**keys, "update_id": number, **book})
    recordings.flush()
    with next(tmp_path.glob("trades/*/*.jsonl")).open("a") as file:
        file.write('{"event_time_ms": 17')
    book = _book(CountingVenue(), recordings=tmp_path)
    asyncio.run(book.load(START_MS + BAR_MS, START_MS + BAR_MS))
    seen = _observed(book, START_MS + BAR_MS, volume=3_000.0)
    assert (seen["trade_count"], seen["sign_sum"]) == (3_000.0, 3_000.0)
    assert seen["best_bid"] == 3_000.0
    later = _book(CountingVenue(), recordings=tmp_path)
    asyncio.run(later.load(START_MS + 2 * BAR_MS, START_MS + 2 * BAR_MS))
    assert math.isnan(_observed(later, START_MS + BAR_MS, volume=3_000.0)["trade_count"])


def test_what_was_recorded_long_ago_is_recalled_with_its_page(tmp_path: Path) -> None:
    """Buckets of volume go on for ever: bars of five days ago hold the trades recorded then, each
    once, and those of a page are not those of the next.
    """
    recordings = RecordingWriter(tmp_path)
    bars = 5 * 96
    for number in range(4 * bars):
        at = START_MS + number * BAR_MS // 4 + 7
        trade = {"trade_id": number, "price": 1.0, "quantity": 1.0, "side": 1.0}
        row = {"event_time_ms": at, "known_at_ms": at + 40, **trade}
        recordings.add("trades", "BTCUSDT", row)
    recordings.flush()
    book = _book(CountingVenue(), recordings=tmp_path)
    asyncio.run(book.load(START_MS + BAR_MS, START_MS + bars * BAR_MS))
    for page in range(0, bars, 100):
        last = min(page + 100, bars)
        asyncio.run(book.load_page(START_MS + (page + 1) * BAR_MS, START_MS + last * BAR_MS))
        for bar in range(page, last):
            seen = _observed(book, START_MS + (bar + 1) * BAR_MS, volume=4.0)
            assert seen["trade_count"] == 4.0, bar
        book.observer.forget(START_MS + last * BAR_MS)
