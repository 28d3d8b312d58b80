"""What goes wrong beside the recorder costs rows, never the recorder: the trader runs with it."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from kernel.observer import Observer
from live_runner.market.recorder import Recorder
from live_runner.market.recordings import RecordingWriter
from live_runner.market.venue import VenueError
from live_runner.market.venue_clock import VenueClock
from tests.hung import HUNG_S
from tests.live_runner.inside import desk_settings

NOW_MS = 1_765_670_400_000


class Troubled:
    """A venue that does what a test says: it answers its clock or not, and has books or not."""

    def __init__(self) -> None:
        self.up = True
        self.falls_during_depth = False
        self.price: dict[str, str] = {}

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer the clock and the book; nothing else is there."""
        now_ms = NOW_MS + int(time.monotonic() * 1_000)
        if request.url.path.endswith("/time"):
            return httpx.Response(200 if self.up else 503, json={"serverTime": now_ms})
        symbol = request.url.params.get("symbol", "")
        if not request.url.path.endswith("/depth") or symbol not in self.price:
            return httpx.Response(404)
        self.up = not self.falls_during_depth
        if self.falls_during_depth:
            await asyncio.sleep(1.0)
        bids = [[self.price[symbol], "1"]]
        asks = [["1000000", "1"]]
        book = {"T": now_ms, "lastUpdateId": 1, "bids": bids, "asks": asks}
        return httpx.Response(200, content=json.dumps(book))


class Full(RecordingWriter):
    """A disk that takes nothing."""

    def flush(self) -> int:
        """Fail."""
        raise OSError(28, "No space left on device")


class Eager(VenueClock):
    """A clock that is looked at many times a second, and steady as soon as it answers."""

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            try:
                await self.look()
                self.steady.set()
            except VenueError:
                self._look = None
                self.steady.clear()
            await asyncio.sleep(0.02)


async def recorded(
    venue: Troubled,
    folder: Path,
    recordings: RecordingWriter,
    *,
    until: Callable[[list[str]], bool],
    symbols: tuple[str, ...] = ("BTCUSDT",),
) -> list[str]:
    """Record until what was told is enough, and return it; a recorder that ends early is raised."""
    errors: list[str] = []
    client = httpx.AsyncClient(
        transport=httpx.MockTransport(venue.answer), base_url="http://venue.test"
    )
    coins = {symbol: symbol.removesuffix("USDT").lower() for symbol in symbols}
    settings = replace(desk_settings(folder, "http://venue.test"), symbols=symbols, coins=coins)
    observers = {symbol: Observer(settings.bar_ms) for symbol in settings.symbols}
    recorder = Recorder(
        settings=settings,
        recordings=recordings,
        client=client,
        rng=random.Random(1),
        on_error=errors.append,
        observers=observers,
    )
    recorder.clock = Eager(recorder._venue)
    running = asyncio.ensure_future(recorder.run())
    async with asyncio.timeout(HUNG_S):
        while not until(errors):
            assert not running.done(), running.result()
            await asyncio.sleep(0.02)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return errors


def says(*words: str) -> Callable[[list[str]], bool]:
    """Return whether each of the words is in one of the errors."""
    return lambda errors: all(any(word in error for error in errors) for word in words)


def rows(folder: Path, symbol: str) -> int:
    """Return how many books of a symbol were recorded."""
    paths = folder.glob(f"recordings/depth/symbol={symbol}/*.jsonl")
    return sum(len(path.read_text().splitlines()) for path in paths)


def test_a_clock_lost_while_a_book_is_under_way_costs_that_book(tmp_path: Path) -> None:
    """The book cannot be timed any more: it is told and left out."""
    venue = Troubled()
    venue.price = {"BTCUSDT": "99"}
    venue.falls_during_depth = True
    recordings = RecordingWriter(tmp_path / "recordings")
    asyncio.run(recorded(venue, tmp_path, recordings, until=says("venue clock")))
    assert rows(tmp_path, "BTCUSDT") == 0


def test_a_disk_that_is_full_costs_the_rows_that_wait(tmp_path: Path) -> None:
    """The recorder tells it and goes on."""
    venue = Troubled()
    full = Full(tmp_path / "recordings")
    asyncio.run(recorded(venue, tmp_path, full, until=says("No space left")))
    assert rows(tmp_path, "BTCUSDT") == 0


def test_a_book_that_is_none_and_one_that_fails_cost_no_other(tmp_path: Path) -> None:
    """A price that is no number, and a symbol without a book, leave the others as they are."""
    venue = Troubled()
    venue.price = {"ETHUSDT": "NaN", "SOLUSDT": "99"}
    symbols = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    recordings = RecordingWriter(tmp_path / "recordings")
    told = says("/depth: found 404", "JSON compliant")

    def done(errors: list[str]) -> bool:
        return told(errors) and rows(tmp_path, "SOLUSDT") > 0

    asyncio.run(recorded(venue, tmp_path, recordings, until=done, symbols=symbols))
    assert rows(tmp_path, "BTCUSDT") == rows(tmp_path, "ETHUSDT") == 0


@pytest.mark.parametrize("moment", ["Infinity", "1e30", "-1e30"])
def test_a_message_of_no_year_is_told_and_left_out(tmp_path: Path, moment: str) -> None:
    """A stamp that no calendar has is one more message that cannot be read."""
    errors: list[str] = []
    settings = desk_settings(tmp_path, "http://venue.test")
    client = httpx.AsyncClient()
    recordings = RecordingWriter(tmp_path / "recordings")
    observers = {symbol: Observer(settings.bar_ms) for symbol in settings.symbols}
    recorder = Recorder(
        settings=settings,
        recordings=recordings,
        client=client,
        rng=random.Random(1),
        on_error=errors.append,
        observers=observers,
    )
    recorder.clock._look = (0.0, NOW_MS)
    trade = f'{{"e":"aggTrade","s":"BTCUSDT","a":5,"p":"1","q":"1","m":true,"T":{moment}}}'
    recorder.hear(f'{{"data":{trade}}}')
    assert len(errors) == 1
    assert recordings.flush() == 0
