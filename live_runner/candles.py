"""One closed candle as the feed carries it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kernel.bars import Bars
from kernel.quality import find_violations

END_OF_TIME_MS = 10**14  # the year 5138


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
    """Read one row of /fapi/v1/klines; raises ValueError or TypeError for what is not one."""
    open_time_ms, opened, high, low, close, volume = row[:6]
    return Candle(
        open_time_ms=_time_ms(open_time_ms),
        open=float(opened),
        high=float(high),
        low=float(low),
        close=float(close),
        volume=float(volume),
    )


def from_stream(kline: Mapping[str, Any]) -> Candle:
    """Read the `k` object of a kline event; raises KeyError, ValueError or TypeError."""
    return Candle(
        open_time_ms=_time_ms(kline["t"]),
        open=float(kline["o"]),
        high=float(kline["h"]),
        low=float(kline["l"]),
        close=float(kline["c"]),
        volume=float(kline["v"]),
    )


def _time_ms(value: Any) -> int:
    if not 0 <= value < END_OF_TIME_MS:  # before it becomes an integer: JSON knows 1e400
        raise ValueError(f"candle: found it to open at {value}, expected milliseconds since 1970")
    return int(value)


def violation(candle: Candle, bar_ms: int) -> str:
    """Return what is wrong with a candle on its own, '' when nothing is."""
    found = find_violations(_bars([candle]), bar_ms)
    return "; ".join(f"{one.rule}: found {one.found}, expected {one.expected}" for one in found)


def sound(candles: Sequence[Candle], bar_ms: int) -> list[Candle]:
    """Return the candles with which nothing is wrong, in their order."""
    broken = {one.row for one in find_violations(_bars(candles), bar_ms)}
    return [candle for row, candle in enumerate(candles) if row not in broken]


def _bars(candles: Sequence[Candle]) -> Bars:
    _, opened, high, low, close, volume = np.array(candles, dtype=np.float64).reshape(-1, 6).T
    return Bars(
        open_time_ms=np.array([candle.open_time_ms for candle in candles], dtype=np.int64),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
    )
