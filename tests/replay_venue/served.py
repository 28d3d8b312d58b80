"""A venue on a free port, and the clients that talk to it."""

import contextlib
import functools
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import uvicorn
from websockets.sync.client import ClientConnection

from replay_venue.serving.app import application
from replay_venue.serving.clock import Clock
from replay_venue.serving.faults.faults import Faults
from replay_venue.serving.streams import sockets
from replay_venue.serving.venue import ServedVenue
from replay_venue.settings import VenueSettings, build, market_of, parse
from tests.hung import HUNG_S
from tests.replay_venue.clockwork import Clockwork

BAR_MS = 900_000
RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data"


def at(text: str) -> int:
    """Return a UTC moment in milliseconds."""
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp() * 1_000)


@dataclass(frozen=True)
class Served:
    """A running venue, its address and a client for plain requests."""

    venue: ServedVenue
    url: str
    http: httpx.Client

    @property
    def ws(self) -> str:
        return self.url.replace("http", "ws", 1)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    def control(self, what: str, **body: Any) -> Any:
        answer = self.http.post(f"/control/{what}", json=body)
        answer.raise_for_status()
        return answer.json()


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[Served]:
    """Serve what a command line describes, from a real server in a thread."""
    settings = parse(list(arguments))
    venue = build(settings, None if settings.data else _generated(_Described(settings)))
    with answering(venue, settings.state) as served:
        yield served


class _Described:
    """Settings that are equal where they describe one generated market."""

    def __init__(self, settings: VenueSettings) -> None:
        self.settings = settings
        schedules = tuple(sorted(settings.schedules.items()))
        self._key = (settings.seed, settings.edge, settings.symbols, settings.edges, schedules)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Described) and self._key == other._key


@functools.lru_cache(maxsize=2)
def _generated(described: _Described) -> Any:
    """Return a generated market, made once: it is a function of its description."""
    return market_of(described.settings)


@contextlib.contextmanager
def clockwork(
    now: str, *, history: str = "2025-03-01", speed: float = 1.0, **market: Any
) -> Iterator[Served]:
    """Serve the clockwork market at a standing clock."""
    clock = Clock(at(now), speed, paused=True)
    with answering(ServedVenue(Clockwork(**market), clock, Faults(1), at(history))) as served:
        yield served


@contextlib.contextmanager
def answering(
    venue: ServedVenue,
    state: Path | None = None,
    ping_s: float = sockets.PING_S,
    pong_within_s: float = sockets.PONG_WITHIN_S,
) -> Iterator[Served]:
    """Serve a venue on a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            application(venue, state),
            log_level="critical",
            timeout_graceful_shutdown=1,
            ws_per_message_deflate=False,
            ws_ping_interval=ping_s,
            ws_ping_timeout=pong_within_s,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with httpx.Client(base_url=url, timeout=HUNG_S, trust_env=False) as http:
                yield Served(venue, url, http)
        finally:
            server.should_exit = True
            thread.join()


def received(socket: ClientConnection) -> Any:
    """Return the next message of a stream."""
    return json.loads(socket.recv(timeout=HUNG_S))


def point(client: Any, venue_url: str) -> Any:
    """Point every public address of ccxt's own Binance client at the venue."""
    client.options["fetchCurrencies"] = False  # needs an account
    api = client.urls["api"]
    client.urls["api"] = {
        name: venue_url + urlsplit(url).path if isinstance(url, str) else url
        for name, url in api.items()
    }
    if "ws" in api:
        ws = venue_url.replace("http", "ws", 1)
        client.urls["api"]["ws"] = {**api["ws"], "linear": f"{ws}/ws"}
    return client


def binance_usdm(venue_url: str) -> Any:
    """Return ccxt's own Binance USD-M client, its endpoints pointed at `venue_url`."""
    import ccxt

    return point(ccxt.binanceusdm({"enableRateLimit": False, "timeout": 1_000 * HUNG_S}), venue_url)
