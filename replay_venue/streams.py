"""Kline streams: one publisher walks every stream bar by bar, in time order, and skips none."""

import asyncio
import json
import re
import time
from dataclasses import dataclass, field

from kernel.bars import TIMEFRAME_MS
from replay_venue.faults import Sequencer
from replay_venue.venue import Venue
from replay_venue.wire import JsonObject, kline_event

MAX_QUEUED = 4_096
PATIENCE_S = (
    10.0  # a subscriber that takes nothing for so long is disconnected, as the exchange does
)
UPDATE_S = 1.0  # real seconds between updates of an unfinished candle


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream's name in its parts: `btcusdt@kline_15m`."""

    name: str
    symbol: str
    timeframe: str

    @property
    def step_ms(self) -> int:
        """Return the length of a bar."""
        return TIMEFRAME_MS[self.timeframe]


def parse(name: str, symbols: tuple[str, ...]) -> Stream:
    """Return the stream called `name`; ValueError if this venue has none of that name."""
    match = re.fullmatch(r"([a-z0-9]+)@kline_(\d+[a-z])", name)
    if match is None or match[1].upper() not in symbols or match[2] not in TIMEFRAME_MS:
        raise ValueError(f"stream: found {name!r}, expected <symbol>@kline_<interval> of {symbols}")
    return Stream(name, match[1].upper(), match[2])


@dataclass(eq=False, slots=True)
class Subscriber:
    """One connection: its queue of messages, None in it ends the connection."""

    combined: bool
    queue: asyncio.Queue[bytes | None] = field(
        default_factory=lambda: asyncio.Queue(MAX_QUEUED), init=False
    )


@dataclass(eq=False, slots=True)
class _Feed:
    stream: Stream
    next_close_ms: int
    sequencer: Sequencer
    subscribers: set[Subscriber] = field(default_factory=set)


class Publisher:
    """Sends each bar to each subscriber once, when the venue's clock has passed its close.

    A subscriber gets every bar that closes after it subscribed. All streams are walked in order of
    close time, however far the clock has jumped; it never runs ahead of the clock that REST shows.
    """

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._feeds: dict[str, _Feed] = {}
        self._next_update = 0.0
        self.published = 0

    def subscribe(self, subscriber: Subscriber, name: str) -> None:
        """Begin with the bar that is running now; ValueError for a name this venue lacks."""
        feed = self._feeds.get(name)
        if feed is None:
            stream = parse(name, self._venue.market.symbols)
            close_ms = (self._venue.clock.now_ms() // stream.step_ms + 1) * stream.step_ms
            feed = _Feed(stream, close_ms, Sequencer(self._venue.faults, name))
            self._feeds[name] = feed
        feed.subscribers.add(subscriber)
        self._venue.clock.changed.set()

    def unsubscribe(self, subscriber: Subscriber, name: str | None = None) -> None:
        """Stop one stream, or all of them, for one subscriber."""
        for feed in [feed for key, feed in self._feeds.items() if name in (None, key)]:
            feed.subscribers.discard(subscriber)
            if not feed.subscribers:
                del self._feeds[feed.stream.name]

    def subscriptions(self, subscriber: Subscriber) -> list[str]:
        """Return the names of a subscriber's streams."""
        return [name for name, feed in self._feeds.items() if subscriber in feed.subscribers]

    async def run(self) -> None:
        """Publish until cancelled."""
        changed = self._venue.clock.changed
        while True:
            changed.clear()
            await self._publish_closed()
            self._publish_updates()
            try:
                await asyncio.wait_for(changed.wait(), self._real_seconds_idle())
            except TimeoutError:
                continue

    async def _publish_closed(self) -> None:
        while True:
            feed = min(self._feeds.values(), key=_due, default=None)
            if feed is None or feed.next_close_ms > self._venue.clock.now_ms():
                return
            open_ms = feed.next_close_ms - feed.stream.step_ms
            feed.next_close_ms += feed.stream.step_ms
            message = self._closed_message(feed.stream, open_ms)
            if message is not None:
                await self._send(feed, message)
            await asyncio.sleep(0)

    def _closed_message(self, stream: Stream, open_ms: int) -> bytes | None:
        bar = self._venue.closed_bar(stream.symbol, stream.timeframe, open_ms)
        if len(bar) == 0:
            return None
        self.published += 1
        return _encoded(
            kline_event(
                bar,
                0,
                symbol=stream.symbol,
                timeframe=stream.timeframe,
                closed=True,
                now_ms=self._venue.clock.now_ms(),
            )
        )

    async def _send(self, feed: _Feed, message: bytes) -> None:
        messages = feed.sequencer.passed_on(message)
        for subscriber in tuple(feed.subscribers):
            if messages is None:
                self._disconnect(subscriber)
                continue
            for each in messages:
                await self._deliver(subscriber, _framed(subscriber, feed.stream.name, each))

    async def _deliver(self, subscriber: Subscriber, message: bytes) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await subscriber.queue.put(message)
        except TimeoutError:
            self._disconnect(subscriber)

    def _disconnect(self, subscriber: Subscriber) -> None:
        self.unsubscribe(subscriber)
        if subscriber.queue.full():
            subscriber.queue.get_nowait()
        subscriber.queue.put_nowait(None)

    def _publish_updates(self) -> None:
        """Send the unfinished candles, where they last long enough to be worth it."""
        if time.monotonic() < self._next_update or not self._feeds:
            return
        self._next_update = time.monotonic() + UPDATE_S
        for feed in self._feeds.values():
            if self._updates(feed.stream):
                self._send_update(feed)

    def _send_update(self, feed: _Feed) -> None:
        stream = feed.stream
        bar = self._venue.running_bar(stream.symbol, stream.timeframe)
        if len(bar) == 0 or int(bar.open_time_ms[0]) + stream.step_ms != feed.next_close_ms:
            return
        message = _encoded(
            kline_event(
                bar,
                0,
                symbol=stream.symbol,
                timeframe=stream.timeframe,
                closed=False,
                now_ms=self._venue.clock.now_ms(),
            )
        )
        for subscriber in feed.subscribers:
            if not subscriber.queue.full():
                subscriber.queue.put_nowait(_framed(subscriber, stream.name, message))

    def _updates(self, stream: Stream) -> bool:
        return self._venue.clock.real_seconds(stream.step_ms) > 2.0 * UPDATE_S

    def _real_seconds_idle(self) -> float | None:
        """Return how long nothing is due, or None for until something changes."""
        if not self._feeds:
            return None
        due_ms = min(feed.next_close_ms for feed in self._feeds.values())
        wait = self._venue.clock.real_seconds_until(due_ms)
        if wait is not None and any(self._updates(feed.stream) for feed in self._feeds.values()):
            wait = min(wait, max(self._next_update - time.monotonic(), 0.0))
        return wait


def _due(feed: _Feed) -> tuple[int, str]:
    return feed.next_close_ms, feed.stream.name


def _encoded(event: JsonObject) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def _framed(subscriber: Subscriber, name: str, message: bytes) -> bytes:
    if not subscriber.combined:
        return message
    return b'{"stream":"%b","data":%b}' % (name.encode(), message)
