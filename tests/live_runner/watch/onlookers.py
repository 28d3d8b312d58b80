"""A desk that decides what it is given, and people who look at it over HTTP."""

import asyncio
import random
from pathlib import Path
from typing import Any

import httpx

from live_runner.api.http import build_app
from live_runner.desk import Desk
from live_runner.journal.journal import Journal
from tests.live_runner.inside import desk_settings
from tests.live_runner.scene import SYMBOL, Scene
from tests.live_runner.stage import BAR_MS


class CountingJournal(Journal):
    """A journal that knows how often it was asked."""

    asked = 0

    def all(self, query: str, *values: Any) -> list[Any]:
        """Return all rows of a query, and count it."""
        self.asked += 1
        return super().all(query, *values)

    def one(self, query: str, *values: Any) -> Any:
        """Return the only row of a query, and count it."""
        self.asked += 1
        return super().one(query, *values)


class Onlookers:
    """One symbol of a desk has decided `bars` bars; the other still starts. No venue is there."""

    def __init__(self, home: Path, bars: int) -> None:
        self.scene = Scene(home)
        for _ in range(bars):
            self.scene.bar()
        settings = desk_settings(home, "http://venue.test")
        self.market_now_ms = 0
        self.silent = False
        self._venue = httpx.AsyncClient(
            base_url="http://venue.test", transport=httpx.MockTransport(self._answer)
        )
        self.journal = CountingJournal(settings.journal)
        self.desk = Desk(settings, self.journal, self._venue, random.Random(1))
        self.desk.loops[SYMBOL] = self.scene.loop

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.silent:
            return httpx.Response(500)
        return httpx.Response(200, json={"serverTime": self.market_now_ms})

    def market_says(self, *, minutes_after_close: int) -> None:
        """Look at the market's clock, so many minutes after the last bar closed."""
        closed_ms = self.scene.loop.last_open_ms + BAR_MS
        self.market_now_ms = closed_ms + minutes_after_close * 60_000
        asyncio.run(self.desk.clock.look())

    async def ask(self, *paths: str) -> list[httpx.Response]:
        """Return the answers of the desk's API to as many people who ask at once."""
        transport = httpx.ASGITransport(app=build_app(self.desk))
        async with httpx.AsyncClient(transport=transport, base_url="http://runner.test") as client:
            return await asyncio.gather(*(client.get(path) for path in paths))
