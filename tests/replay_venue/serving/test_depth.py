"""The order book: snapshots, and the documented way to a local copy that is exactly the venue's."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from replay_venue.market.generated import GeneratedSource
from replay_venue.market.series import Book
from replay_venue.serving.clock import Clock
from replay_venue.serving.depth import Books, Update
from replay_venue.serving.faults.faults import Faults
from replay_venue.serving.venue import ServedVenue
from tests.hung import HUNG_S
from tests.replay_venue.clockwork import BOOK_MS, Clockwork
from tests.replay_venue.served import Served, at, clockwork, received

DEPTH = "/fapi/v1/depth"
START = at("2025-04-10 07:07:30")


class LocalBook:
    """The exchange's procedure, to the letter; raises where the stream does not allow it."""

    def __init__(self) -> None:
        self.sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
        self.update_id: int | None = None
        self._begun = False

    def snapshot(self, answer: dict[str, Any], buffered: list[dict[str, Any]]) -> None:
        """Take a snapshot, drop what is older, and apply the rest of what was buffered."""
        self.sides = tuple({float(p): float(q) for p, q in answer[s]} for s in ("bids", "asks"))
        self.update_id = answer["lastUpdateId"]
        self._begun = False
        for event in buffered:
            self.apply(event)

    def apply(self, event: dict[str, Any]) -> None:
        """Apply one event, or drop it if it is older than the snapshot."""
        assert self.update_id is not None
        if event["u"] < self.update_id:
            return
        if self._begun:
            assert event["pu"] == self.update_id
        else:
            assert event["U"] <= self.update_id <= event["u"]
        self._begun = True
        self.update_id = event["u"]
        for side, levels in zip(self.sides, (event["b"], event["a"]), strict=True):
            for price, quantity in levels:
                side[float(price)] = float(quantity)
                if float(quantity) == 0:
                    del side[float(price)]

    def check(self, book: Book | None) -> None:
        """Compare with the venue's own book."""
        assert book is not None
        assert self.update_id == book.update_id
        bids, asks = self.sides
        assert bids == dict(zip(book.bid_price.tolist(), book.bid_quantity.tolist(), strict=True))
        assert asks == dict(zip(book.ask_price.tolist(), book.ask_quantity.tolist(), strict=True))


def next_update(socket: ClientConnection, served: Served, **change: Any) -> dict[str, Any]:
    """Move the clock and return the update that this brings."""
    served.control("clock", **change)
    return received(socket)


@pytest.mark.parametrize("limit", [5, 10, 20, 50, 100, 500, 1_000])
def test_a_snapshot_is_the_best_of_the_book(limit: int) -> None:
    """Levels are best first, as many as asked for, with the book's id and time."""
    with clockwork("2025-04-10 07:07:30") as served:
        answer = served.get(DEPTH, symbol="BTCUSDT", limit=limit)
    book = Clockwork().book("BTCUSDT", START, 1_000)
    assert book is not None
    assert answer["lastUpdateId"] == book.update_id
    assert answer["T"] == START
    assert [float(p) for p, _ in answer["bids"]] == book.bid_price[:limit].tolist()
    assert [float(q) for _, q in answer["asks"]] == book.ask_quantity[:limit].tolist()


def test_a_market_without_a_book_says_so() -> None:
    """A recording without depth refuses the snapshot and the streams, and serves the rest."""
    with clockwork("2025-04-10 07:07:30", bookless=True) as served:
        for path in (DEPTH, "/fapi/v1/ticker/bookTicker"):
            answer = served.http.get(path, params={"symbol": "BTCUSDT"})
            assert (answer.status_code, answer.json()["code"]) == (400, -4108)
        assert served.get("/fapi/v1/ticker/bookTicker") == []
        for name in ("depth", "depth5", "bookTicker"):
            with (
                connect(f"{served.ws}/ws/btcusdt@{name}") as socket,
                pytest.raises(ConnectionClosed, match="no order book"),
            ):
                socket.recv(timeout=HUNG_S)
        assert served.get("/fapi/v1/ticker/24hr", symbol="BTCUSDT")["lastPrice"]


@pytest.mark.parametrize("suffix", ["", "@100ms", "@500ms"])
def test_the_documented_procedure_gives_the_venue_s_book(suffix: str) -> None:
    """Buffer, snapshot, drop, apply: after every later event the copy is the venue's book."""
    with (
        clockwork("2025-04-10 07:07:30") as served,
        connect(f"{served.ws}/ws/btcusdt@depth{suffix}") as socket,
    ):
        subscribed(socket)
        buffered = [
            next_update(socket, served, advance_to_ms=START + 1_000 * k) for k in range(1, 4)
        ]
        local = LocalBook()
        served.control("clock", advance_to_ms=START + 3_050 + BOOK_MS)
        local.snapshot(served.get(DEPTH, symbol="BTCUSDT", limit=1_000), buffered)
        buffered_after = received(socket) if suffix == "@100ms" else None
        if buffered_after:
            local.apply(buffered_after)
        for k in range(4, 12):
            now = START + 1_000 * k + 37 * k
            local.apply(next_update(socket, served, advance_to_ms=now))
            local.check(Clockwork().book("BTCUSDT", now, 1_000))


def subscribed(socket: ClientConnection) -> None:
    """Return when the connection's streams are in force."""
    socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 9}))
    while received(socket).get("id") != 9:
        pass


def event(update: Update) -> dict[str, Any]:
    """Return an update as the stream has it."""
    return {
        "U": update.before_id,
        "pu": update.before_id,
        "u": update.after.update_id,
        "b": update.bids,
        "a": update.asks,
    }


MARKETS = {"clockwork": Clockwork(), "generated": GeneratedSource(7, 0.12, ("BTCUSDT",))}


@pytest.mark.parametrize("market", MARKETS)
@settings(max_examples=60, deadline=None)
@given(
    acts=st.lists(
        st.tuples(st.sampled_from(["step", "snapshot", "join"]), st.integers(0, 900)),
        min_size=1,
        max_size=30,
    )
)
def test_every_snapshot_ever_taken_leads_to_the_book(
    market: str, acts: list[tuple[str, int]]
) -> None:
    """Whenever clients take snapshots between events, each local book ends at the venue's."""
    clock = Clock(START, 1.0, paused=True)
    books = Books(ServedVenue(MARKETS[market], clock, Faults(1), at("2025-03-01")))
    chain = books.chain("BTCUSDT")
    clients = []
    buffer = []
    for act, forward_ms in [*acts, ("step", 950)]:
        clock.advance_to(clock.now_ms() + forward_ms)
        if act == "step":
            update = chain.step(books.venue.book("BTCUSDT", clock.now_ms()))
            buffer += [event(update)] if update else []
            for local in clients if update else ():
                local.apply(buffer[-1])
        else:
            book = books.shown("BTCUSDT") if act == "snapshot" else chain.states[-1]
            local = LocalBook()
            local.snapshot(answered(book), buffer)
            clients.append(local)
    for local in clients:
        local.check(books.at("BTCUSDT", clock.now_ms()))


def answered(book: Book | None) -> dict[str, Any]:
    assert book is not None
    return {
        "lastUpdateId": book.update_id,
        "bids": zip(book.bid_price.tolist(), book.bid_quantity.tolist(), strict=True),
        "asks": zip(book.ask_price.tolist(), book.ask_quantity.tolist(), strict=True),
    }


def test_a_snapshot_later_than_an_update_is_kept_for_the_next() -> None:
    """An update for an earlier moment than a snapshot still leads that snapshot on, one later."""
    clock = Clock(START, 1.0, paused=True)
    books = Books(ServedVenue(Clockwork(), clock, Faults(1), at("2025-03-01")))
    chain = books.chain("BTCUSDT")
    clock.advance_to(START + 2_000)
    later = books.shown("BTCUSDT")
    assert chain.step(replace(chain.states[0], update_id=chain.states[0].update_id + 1))
    assert chain.states[1:] == [later]


def test_depth_is_one_update_over_a_jump() -> None:
    """A clock that jumps an hour brings one event, which begins where the last one ended."""
    with (
        clockwork("2025-04-10 07:07:30") as served,
        connect(f"{served.ws}/stream?streams=btcusdt@depth@100ms") as socket,
    ):
        subscribed(socket)
        first = next_update(socket, served, advance_to_ms=START + 1_000)["data"]
        second = next_update(socket, served, advance_to_ms=START + 3_600_000)["data"]
    assert second["pu"] == first["u"] < second["u"]
    assert second["T"] == START + 3_600_000
    assert second["e"] == "depthUpdate"


def test_partial_depth_and_best_prices_are_the_book_s_top() -> None:
    """@depth5 and @bookTicker show what REST's snapshot shows at the same moment."""
    names = ["btcusdt@depth5@100ms", "btcusdt@bookTicker"]
    with (
        clockwork("2025-04-10 07:07:30") as served,
        connect(f"{served.ws}/stream?streams={'/'.join(names)}") as socket,
    ):
        events = {(one := received(socket))["stream"]: one["data"] for _ in names}
        book = served.get(DEPTH, symbol="BTCUSDT", limit=5)
        best = served.get("/fapi/v1/ticker/bookTicker", symbol="BTCUSDT")
    partial, top = (events[name] for name in names)
    assert (partial["b"], partial["a"]) == (book["bids"], book["asks"])
    assert [top["b"], top["B"]] == book["bids"][0] == [best["bidPrice"], best["bidQty"]]
    assert [top["a"], top["A"]] == book["asks"][0] == [best["askPrice"], best["askQty"]]
