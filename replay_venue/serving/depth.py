"""Order-book updates that lead every snapshot ever shown to the venue's present book.

The exchange's procedure for a local book: buffer the stream, take a snapshot, drop the events older
than it, apply the rest. It ends at the venue's very book if each event carries every level in which
the book now differs from any state a client may hold: the one the last event led to, and each
snapshot taken since. Source: developers.binance.com, "How to manage a local order book correctly".
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from replay_venue.market.series import Book
from replay_venue.serving.venue import ServedVenue

Change = tuple[float, float]  # price and its new quantity, 0 where the level is gone


@dataclass(frozen=True, slots=True)
class Update:
    """One event's content. Applied to any state between `before_id` and `after.update_id`."""

    before_id: int
    after: Book
    bids: list[Change]
    asks: list[Change]


@dataclass(eq=False, slots=True)
class Chain:
    """The events of one depth stream: each begins where the one before it ended.

    `states` are the book that the last event led to and the snapshots shown since.
    """

    states: list[Book]

    def step(self, book: Book) -> Update | None:
        """Return the update that leads here; None if the book has not moved."""
        before_id = self.states[0].update_id
        if book.update_id <= before_id:
            return None
        past = [one for one in self.states if one.update_id <= book.update_id]
        self.states = [book, *(one for one in self.states if one.update_id > book.update_id)]
        bids = changes([_bids(one) for one in past], _bids(book))
        asks = changes([_asks(one) for one in past], _asks(book))
        return Update(before_id, book, bids, asks)


@dataclass(eq=False, slots=True)
class Books:
    """The books that clients have seen: the chains of the open streams learn of every snapshot."""

    venue: ServedVenue
    _chains: dict[str, list[Chain]] = field(default_factory=dict, init=False)
    _last: dict[str, tuple[int, Book | None]] = field(default_factory=dict, init=False)

    def at(self, symbol: str, at_ms: int) -> Book | None:
        """Return the book at `at_ms`; several streams of one symbol ask for the same moment."""
        known_ms, book = self._last.get(symbol, (-1, None))
        if known_ms != at_ms:
            book = self.venue.book(symbol, at_ms)
            self._last[symbol] = (at_ms, book)
        return book

    def shown(self, symbol: str) -> Book | None:
        """Return the book now, which a client will hold from now on."""
        book = self.at(symbol, self.venue.clock.now_ms())
        for chain in self._chains.get(symbol, ()):
            if book is not None and book.update_id != chain.states[-1].update_id:
                chain.states.append(book)
        return book

    def require(self, symbol: str) -> Book:
        """Return the book now; ValueError if the market has none."""
        book = self.at(symbol, self.venue.clock.now_ms())
        if book is None:
            raise ValueError(f"found no order book of {symbol}, expected a market that has one")
        return book

    def chain(self, symbol: str) -> Chain:
        """Return a chain that begins now; ValueError if the market has no book."""
        chain = Chain([self.require(symbol)])
        self._chains.setdefault(symbol, []).append(chain)
        return chain

    def end(self, symbol: str, chain: Chain) -> None:
        """Forget a chain whose stream has ended."""
        self._chains[symbol].remove(chain)


Side = tuple[NDArray[np.float64], NDArray[np.float64]]


def changes(before: list[Side], now: Side) -> list[Change]:
    """Return the levels of which any earlier side differs from this one, with their quantity now.

    A side is prices and quantities, float64[levels].
    """
    present = _by_price(now)
    moved: dict[float, float] = {}
    for side in before:
        known = _by_price(side)
        moved.update((price, 0.0) for price in known.keys() - present.keys())
        moved.update(present.items() - known.items())
    return sorted(moved.items())


def _by_price(side: Side) -> dict[float, float]:
    return dict(zip(side[0].tolist(), side[1].tolist(), strict=True))


def _bids(book: Book) -> Side:
    return book.bid_price, book.bid_quantity


def _asks(book: Book) -> Side:
    return book.ask_price, book.ask_quantity
