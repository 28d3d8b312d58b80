"""Generated ticks for the tests of trades and book: out of step, late, and with holes."""

from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.order_flow import Depth, Trades

Ticks = TypeVar("Ticks", Trades, Depth)
MINUTE_MS = 60_000
BAR_MS = 900_000
START_MS = 1_672_531_200_000  # 2023-01-01 00:00 UTC


def bars_of(open_time_ms: NDArray[np.int64], volume: NDArray[np.float64]) -> Bars:
    """Return bars of which only the times and the volume matter."""
    price = np.full(len(open_time_ms), 100.0)
    return Bars(
        open_time_ms=open_time_ms, open=price, high=price, low=price, close=price, volume=volume
    )


def prints(rng: np.random.Generator, count: int, span_ms: int, late_ms: int = 300) -> Trades:
    """Return `count` trades over `span_ms`, several in some milliseconds, each known a bit later.

    Sides come in runs and move the price, as they do in a market.
    """
    times = START_MS + np.sort(rng.integers(0, span_ms, count))
    side = np.cumprod(np.where(rng.random(count) < 0.3, -1.0, 1.0))
    quantity = np.round(rng.gamma(0.5, 0.2, count), 3) + 0.001
    price = 30_000.0 + np.cumsum(3.0 * side * quantity + rng.normal(0.0, 0.3, count))
    known_at_ms = times + rng.integers(0, late_ms, count)
    return Trades(times, known_at_ms, np.round(price, 1), quantity, side)


def book(rng: np.random.Generator, count: int, every_ms: int, late_ms: int = 300) -> Depth:
    """Return `count` snapshots some `every_ms` apart whose best prices stay or move by ticks."""
    times = START_MS + np.cumsum(rng.integers(every_ms // 2, every_ms * 3 // 2, count))
    bid = np.round(30_000.0 + 0.1 * np.cumsum(rng.integers(-1, 2, count)), 1)
    sizes = np.round(rng.gamma(2.0, 2.0, (2, count)), 3) + 0.001
    return Depth(
        times,
        times + rng.integers(0, late_ms, count),
        bid,
        np.round(bid + 0.1 * rng.integers(1, 3, count), 1),
        *sizes,
        *(sizes * rng.uniform(20.0, 60.0, (2, count))),
    )


def volume_of(trades: Trades, open_time_ms: NDArray[np.int64], bar_ms: int) -> NDArray[np.float64]:
    """Return what was traded in each bar, float64[n], known or not."""
    edges = np.append(open_time_ms, open_time_ms[-1] + bar_ms)
    return np.histogram(trades.event_time_ms, edges, weights=trades.quantity)[0]


def rows_of(ticks: Trades | Depth) -> list[tuple[Any, ...]]:
    """Return the rows as tuples in the order of the columns."""
    return list(zip(*(getattr(ticks, one.name).tolist() for one in fields(ticks)), strict=True))


def taken(ticks: Ticks, chosen: Any) -> Ticks:
    """Return the chosen rows: an index array, a mask or a slice."""
    return type(ticks)(*(getattr(ticks, one.name)[chosen] for one in fields(ticks)))
