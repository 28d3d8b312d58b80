"""What goes wrong beside the recorder costs rows, never the recorder: the trader runs with it."""

import asyncio
import json
import random
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from kernel.observer import Observer
from live_runner.market.recorder import Recorder
from live_runner.market.recordings import Recordings
from live_runner.market.venue import VenueError
from live_runner.market.venue_clock import VenueClock
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
        bids, asks = [[self.price[symbol], "1"]], [["1000000", "1"]]
        book = {"T": now_ms, "lastUpdateId": 1, "bids": bids, "asks": asks}
        return httpx.Response(200, content=json.dumps(book))


class Full(Recordings):
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
    venue: Troubled, folder: Path, recordings: Recordings, symbols: tuple[str, ...] = ("BTCUSDT",)
) -> list[str]:
    """Record for two seconds and return what was told; a recorder that ends early is raised."""
    errors: list[str] = []
    client = httpx.AsyncClient(
        transport=httpx.MockTransport(venue.answer), base_url="http://venue.test"
    )
    settings = replace(desk_settings(folder, "http://venue.test"), symbols=symbols)
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
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(recorder.run(), 2.0)
    return errors


def rows(folder: Path, symbol: str) -> int:
    """Return how many books of a symbol were recorded."""
    paths = folder.glob(f"recordings/depth/symbol={symbol}/*.jsonl")
    return sum(len(path.read_text().splitlines()) for path in paths)


def test_a_clock_lost_while_a_book_is_under_way_costs_that_book(tmp_path: Path) -> None:
    """The book cannot be timed any more: it is told and left out."""
    venue = Troubled()
    venue.price, venue.falls_during_depth = {"BTCUSDT": "99"}, True
    errors = asyncio.run(recorded(venue, tmp_path, Recordings(tmp_path / "recordings")))
    assert any("venue clock" in error for error in errors)
    assert rows(tmp_path, "BTCUSDT") == 0


def test_a_disk_that_is_full_costs_the_rows_that_wait(tmp_path: Path) -> None:
    """The recorder tells it and goes on."""
    venue = Troubled()
    errors = asyncio.run(recorded(venue, tmp_path, Full(tmp_path / "recordings")))
    assert any("No space left" in error for error in errors)


def test_a_book_that_is_none_and_one_that_fails_cost_no_other(tmp_path: Path) -> None:
    """A price that is no number, and a symbol without a book, leave the others as they are."""
    venue = Troubled()
    venue.price = {"ETHUSDT": "NaN", "SOLUSDT": "99"}
    symbols = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    recordings = Recordings(tmp_path / "recordings")
    errors = asyncio.run(recorded(venue, tmp_path, recordings, symbols))
    assert any("/depth: found 404" in error for error in errors)
    assert any("JSON compliant" in error for error in errors)
    assert [rows(tmp_path, symbol) for symbol in symbols] == [0, 0, 1]


@pytest.mark.parametrize("moment", ["Infinity", "1e30", "-1e30"])
def test_a_message_of_no_year_is_told_and_left_out(tmp_path: Path, moment: str) -> None:
    """A stamp that no calendar has is one more message that cannot be read."""
    errors: list[str] = []
    settings, client = desk_settings(tmp_path, "http://venue.test"), httpx.AsyncClient()
    recordings = Recordings(tmp_path / "recordings")
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
