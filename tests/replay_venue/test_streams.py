"""Closed bars reach a subscriber once each, in order, at any speed, never ahead of REST."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from replay_venue.generator import generate
from tests.replay_venue.serving import BAR_MS, Served, at, serving

START = at("2025-03-31 00:07")
BOTH = "/stream?streams=btcusdt@kline_15m/ethusdt@kline_15m"


@pytest.fixture
def paused() -> Iterator[Served]:
    with serving("--history-start", "2025-03-20", "--start", "2025-03-31T00:07:00") as served:
        served.control("clock", pause=True)
        yield served


def received(socket: ClientConnection) -> Any:
    return json.loads(socket.recv(timeout=10))


def closed_bars(socket: ClientConnection, count: int) -> list[dict[str, Any]]:
    """Return the next closed bars of a combined stream."""
    bars: list[dict[str, Any]] = []
    while len(bars) < count:
        kline = received(socket)["data"]
        if kline["k"]["x"]:
            bars.append(kline)
    return bars


def joined(served: Served, path: str) -> ClientConnection:
    """Return a connection whose subscriptions are in force."""
    socket = connect(served.ws + path)
    socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 9}))
    while received(socket).get("id") != 9:
        pass
    return socket


def test_streams_send_every_bar_in_order_at_full_speed() -> None:
    """At speed 10000 two symbols' bars arrive once each, in time order, behind REST's clock."""
    with (
        serving("--history-start", "2025-03-20", "--start", "2025-03-31", "--speed", "10000") as s,
        joined(s, BOTH) as socket,
    ):
        bars = closed_bars(socket, 60)
        now_ms = s.get("/fapi/v1/time")["serverTime"]
    for symbol in ("BTCUSDT", "ETHUSDT"):
        opens = [bar["k"]["t"] for bar in bars if bar["s"] == symbol]
        assert opens == list(range(opens[0], opens[0] + 30 * BAR_MS, BAR_MS))
        expected = generate(7, symbol, 0.12, opens[0], opens[-1] + BAR_MS, "15m").bars
        closes = [float(bar["k"]["c"]) for bar in bars if bar["s"] == symbol]
        assert closes == expected.close.tolist()
    assert [bar["k"]["t"] for bar in bars] == sorted(bar["k"]["t"] for bar in bars)
    assert all(bar["k"]["T"] < bar["E"] for bar in bars)
    assert bars[-1]["E"] <= now_ms


def test_streams_walk_through_a_jump_bar_by_bar(paused: Served) -> None:
    """A clock that jumps ten days still sends each of the 960 bars of each symbol."""
    with joined(paused, BOTH) as socket:
        paused.control("clock", advance_to_ms=START // BAR_MS * BAR_MS + 960 * BAR_MS)
        bars = closed_bars(socket, 2 * 960)
    first = START // BAR_MS * BAR_MS
    opens = [bar["k"]["t"] for bar in bars if bar["s"] == "ETHUSDT"]
    assert opens == list(range(first, first + 960 * BAR_MS, BAR_MS))


def test_streams_send_the_exchange_s_event(paused: Served) -> None:
    """A closed bar has the exchange's fields and the very strings that REST has."""
    with joined(paused, "/ws/btcusdt@kline_15m") as socket:
        paused.control("clock", step_bars=1)
        event = received(socket)
        while not event["k"]["x"]:
            event = received(socket)
    row = paused.get("/fapi/v1/klines", symbol="BTCUSDT", interval="15m", limit=2)[0]
    kline = event["k"]
    assert (event["e"], event["s"], event["E"]) == (
        "kline",
        "BTCUSDT",
        START // BAR_MS * BAR_MS + BAR_MS,
    )
    assert set(kline) == set("tTsifLoclhvnxqVQB")
    assert [kline[key] for key in "tohlcvTqnVQB"] == row


def test_streams_update_the_unfinished_bar(paused: Served) -> None:
    """While a bar runs its state is sent with x false, and nothing of its future."""
    with joined(paused, "/ws/btcusdt@kline_1h") as socket:
        paused.control("clock", advance_to_ms=START + 60_000, pause=False)
        event = received(socket)
    minutes = generate(7, "BTCUSDT", 0.12, at("2025-03-31"), START + 60_000, "1m").bars
    assert event["k"]["x"] is False
    assert float(event["k"]["o"]) == minutes.open[0]
    assert float(event["k"]["h"]) <= minutes.high.max()


def test_streams_can_be_joined_and_left_live(paused: Served) -> None:
    """SUBSCRIBE, LIST_SUBSCRIPTIONS and UNSUBSCRIBE answer by id and take effect."""
    with connect(paused.ws + "/ws") as socket:
        names = ["btcusdt@kline_15m", "ethusdt@kline_15m"]
        socket.send(json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
        assert received(socket) == {"result": None, "id": 1}
        socket.send(json.dumps({"method": "UNSUBSCRIBE", "params": names[:1], "id": 2}))
        while received(socket).get("id") != 2:
            pass
        paused.control("clock", step_bars=1)
        event = received(socket)
        while not event["k"]["x"]:
            event = received(socket)
        assert event["s"] == "ETHUSDT"


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        json.dumps({"method": "DANCE", "id": 1}),
        json.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@kline_2w"], "id": 1}),
        json.dumps({"method": "SUBSCRIBE", "params": [3], "id": 1}),
        json.dumps({"method": "SUBSCRIBE", "params": ["x"] * 500, "id": 1}),
        "[" * 10_000,
    ],
)
def test_streams_refuse_a_bad_request_and_stay_open(paused: Served, text: str) -> None:
    """A bad message gets an error answer; the connection lives on."""
    with connect(paused.ws + "/ws") as socket:
        socket.send(text)
        assert received(socket)["error"]["code"] == 2
        socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 3}))
        assert received(socket) == {"result": [], "id": 3}


def test_streams_refuse_an_unknown_name(paused: Served) -> None:
    """Connecting to a stream that is not there is closed with a reason."""
    with connect(paused.ws + "/ws/dogeusdt@kline_15m") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def test_streams_answer_a_ping(paused: Served) -> None:
    """A ping frame gets its pong."""
    with connect(paused.ws + "/ws") as socket:
        assert socket.ping().wait(timeout=10)


@pytest.mark.parametrize(
    ("kind", "offsets"),
    [
        ("duplicate", [0, 0, 1, 2, 3]),
        ("skip", [1, 2, 3]),
        ("reorder", [1, 0, 2, 3]),
    ],
)
def test_streams_fault_on_demand(paused: Served, kind: str, offsets: list[int]) -> None:
    """One armed fault doubles, swallows or swaps exactly one closed bar, and is counted."""
    paused.control("faults", kind=kind, count=1, match="btcusdt")
    with joined(paused, "/stream?streams=btcusdt@kline_15m") as socket:
        paused.control("clock", step_bars=4)
        bars = closed_bars(socket, len(offsets))
    first = START // BAR_MS * BAR_MS
    assert [(bar["k"]["t"] - first) // BAR_MS for bar in bars] == offsets
    assert paused.get("/control/faults")["injected"][kind] == 1


def test_streams_drop_the_connection_on_demand(paused: Served) -> None:
    """A drop ends the connection; a new one gets the bars that close after it."""
    paused.control("faults", kind="drop", count=1, channel="stream")
    with joined(paused, BOTH) as socket:
        paused.control("clock", step_bars=1)
        with pytest.raises(ConnectionClosed):
            closed_bars(socket, 4)
    with joined(paused, BOTH) as socket:
        paused.control("clock", step_bars=1)
        bars = closed_bars(socket, 2)
    assert {bar["k"]["t"] for bar in bars} == {START // BAR_MS * BAR_MS + BAR_MS}
