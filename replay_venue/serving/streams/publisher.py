"""Streams: one publisher walks through market time, sends what each stream owes and skips none.

Closed candles and trades are sent each once, however far the clock has jumped: candles in order of
their close over all streams, each after every trade before its close; trades in order, where those
of several symbols alternate by a quarter of an hour at most. States (depth, mark price, best bid
and ask, tickers, unfinished candles) are sent as they stand when their period is over, counted in
market time, but a stream sends none within `feeds.STATE_S` of real time of the one before. So a
fast clock conflates them, as a slow reader would see them: depth as one update over the whole step.
"""

import asyncio
from collections.abc import Iterable

from replay_venue.serving.depth import Books
from replay_venue.serving.streams import feeds
from replay_venue.serving.streams.feeds import Feed, Subscriber
from replay_venue.serving.streams.names import parse
from replay_venue.serving.venue import ServedVenue

PATIENCE_S = (
    10.0  # a subscriber that takes nothing for so long is disconnected, as the exchange does
)
CHUNK_MS = 900_000  # market time of trades read at once


class Publisher:
    """Sends to each subscriber what happens after it subscribed, never ahead of the clock."""

    def __init__(self, venue: ServedVenue, books: Books) -> None:
        self._venue = venue
        self._books = books
        self._feeds: dict[str, Feed] = {}

    def subscribe(self, subscriber: Subscriber, name: str) -> None:
        """Begin now, with the bar that is running; ValueError for a name this venue lacks."""
        feed = self._feeds.get(name)
        if feed is None:
            stream = parse(name, self._venue.market.symbols)
            feed = self._feeds[name] = feeds.opened(stream, self._venue, self._books)
        feed.subscribers.add(subscriber)
        self._venue.clock.changed.set()

    def unsubscribe(self, subscriber: Subscriber, name: str | None = None) -> None:
        """Stop one stream, or all of them, for one subscriber."""
        for feed in [feed for key, feed in self._feeds.items() if name in (None, key)]:
            feed.subscribers.discard(subscriber)
            if not feed.subscribers:
                del self._feeds[feed.stream.name]
                if feed.chain is not None:
                    self._books.end(feed.stream.symbol, feed.chain)

    def subscriptions(self, subscriber: Subscriber) -> list[str]:
        """Return the names of a subscriber's streams."""
        return [name for name, feed in self._feeds.items() if subscriber in feed.subscribers]

    async def run(self) -> None:
        """Publish until cancelled."""
        changed = self._venue.clock.changed
        while True:
            changed.clear()
            await self._publish_past(self._venue.clock.now_ms())
            await self._publish_states(self._venue.clock.now_ms())
            try:
                await asyncio.wait_for(changed.wait(), self._real_seconds_idle())
            except TimeoutError:
                continue

    async def _publish_past(self, now_ms: int) -> None:
        """Send the candles closed and the trades made until `now_ms`, in order of time."""
        while True:
            due = (
                (feed.bars.close_ms, name, feed, feed.bars)
                for name, feed in self._feeds.items()
                if feed.bars is not None and feed.bars.close_ms <= now_ms
            )
            close_ms, _, feed, bars = min(due, default=(now_ms + 1, "", None, None))
            await self._publish_trades(close_ms)
            if feed is None or bars is None:
                return
            if bars.close_ms == close_ms and (message := bars.advance()) is not None:
                await self._send(feed, message)
            await asyncio.sleep(0)

    async def _publish_trades(self, until_ms: int) -> None:
        while True:
            behind = [
                (feed, feed.deals)
                for feed in self._feeds.values()
                if feed.deals is not None and feed.deals.next_ms < until_ms
            ]
            if not behind:
                return
            first_ms = min(deals.next_ms for _, deals in behind)
            stop_ms = min(until_ms, (first_ms // CHUNK_MS + 1) * CHUNK_MS)
            for feed, deals in behind:
                if deals.next_ms < stop_ms:
                    for message in deals.advance(stop_ms):
                        await self._send(feed, message)
            await asyncio.sleep(0)

    async def _publish_states(self, now_ms: int) -> None:
        """Send the states that are due; all show the same moment."""
        for feed in tuple(self._feeds.values()):
            state = feed.state
            if state is None or state.due_ms > now_ms or not feed.subscribers:
                continue
            message = state.advance(now_ms, self._venue.clock)
            if message is None:
                continue
            if state.every:
                await self._send(feed, message)
            else:
                _offer(feed, message)

    async def _send(self, feed: Feed, message: bytes) -> None:
        """Deliver what must not be missed, by way of the faults."""
        messages = feed.sequencer.passed_on(message)
        for subscriber in tuple(feed.subscribers):
            if messages is None:
                self._disconnect(subscriber)
                continue
            for each in messages:
                await self._deliver(subscriber, _framed(subscriber, feed.stream.name, each))

    async def _deliver(self, subscriber: Subscriber, message: bytes) -> None:
        if not subscriber.queue.full():
            subscriber.queue.put_nowait(message)
            return
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

    def _real_seconds_idle(self) -> float | None:
        """Return how long nothing is due, or None for until something changes."""
        due = min((at_ms for feed in self._feeds.values() for at_ms in self._due(feed)), default=0)
        return self._venue.clock.real_seconds_until(due) if self._feeds else None

    def _due(self, feed: Feed) -> Iterable[int]:
        if feed.bars is not None:
            yield feed.bars.close_ms
        if feed.deals is not None:
            pace = feeds.paced(feed.stream.period_ms, feeds.STATE_S, self._venue.clock)
            yield feed.deals.next_ms + pace
        if feed.state is not None:
            yield feed.state.due_ms


def _offer(feed: Feed, message: bytes) -> None:
    """Give a state to those who keep up; the others get a later one."""
    for subscriber in feed.subscribers:
        if not subscriber.queue.full():
            subscriber.queue.put_nowait(_framed(subscriber, feed.stream.name, message))


def _framed(subscriber: Subscriber, name: str, message: bytes) -> bytes:
    if not subscriber.combined:
        return message
    return b'{"stream":"%b","data":%b}' % (name.encode(), message)
