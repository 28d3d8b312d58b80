"""Record what a feed brings and when: trades, depth, and how late every series arrives.

It has connections of its own, so that nothing it does can delay or harm a decision, and it works
only beside a venue clock that runs at our pace.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import httpx
import websockets.asyncio.client
from websockets.exceptions import InvalidHandshake, WebSocketException

from kernel.observation import SERIES_TABLE
from kernel.observer import Observer
from live_runner.market.recordings import RecordingWriter, tell
from live_runner.market.recordings import Row as Recorded
from live_runner.market.venue import DAY_MS, Pauses, Row, Venue, VenueError
from live_runner.market.venue_clock import VenueClock
from live_runner.settings import RunnerSettings

FLUSH_EVERY_S = 1.0
DEPTH_EVERY_S = 6.0
POLL_EVERY_S = 30.0  # the resolution of a slow series' lag
REQUEST_BACKOFF = Pauses(base_s=0.1, cap_s=2.0, attempts=3)
OUTAGE_BACKOFF = Pauses(base_s=0.5, cap_s=30.0, attempts=1)
CANDLES = {"1m": "minute_candles"}  # any other interval is the one traded on
UNREADABLE = (ValueError, OverflowError)  # a number that is none, or a time in no year
DESCRIBED_MS = {"onchain": DAY_MS}  # a row about a day cannot be known before the day is over


class Recorder:
    """Write recordings of every symbol; `on_error` hears of what failed, and recording goes on.

    What is recorded is told to the symbol's observer. What comes in after a bar was observed is
    recorded as known after its close: whoever reads the recordings sees what was decided on.
    """

    def __init__(
        self,
        *,
        settings: RunnerSettings,
        recordings: RecordingWriter,
        client: httpx.AsyncClient,
        rng: random.Random,
        on_error: Callable[[str], None],
        observers: Mapping[str, Observer],
    ) -> None:
        self._settings = settings
        self._recordings = recordings
        self._rng = rng
        self._observers = observers
        self._on_error = on_error
        self._venue = Venue(client, REQUEST_BACKOFF, rng, on_error)
        self.clock = VenueClock(self._venue)

    async def run(self) -> None:
        """Record until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.clock.run())
            tasks.create_task(self._flush())
            tasks.create_task(self._listen())
            for symbol in self._settings.symbols:
                depth = partial(self._record_depth, symbol)
                tasks.create_task(self._again(DEPTH_EVERY_S, depth))
                tasks.create_task(self._again(POLL_EVERY_S, Watch(symbol, self).poll))

    async def slow_rows(self, symbol: str, since_ms: int) -> list[Row]:
        """Return the latest rows of every slow series of a symbol; raises VenueError."""
        venue = self._venue
        now_ms = self.clock.now_ms()
        settings = self._settings
        parts = await asyncio.gather(
            venue.funding(symbol, since_ms, now_ms),
            venue.open_interest(symbol, settings.timeframe, settings.bar_ms, since_ms, now_ms),
            venue.fear_greed(since_ms, now_ms),
            venue.onchain(settings.coins[symbol], since_ms, now_ms),
        )
        return [row for rows in parts for row in rows]

    def arrived(self, table: str, symbol: str, event_ms: int, knowable_ms: int) -> None:
        """Note that a row came in just now that could have been known at `knowable_ms`."""
        now_ms = max(self.clock.now_ms(), knowable_ms)
        lag = {"series": table, "lag_ms": now_ms - knowable_ms}
        row = {"event_time_ms": event_ms, "known_at_ms": now_ms, **lag}
        self._recordings.add("arrivals", symbol, row)

    def hear(self, message: str | bytes) -> None:
        """Take one message of the socket; what cannot be read is told and left out."""
        try:
            data: Any = json.loads(message)["data"]
            if data["e"] == "aggTrade":
                self._hear_trade(data)
            elif data["e"] == "kline" and data["k"]["x"] is True:
                kline = data["k"]
                table = CANDLES.get(str(kline["i"]), "candles")
                self.arrived(table, str(kline["s"]), int(kline["t"]), int(kline["T"]) + 1)
        except (KeyError, TypeError, *UNREADABLE) as error:
            self._on_error(f"recorder: found a message that fails with {error!r}: {message!r:.80}")

    def _hear_trade(self, trade: Any) -> None:
        symbol = str(trade["s"])
        event_ms = int(trade["T"])
        row = {
            "event_time_ms": event_ms,
            "known_at_ms": self._known_ms(symbol, event_ms),
            "trade_id": int(trade["a"]),
            "price": float(trade["p"]),
            "quantity": float(trade["q"]),
            "side": -1.0 if trade["m"] else 1.0,
        }
        self._record("trades", symbol, row)

    def _known_ms(self, symbol: str, event_ms: int) -> int:
        """Return when a row that came in just now counts as known."""
        return max(self.clock.now_ms(), event_ms, self._observers[symbol].latest_close_ms + 1)

    def _record(self, table: str, symbol: str, row: Recorded) -> None:
        self._recordings.add(table, symbol, row)
        tell(self._observers[symbol], table, row)

    async def _listen(self) -> None:
        intervals = dict.fromkeys(("1m", self._settings.timeframe))
        names = "/".join(
            f"{symbol.lower()}@{stream}"
            for symbol in self._settings.symbols
            for stream in ("aggTrade", *(f"kline_{interval}" for interval in intervals))
        )
        address = f"{self._settings.venue_ws}/stream?streams={names}"
        attempt = 0
        while True:
            await self.clock.steady.wait()
            try:
                async with websockets.asyncio.client.connect(
                    address, compression=None, open_timeout=5, max_size=2**20
                ) as socket:
                    attempt = 0
                    async for message in socket:
                        if not self.clock.steady.is_set():
                            break
                        self.hear(message)
            except (OSError, InvalidHandshake, WebSocketException, TimeoutError) as error:
                self._on_error(f"recorder: {address}: found {error!r}")
            await asyncio.sleep(OUTAGE_BACKOFF.seconds(attempt, self._rng))
            attempt += 1

    async def _record_depth(self, symbol: str) -> None:
        book = await self._venue.depth(symbol)
        row = {**book, "known_at_ms": self._known_ms(symbol, book["event_time_ms"])}
        self._record("depth", symbol, row)

    async def _again(self, every_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self.clock.steady.wait()
            try:
                await work()
            except (VenueError, *UNREADABLE) as error:
                self._on_error(f"recorder: {error}")
            await asyncio.sleep(every_s)

    async def _flush(self) -> None:
        try:
            while True:
                await asyncio.sleep(FLUSH_EVERY_S)
                self._write()
        finally:
            self._write()

    def _write(self) -> None:
        """Write what waits; a disk that takes nothing costs these rows, and nothing else."""
        try:
            self._recordings.flush()
        except OSError as error:
            self._on_error(f"recorder: found {error!r}, lost the rows that waited; disk full?")


class Watch:
    """Look at one symbol's slow series and note each row that was not there a moment before."""

    def __init__(self, symbol: str, recorder: Recorder) -> None:
        self._symbol = symbol
        self._recorder = recorder
        self._seen: dict[str, int] = {}
        self._polled_ms = 0

    async def poll(self) -> None:
        """Read the latest rows; the first poll, and one after an outage, only learns what is there.

        Raises VenueError.
        """
        now_ms = self._recorder.clock.now_ms()
        rows = await self._recorder.slow_rows(self._symbol, now_ms - 3 * DAY_MS)
        latest: dict[str, int] = {}
        for row in rows:
            table = SERIES_TABLE[row.name]
            latest[table] = max(latest.get(table, 0), row.event_time_ms)
        watched = now_ms - self._polled_ms <= 3_000 * POLL_EVERY_S
        for table, event_ms in latest.items():
            if watched and event_ms > self._seen.get(table, event_ms):
                knowable_ms = event_ms + DESCRIBED_MS.get(table, 0)
                self._recorder.arrived(table, self._symbol, event_ms, knowable_ms)
        self._seen = latest
        self._polled_ms = now_ms
