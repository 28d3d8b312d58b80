"""The venue's command line."""

import argparse
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from replay_venue.clock import Clock, restore
from replay_venue.faults import Faults
from replay_venue.generated import GeneratedSource
from replay_venue.series import MarketSource
from replay_venue.venue import Venue
from replay_venue.weather import GENESIS_MS


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """What one venue serves, and when it is there. `start_ms` None is the present."""

    host: str
    port: int
    market: Literal["generated", "recorded"]
    data: Path | None
    symbols: tuple[str, ...]
    seed: int
    edge: float
    history_start_ms: int
    start_ms: int | None
    speed: float
    state: Path | None


def parse(arguments: list[str]) -> VenueSettings:
    """Return the settings of a command line; exits with a message where it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m replay_venue",
        description="A local exchange: Binance USD-M futures REST and WebSocket over a generated "
        "or recorded market, with a clock to speed up and faults on demand (/docs, /control).",
        epilog="Its own speed: python benchmarks/venue.py",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8900, help="0 for a free one")
    parser.add_argument("--market", choices=("generated", "recorded"), default="generated")
    parser.add_argument("--data", type=Path, help="folder of parquet files (recorded)")
    parser.add_argument("--symbols", type=_names, default=("BTCUSDT", "ETHUSDT"))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--edge", type=float, default=0.12, help="planted drift in sigmas, 0: none")
    parser.add_argument("--history-start", type=time_ms, metavar="TIME", help="all by default")
    parser.add_argument("--start", type=_start, default=None, metavar="TIME|now")
    parser.add_argument("--speed", type=float, default=1.0, help="market ms per real ms")
    parser.add_argument("--state", type=Path, help="file in which the clock survives a restart")
    found = parser.parse_args(arguments)
    if (found.market == "recorded") != (found.data is not None):
        parser.error("--market recorded needs --data DIR, and only it does")
    first_ms = GENESIS_MS if found.data is None else 0
    return VenueSettings(
        host=found.host,
        port=found.port,
        market=found.market,
        data=found.data,
        symbols=found.symbols,
        seed=found.seed,
        edge=found.edge,
        history_start_ms=first_ms if found.history_start is None else found.history_start,
        start_ms=found.start,
        speed=found.speed,
        state=found.state,
    )


def build(settings: VenueSettings) -> Venue:
    """Return the venue of `settings`; ValueError where they ask for what is not there."""
    clock = _clock(settings)
    if clock.now_ms() < settings.history_start_ms:
        raise ValueError(
            f"venue: found start {clock.now_ms()}, expected at or after its history's start "
            f"{settings.history_start_ms}"
        )
    market = _market(settings)
    for symbol in market.symbols:  # generated before the first request, not during it
        market.open_interest(symbol, clock.now_ms(), clock.now_ms() + 1)
    return Venue(market, clock, Faults(settings.seed), settings.history_start_ms)


def time_ms(text: str) -> int:
    """Return an ISO 8601 date or moment in milliseconds, UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected ISO 8601") from error
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1_000)


def _clock(settings: VenueSettings) -> Clock:
    saved = restore(settings.state) if settings.state else None
    if saved is not None:
        return Clock(saved.now_ms, saved.speed, paused=saved.paused)
    if settings.start_ms is not None:
        return Clock(settings.start_ms, settings.speed)
    now_ms = int(time.time() * 1_000)
    return Clock(now_ms, settings.speed, real_time=settings.speed == 1.0)


def _market(settings: VenueSettings) -> MarketSource:
    if settings.data is None:
        return GeneratedSource(settings.seed, settings.edge, settings.symbols)
    from replay_venue.recorded import RecordedSource

    return RecordedSource(settings.data, settings.symbols)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in text.split(",") if name))


def _start(text: str) -> int | None:
    return None if text == "now" else time_ms(text)
