"""A replay venue over a handful of rows that a test chooses, served on a free port."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import uvicorn

from kernel.bars import Bars
from replay_venue.market.instruments import Perpetual, instrument
from replay_venue.market.series import AggregateTrades, Book, OnChain, Points
from replay_venue.serving.app import application
from replay_venue.serving.clock import Clock
from replay_venue.serving.faults.faults import Faults
from replay_venue.serving.venue import ServedVenue
from tests.hung import HUNG_S

BAR_MS = 900_000
DAY_MS = 86_400_000
NONE = Points(np.empty(0, np.int64), np.empty(0))
NO_BARS = Bars(np.empty(0, np.int64), *(np.empty(0) for _ in range(5)))
NO_TRADES = AggregateTrades(
    np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0, np.int8)
)


@dataclass
class SmallMarket:
    """A market in memory; a test may change what it serves between two requests.

    `candles`, `marks` and `indexes` are bars of 15 minutes, `minutes` of one, by symbol. `asked`
    notes symbol and start of every question for the 15-minute candles.
    """

    candles: dict[str, Bars]
    settlements: dict[str, Points] = field(default_factory=dict)
    interest: dict[str, Points] = field(default_factory=dict)
    mood: Points = NONE
    days: dict[str, OnChain] = field(default_factory=dict)
    minutes: dict[str, Bars] = field(default_factory=dict)
    marks: dict[str, Bars] = field(default_factory=dict)
    indexes: dict[str, Bars] = field(default_factory=dict)
    ticks: dict[str, AggregateTrades] = field(default_factory=dict)
    books: dict[str, Book] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return what is traded."""
        return tuple(self.candles)

    def instrument(self, symbol: str) -> Perpetual:
        """Return names and decimals."""
        return instrument(symbol)

    def bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        """Return the rows in the window in the order they are held, and note the question."""
        if timeframe == "15m":
            self.asked.append((symbol, start_ms))
        held = {"15m": self.candles, "1m": self.minutes}.get(timeframe, {})
        return _rows(held, symbol, start_ms, end_ms)

    def running_bar(self, symbol: str, timeframe: str, open_ms: int, now_ms: int) -> Bars:
        """Return the bar of the present as it stands; its final values, so that none may be used.

        A test that needs the present moves the clock into a bar that is held.
        """
        return self.bars(symbol, timeframe, open_ms, open_ms + 1)

    def mark_bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        """Return the mark price's rows in the window."""
        return _rows(self.marks if timeframe == "15m" else {}, symbol, start_ms, end_ms)

    def index_bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        """Return the index price's rows in the window."""
        return _rows(self.indexes if timeframe == "15m" else {}, symbol, start_ms, end_ms)

    def trades(self, symbol: str, start_ms: int, end_ms: int) -> AggregateTrades:
        """Return the trades in the window."""
        held = self.ticks.get(symbol, NO_TRADES)
        inside = (held.time_ms >= start_ms) & (held.time_ms < end_ms)
        return AggregateTrades(*(getattr(held, name)[inside] for name in AggregateTrades.__slots__))

    def book(self, symbol: str, at_ms: int, levels: int) -> Book | None:
        """Return the one book there is, whenever it is asked for."""
        return self.books.get(symbol)

    def funding(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        """Return the settlements in the window."""
        return _inside(self.settlements.get(symbol, NONE), start_ms, end_ms)

    def open_interest(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        """Return open interest in the window."""
        return _inside(self.interest.get(symbol, NONE), start_ms, end_ms)

    def fear_greed(self, start_ms: int, end_ms: int) -> Points:
        """Return the index in the window."""
        return _inside(self.mood, start_ms, end_ms)

    def onchain(self, asset: str, start_ms: int, end_ms: int) -> OnChain:
        """Return the days in the window."""
        held = self.days.get(asset, OnChain(NONE.time_ms, {}))
        inside = (held.time_ms >= start_ms) & (held.time_ms < end_ms)
        values = {name: value[inside] for name, value in held.value.items()}
        return OnChain(held.time_ms[inside], values)


@dataclass(frozen=True)
class Served:
    """A venue that answers at `url`; clock and faults are those of the replay venue."""

    url: str
    market: SmallMarket
    clock: Clock
    faults: Faults


@contextlib.contextmanager
def served(market: SmallMarket, now_ms: int) -> Iterator[Served]:
    """Serve a market whose clock stands at `now_ms` until a test moves it."""
    clock = Clock(now_ms, 1.0, paused=True)
    faults = Faults(seed=1)
    app = application(ServedVenue(market, clock, faults, history_start_ms=0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            yield Served(url, market, clock, faults)
        finally:
            server.should_exit = True
            thread.join(timeout=HUNG_S)


def walk(start_ms: int, count: int, seed: int = 1, step_ms: int = BAR_MS) -> Bars:
    """Return `count` consistent candles of 15 minutes, prices and volumes of a plausible size."""
    rng = np.random.default_rng(seed)
    close = np.round(50_000.0 * np.exp(np.cumsum(rng.normal(0, 0.002, count))), 2)
    opened = np.concatenate(([50_000.0], close[:-1]))
    wick = np.round(rng.uniform(1, 50, (2, count)), 2)
    high = np.round(np.maximum(opened, close) + wick[0], 2)
    low = np.round(np.minimum(opened, close) - wick[1], 2)
    times = start_ms + step_ms * np.arange(count, dtype=np.int64)
    return Bars(
        open_time_ms=times,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=np.round(rng.uniform(1, 9, count), 3),
    )


def with_row(bars: Bars, row: int, **values: float) -> Bars:
    """Return the bars with some columns of one row changed."""
    columns = {name: getattr(bars, name).copy() for name in values}
    for name, value in values.items():
        columns[name][row] = value
    return replace(bars, **columns)


def picked(bars: Bars, rows: "list[int] | np.ndarray") -> Bars:
    """Return the named rows in the order named."""
    return Bars(*(getattr(bars, name)[rows] for name in Bars.__slots__))


def points(start_ms: int, step_ms: int, values: list[float]) -> Points:
    """Return values at even steps."""
    times = start_ms + step_ms * np.arange(len(values), dtype=np.int64)
    return Points(times, np.array(values, dtype=np.float64))


def _inside(held: Points, start_ms: int, end_ms: int) -> Points:
    inside = (held.time_ms >= start_ms) & (held.time_ms < end_ms)
    return Points(held.time_ms[inside], held.value[inside])


def _rows(held: dict[str, Bars], symbol: str, start_ms: int, end_ms: int) -> Bars:
    bars = held.get(symbol, NO_BARS)
    inside = (bars.open_time_ms >= start_ms) & (bars.open_time_ms < end_ms)
    return Bars(*(getattr(bars, name)[inside] for name in Bars.__slots__))
