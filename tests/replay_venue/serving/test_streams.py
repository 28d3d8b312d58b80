"""Bars and trades reach a subscriber once each, in order, at any speed, never ahead of REST."""

import json
import socket as stdlib_socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from replay_venue.market.generator import generate
from replay_venue.serving.clock import Clock
from replay_venue.serving.faults.faults import Faults
from replay_venue.serving.venue import ServedVenue
from tests.hung import HUNG_S
from tests.replay_venue.clockwork import Clockwork
from tests.replay_venue.served import (
    BAR_MS,
    Served,
    answering,
    at,
    clockwork,
    received,
    serving,
)

START = at("2025-03-31 00:07")
BOTH = "/stream?streams=btcusdt@kline_15m/ethusdt@kline_15m"


@pytest.fixture
def paused() -> Iterator[Served]:
    with serving("--history-start", "2025-03-20", "--start", "2025-03-31T00:07:00") as served:
        served.control("clock", pause=True)
        yield served


def closed_bars(socket: ClientConnection, count: int) -> list[dict[str, Any]]:
    """Return the next closed bars of a combined stream."""
    bars: list[dict[str, Any]] = []
    while len(bars) < count:
        kline = received(socket)["data"]
        if kline["k"]["x"]:
            bars.append(kline)
    return bars


def joined(served: Served, path: str) -> ClientConnection:
    """Return a connection whose subscriptions are in force; it closes with messages unread."""
    socket = connect(served.ws + path, max_queue=None)
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
        expected = generate(
            seed=7,
            symbol=symbol,
            edge=0.12,
            start_ms=opens[0],
            end_ms=opens[-1] + BAR_MS,
            timeframe="15m",
        ).bars
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
    minutes = generate(
        seed=7,
        symbol="BTCUSDT",
        edge=0.12,
        start_ms=at("2025-03-31"),
        end_ms=START + 60_000,
        timeframe="1m",
    ).bars
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
def test_streams_refuse_a_bad_request_and_stay_open(still: Served, text: str) -> None:
    """A bad message gets an error answer; the connection lives on."""
    with connect(still.ws + "/ws") as socket:
        socket.send(text)
        assert received(socket)["error"]["code"] == 2
        socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 3}))
        assert received(socket) == {"result": [], "id": 3}


def test_streams_refuse_an_unknown_name(still: Served) -> None:
    """Connecting to a stream that is not there is closed with a reason."""
    with connect(still.ws + "/ws/dogeusdt@kline_15m") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=HUNG_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def test_streams_answer_a_ping(still: Served) -> None:
    """A ping frame gets its pong."""
    with connect(still.ws + "/ws") as socket:
        assert socket.ping().wait(timeout=HUNG_S)


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


@pytest.mark.parametrize("kind", ["aggTrade", "trade"])
def test_streams_send_every_trade_of_a_jump(kind: str) -> None:
    """A clock that jumps three hours brings each trade of both symbols once, in order of time."""
    start = at("2025-04-10 07:07:30")
    stop = start + 3 * 3_600_000
    with (
        clockwork("2025-04-10 07:07:30") as served,
        joined(served, f"/stream?streams=btcusdt@{kind}/ethusdt@{kind}") as socket,
    ):
        served.control("clock", advance_to_ms=stop)
        events = [received(socket)["data"] for _ in range(2 * 720)]
    assert {event["e"] for event in events} == {kind}
    for symbol in ("BTCUSDT", "ETHUSDT"):
        expected = Clockwork().trades(symbol, start + 1, stop + 1)
        mine = [event for event in events if event["s"] == symbol]
        number = "a" if kind == "aggTrade" else "t"
        assert [event[number] for event in mine] == expected.trade_id.tolist()
        assert [float(event["p"]) for event in mine] == expected.price.tolist()
        assert [event["m"] for event in mine] == (expected.side < 0).tolist()
    quarters = [event["T"] // BAR_MS for event in events]
    assert quarters == sorted(quarters)


def test_streams_send_a_bar_between_its_trades_and_the_next() -> None:
    """Over a jump, each candle comes after its last trade and before the first one after it."""
    names = "btcusdt@kline_1m/btcusdt@kline_1h/btcusdt@aggTrade"
    with (
        clockwork("2025-04-10 07:07:30", speed=1e5) as served,
        joined(served, f"/stream?streams={names}") as socket,
    ):
        served.control("clock", advance_to_ms=at("2025-04-10 10:30:00"))
        events = [received(socket)["data"] for _ in range(3 + 203 + 810)]
    done = [e["k"]["T"] if e["e"] == "kline" else e["T"] for e in events]
    assert done == sorted(done)
    assert [e["k"]["i"] for e in events if e["e"] == "kline"].count("1h") == 3


def test_streams_close_weeks_and_months_on_the_calendar() -> None:
    """A jump over a quarter brings each week and month once, with what REST has."""
    with (
        clockwork("2025-01-15", history="2024-12-01") as served,
        joined(served, "/stream?streams=btcusdt@kline_1w/btcusdt@kline_1M") as socket,
    ):
        served.control("clock", advance_to_ms=at("2025-04-15"))
        bars = closed_bars(socket, 13 + 3)
        rest = served.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1M", limit=4)
    months = [bar["k"] for bar in bars if bar["k"]["i"] == "1M"]
    assert [month["t"] for month in months] == [at(f"2025-0{m}-01") for m in (1, 2, 3)]
    assert [[month[key] for key in "tohlcv"] for month in months] == [row[:6] for row in rest[:3]]
    assert [bar["k"]["T"] for bar in bars] == sorted(bar["k"]["T"] for bar in bars)


def test_streams_send_states_at_their_pace() -> None:
    """Mark price comes every market second at @1s, every three without, with premiumIndex's."""
    start = at("2025-04-10 07:07:30")
    names = ["btcusdt@markPrice", "btcusdt@markPrice@1s", "btcusdt@ticker"]
    with (
        clockwork("2025-04-10 07:07:30") as served,
        joined(served, f"/stream?streams={'/'.join(names)}") as socket,
    ):
        counts = dict.fromkeys(names, 1)
        for second in range(1, 7):
            served.control("clock", advance_to_ms=start + 1_000 * second)
            for name in names:
                if second % {names[0]: 3, names[1]: 1, names[2]: 2}[name] == 0:
                    event = received(socket)
                    counts[event["stream"]] += 1
        premium = served.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")
        day = served.get("/fapi/v1/ticker/24hr", symbol="BTCUSDT")
    assert counts == {names[0]: 3, names[1]: 7, names[2]: 4}
    data = event["data"]
    assert event["stream"] == names[2]
    assert (data["c"], data["v"], data["E"]) == (day["lastPrice"], day["volume"], start + 6_000)
    assert premium["time"] == start + 6_000


def test_streams_conflate_states_of_a_fast_clock() -> None:
    """At speed 100000 states come no faster than a reader can take, and trades all the same."""
    with (
        clockwork("2025-04-10 07:07:30", speed=1e5) as served,
        joined(served, "/stream?streams=btcusdt@markPrice@1s/btcusdt@aggTrade") as socket,
    ):
        served.control("clock", pause=False)
        events = [received(socket)["data"] for _ in range(3_000)]
        served.control("clock", pause=True)
    marks = [event["E"] for event in events if event["e"] == "markPriceUpdate"]
    market_ms = events[-1]["E"] - at("2025-04-10 07:07:30")
    trades = [event["a"] for event in events if event["e"] == "aggTrade"]
    assert 1 <= len(marks) <= 1 + market_ms // 10_000_000
    assert trades == list(range(trades[0], trades[0] + len(trades)))


def test_streams_know_connections_by_number_and_properties() -> None:
    """ccxt's numbered paths are connections; `combined` can be read and set on them."""
    with clockwork("2025-04-10 07:07:30") as served, connect(served.ws + "/market/ws/17") as socket:
        for identity, (method, params, answer) in enumerate(
            [
                ("GET_PROPERTY", ["combined"], False),
                ("SET_PROPERTY", ["combined", True], None),
                ("GET_PROPERTY", ["combined"], True),
                ("SUBSCRIBE", ["btcusdt@markPrice"], None),
            ]
        ):
            socket.send(json.dumps({"method": method, "params": params, "id": identity}))
            assert received(socket) == {"result": answer, "id": identity}
        assert received(socket)["stream"] == "btcusdt@markPrice"


def test_streams_drop_a_client_that_chatters() -> None:
    """More than ten messages a second end the connection."""
    with clockwork("2025-04-10 07:07:30") as served, connect(served.ws + "/ws") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            for identity in range(40):
                socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": identity}))
            while True:
                socket.recv(timeout=HUNG_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def test_streams_ping_and_drop_who_does_not_answer() -> None:
    """The server's pings keep a client that answers and drop one that does not."""
    venue = ServedVenue(Clockwork(), Clock(at("2025-04-10"), 1.0, paused=True), Faults(1), 0)
    with answering(venue, ping_s=0.1, pong_within_s=5.0) as served:
        with connect(served.ws + "/ws") as socket:
            for _ in range(10):
                assert socket.ping().wait(timeout=HUNG_S)
                with pytest.raises(TimeoutError):
                    socket.recv(timeout=0.1)
        assert frames_without_pong(served) == ["ping", "close"]


def frames_without_pong(served: Served) -> list[str]:
    """Return the kinds of frames sent to a client that never answers."""
    address = urlsplit(served.url)
    with stdlib_socket.create_connection((str(address.hostname), address.port), HUNG_S) as raw:
        raw.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGlkZWdhdGUgdGVzdHMhIQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        received_bytes = b""
        while chunk := raw.recv(4_096):
            received_bytes += chunk
    frames = received_bytes.partition(b"\r\n\r\n")[2]
    kinds = []
    while frames:
        kinds.append({0x89: "ping", 0x88: "close", 0x81: "text"}[frames[0]])
        frames = frames[2 + frames[1] :]
    return kinds
