"""The market feed: closed bars of each symbol exactly once, in order, without gaps.

A WebSocket brings closed candles: the bars, and their minutes for whoever hears all of it. A `Lane`
per symbol drops what it has seen, asks REST for what is missing before anything later goes on, and
writes down as a hole what the venue itself does not have.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, NamedTuple

import websockets.asyncio.client
from websockets.exceptions import InvalidHandshake, WebSocketException

from kernel.clock import bar_open_ms
from live_runner.candles import Arrival, Candle, from_stream, violation
from live_runner.market.venue import Pauses, Venue, persist
from live_runner.settings import RunnerSettings

IDLE_SECONDS = 10.0
SYNC = None
CATCH_UP_BARS = 1_000


class Heard(NamedTuple):
    """A closed candle as the socket names it."""

    symbol: str
    timeframe: str
    candle: Candle


class Lane:
    """Bars of one symbol on their way from the socket to the decision.

    `on_hole(open_time_ms, reason)` is called once for each bar that the venue cannot deliver
    soundly.
    """

    def __init__(
        self,
        *,
        symbol: str,
        settings: RunnerSettings,
        venue: Venue,
        backoff: Pauses,
        rng: random.Random,
        on_hole: Callable[[int, str], None],
        on_duplicate: Callable[[], None],
    ) -> None:
        self.symbol = symbol
        self._timeframe = settings.timeframe
        self._bar_ms = settings.bar_ms
        self._venue = venue
        self._backoff = backoff
        self._rng = rng
        self._on_hole = on_hole
        self._on_duplicate = on_duplicate
        self._inbox: asyncio.Queue[tuple[Candle | None, int]] = asyncio.Queue()

    def put(self, candle: Candle | None) -> None:
        """Take a closed candle off the socket, or SYNC: look for bars that the socket did not
        bring.
        """
        self._inbox.put_nowait((candle, time.perf_counter_ns()))

    async def batches(self, last_open_ms: int) -> AsyncIterator[list[Arrival]]:
        """Yield the bars after `last_open_ms` as they come: ascending, each batch after the last.

        Bars that wait together come together, so that a backlog costs one look at the slow series.
        """
        while True:
            waiting = [await self._inbox.get()]
            while not self._inbox.empty():
                waiting.append(self._inbox.get_nowait())
            batch: list[Arrival] = []
            for candle, received_ns in waiting:
                if candle is None:
                    until_ms = await self._venue_now_open_ms()
                elif candle.open_time_ms <= last_open_ms:
                    self._on_duplicate()
                    continue
                else:
                    until_ms = candle.open_time_ms
                batch += await self._repair(last_open_ms + self._bar_ms, until_ms)
                last_open_ms = max(last_open_ms, until_ms - self._bar_ms)
                if candle is not None:
                    batch += await self._sound(candle, received_ns)
                    last_open_ms = candle.open_time_ms
            if batch:
                yield batch

    async def _sound(self, candle: Candle, received_ns: int) -> list[Arrival]:
        """Return the candle, or what REST has in its place when it is broken."""
        if not violation(candle, self._bar_ms):
            return [Arrival(candle, received_ns, repaired=False)]
        return await self._page(candle.open_time_ms, candle.open_time_ms + self._bar_ms)

    async def _repair(self, start_ms: int, end_ms: int) -> list[Arrival]:
        """Return the bars that open in [start, end) from REST, however long the venue takes."""
        bars: list[Arrival] = []
        for page_ms in range(start_ms, end_ms, CATCH_UP_BARS * self._bar_ms):
            stop_ms = min(page_ms + CATCH_UP_BARS * self._bar_ms, end_ms)
            bars += await self._page(page_ms, stop_ms)
        return bars

    async def _page(self, start_ms: int, end_ms: int) -> list[Arrival]:
        """Return the sound bars of one page; what the venue lacks, asked twice, is a hole."""
        expected = range(start_ms, end_ms, self._bar_ms)
        found = await self._candles(start_ms, end_ms)
        if len(found) < len(expected):
            found = await self._candles(start_ms, end_ms) | found
        received_ns = time.perf_counter_ns()
        page: list[Arrival] = []
        for at in expected:
            reason = violation(found[at], self._bar_ms) if at in found else "venue has no bar"
            if reason:
                self._on_hole(at, reason)
            else:
                page.append(Arrival(found[at], received_ns, repaired=True))
        return page

    async def _candles(self, start_ms: int, end_ms: int) -> dict[int, Candle]:
        candles = await persist(
            lambda: self._venue.candles(
                symbol=self.symbol,
                timeframe=self._timeframe,
                bar_ms=self._bar_ms,
                start_ms=start_ms,
                end_ms=end_ms,
            ),
            self._backoff,
            self._rng,
        )
        return {candle.open_time_ms: candle for candle in candles}

    async def _venue_now_open_ms(self) -> int:
        now_ms = await persist(self._venue.time_ms, self._backoff, self._rng)
        return bar_open_ms(now_ms, self._bar_ms)


async def listen(
    *,
    settings: RunnerSettings,
    lanes: Mapping[str, Lane],
    hear: Callable[[str, str, Candle], None],
    backoff: Pauses,
    rng: random.Random,
    on_error: Callable[[str], None],
) -> None:
    """Carry closed bars from the venue's socket into the lanes, reconnecting for ever.

    After each connection, and after each quiet spell, the lanes look for what they may have missed.
    `hear(symbol, timeframe, candle)` is told every closed candle, minutes included, before a lane
    has it; it may miss some.
    """
    names = "/".join(
        f"{symbol.lower()}@kline_{timeframe}"
        for symbol in lanes
        for timeframe in dict.fromkeys(("1m", settings.timeframe))
    )
    address = f"{settings.venue_ws}/stream?streams={names}"
    attempt = 0
    while True:
        try:
            async with websockets.asyncio.client.connect(
                address, compression=None, open_timeout=5, ping_interval=20, max_size=2**20
            ) as socket:
                attempt = 0
                _sync(lanes.values())
                await _receive(socket, settings.timeframe, lanes, hear)
        except (OSError, InvalidHandshake, WebSocketException, TimeoutError) as error:
            on_error(f"WebSocket {address}: found {error!r}")
        await asyncio.sleep(backoff.seconds(attempt, rng))
        attempt += 1


async def _receive(
    socket: websockets.asyncio.client.ClientConnection,
    bars: str,
    lanes: Mapping[str, Lane],
    hear: Callable[[str, str, Candle], None],
) -> None:
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                message = await socket.recv()
        except TimeoutError:
            _sync(lanes.values())
            continue
        if (heard := parse(message)) is None:
            continue
        hear(*heard)
        if heard.timeframe == bars and heard.symbol in lanes:
            lanes[heard.symbol].put(heard.candle)


def parse(message: str | bytes) -> Heard | None:
    """Return what a message says of a closed candle, None for any other message.

    A message that cannot be read is None too: the bar it may have held is found missing and
    repaired.
    """
    try:
        body: Any = json.loads(message)
        kline = body["data"]["k"]
        if kline["x"] is not True:
            return None
        return Heard(str(kline["s"]), str(kline["i"]), from_stream(kline))
    except (ValueError, KeyError, TypeError):
        return None


def _sync(lanes: Iterable[Lane]) -> None:
    for lane in lanes:
        lane.put(SYNC)
