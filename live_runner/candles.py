"""One closed candle as the feed carries it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kernel.bars import Bars
from kernel.quality import find_violations


class Candle(NamedTuple):
    """A closed candle; `open_time_ms` is milliseconds UTC."""

    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Arrival(NamedTuple):
    """A candle to decide, when it came in (`time.perf_counter_ns`), and whether REST had to bring
    it.
    """

    candle: Candle
    received_ns: int
    repaired: bool


def from_rest(row: Sequence[Any]) -> Candle:
    """Read one row of /fapi/v1/klines; raises ValueError, TypeError or IndexError for what is not
    one.
    """
    return Candle(int(row[0]), *(float(value) for value in row[1:6]))


def from_stream(kline: Mapping[str, Any]) -> Candle:
    """Read the `k` object of a kline event; raises KeyError, ValueError or TypeError."""
    return Candle(int(kline["t"]), *(float(kline[name]) for name in "ohlcv"))


def violation(candle: Candle, bar_ms: int) -> str:
    """Return what is wrong with a candle on its own, '' when nothing is."""
    columns = (np.array([value], dtype=np.float64) for value in candle[1:])
    bars = Bars(np.array([candle.open_time_ms], dtype=np.int64), *columns)
    found = find_violations(bars, bar_ms)
    return "; ".join(f"{one.rule}: found {one.found}, expected {one.expected}" for one in found)
