"""What one open stream still has to send: each candle and trade once, and states at their pace."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from replay_venue.market import intervals
from replay_venue.serving.clock import Clock
from replay_venue.serving.depth import Books, Chain
from replay_venue.serving.faults.faults import Sequencer
from replay_venue.serving.streams import events as stream_events
from replay_venue.serving.streams.names import MarketStream
from replay_venue.serving.venue import ServedVenue

MAX_QUEUED = 4_096
STATE_S = 0.1  # real seconds at least between two states of a stream, at any speed of the clock
BAR_STATE_S = 1.0  # ... of an unfinished candle


@dataclass(eq=False, slots=True)
class Subscriber:
    """One connection: its queue of messages, None in it ends the connection."""

    combined: bool
    queue: asyncio.Queue[bytes | None] = field(
        default_factory=lambda: asyncio.Queue(MAX_QUEUED), init=False
    )


@dataclass(eq=False, slots=True)
class ClosedBars:
    """Closed candles, one by one: `close_ms` is the close of the next to send."""

    venue: ServedVenue
    stream: MarketStream
    close_ms: int

    def advance(self) -> bytes | None:
        """Return the candle that closed at `close_ms`, and go on to the next."""
        stream = self.stream
        open_ms = intervals.open_of(stream.interval, self.close_ms - 1)
        self.close_ms = intervals.next_open(stream.interval, self.close_ms)
        return stream_events.kline(
            self.venue, stream.symbol, stream.interval, open_ms=open_ms, closed=True
        )


@dataclass(eq=False, slots=True)
class Deals:
    """Trades, none left out: those before `next_ms` have been sent."""

    venue: ServedVenue
    stream: MarketStream
    next_ms: int

    def advance(self, until_ms: int) -> list[bytes]:
        """Return the trades before `until_ms` that have not been sent."""
        symbol = self.stream.symbol
        found = self.venue.trades(symbol, self.next_ms, until_ms - 1)
        self.next_ms = until_ms
        return stream_events.trades(self.venue, symbol, found, self.stream.kind)


@dataclass(eq=False, slots=True)
class FeedState:
    """A state that is sent as it stands at `due_ms`; what it was in between is not.

    `every` event must reach every subscriber: an update that leads on from the one before it.
    """

    show: Callable[[int], bytes | None]
    period_ms: int
    due_ms: int
    every: bool = False
    slowest_s: float = STATE_S

    def advance(self, now_ms: int, clock: Clock) -> bytes | None:
        """Return the state, and wait for a period, but no less than `slowest_s` of real time."""
        self.due_ms = now_ms + paced(self.period_ms, self.slowest_s, clock)
        return self.show(now_ms)


@dataclass(eq=False, slots=True)
class Feed:
    """An open stream and those who listen; what it sends is in up to two of three forms."""

    stream: MarketStream
    sequencer: Sequencer
    bars: ClosedBars | None = None
    deals: Deals | None = None
    state: FeedState | None = None
    chain: Chain | None = None
    subscribers: set[Subscriber] = field(default_factory=set)


def paced(period_ms: int, slowest_s: float, clock: Clock) -> int:
    """Return `period_ms` of market time, or what `slowest_s` of real time is worth if more."""
    return round(max(1.0, slowest_s / clock.real_seconds(period_ms)) * period_ms)


def opened(stream: MarketStream, venue: ServedVenue, books: Books) -> Feed:
    """Return the feed of a stream from now on; ValueError if the market has no such series."""
    feed = Feed(stream, Sequencer(venue.faults, stream.name))
    now_ms = venue.clock.now_ms()
    if stream.kind == "kline":
        open_ms = intervals.open_of(stream.interval, now_ms)
        feed.bars = ClosedBars(venue, stream, intervals.next_open(stream.interval, open_ms))
        show = partial(_unfinished, feed.bars)
        feed.state = FeedState(show, stream.period_ms, now_ms, slowest_s=BAR_STATE_S)
    elif stream.kind in ("aggTrade", "trade"):
        feed.deals = Deals(venue, stream, now_ms + 1)
    elif stream.kind == "depth":
        feed.chain = books.chain(stream.symbol)
        show = partial(_next_update, venue, stream.symbol, books, feed.chain)
        feed.state = FeedState(show, stream.period_ms, now_ms, every=True)
    else:
        if stream.kind in ("partial", "bookTicker"):
            books.require(stream.symbol)
        feed.state = FeedState(partial(_shown, venue, stream, books), stream.period_ms, now_ms)
    return feed


def _unfinished(bars: ClosedBars, _: int) -> bytes | None:
    """Return the running candle, where it lasts long enough to be worth it.

    There is none while the one before it has not been sent.
    """
    open_ms = intervals.open_of(bars.stream.interval, bars.close_ms - 1)
    if bars.venue.clock.real_seconds(bars.close_ms - open_ms) <= 2.0 * BAR_STATE_S:
        return None
    return stream_events.kline(
        bars.venue, bars.stream.symbol, bars.stream.interval, open_ms=open_ms, closed=False
    )


def _next_update(
    venue: ServedVenue, symbol: str, books: Books, chain: Chain, now_ms: int
) -> bytes | None:
    book = books.at(symbol, now_ms)
    update = None if book is None else chain.step(book)
    return None if update is None else stream_events.depth_update(venue, symbol, update)


def _shown(venue: ServedVenue, stream: MarketStream, books: Books, now_ms: int) -> bytes | None:
    if stream.kind == "markPrice":
        return stream_events.mark_price(venue, stream.symbol)
    if stream.kind in ("ticker", "miniTicker"):
        return stream_events.ticker(venue, stream.symbol, stream.kind)
    book = books.at(stream.symbol, now_ms)
    if book is None:
        return None
    if stream.kind == "bookTicker":
        return stream_events.book_ticker(venue, stream.symbol, book)
    return stream_events.partial_depth(venue, stream.symbol, book, stream.levels)
