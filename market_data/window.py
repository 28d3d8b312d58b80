"""A symbol and a span of time: what is read, judged and shown of market data."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any


@dataclass(frozen=True, slots=True)
class Window:
    """A symbol and a half-open span of time, milliseconds UTC."""

    symbol: str
    start_ms: int
    end_ms: int


def joined(windows: Sequence[Window]) -> list[Window]:
    """Return the windows with neighbours of one symbol joined, by symbol and then time."""
    result: list[Window] = []
    ordered = sorted(windows, key=lambda window: (window.symbol, window.start_ms))
    for name, group in groupby(ordered, key=lambda window: window.symbol):
        for window in group:
            last = result[-1] if result else None
            if last and last.symbol == name and last.end_ms == window.start_ms:
                result[-1] = Window(name, last.start_ms, window.end_ms)
            else:
                result.append(window)
    return result


def moment(time_ms: int) -> str:
    """Return a moment (milliseconds UTC) as a person reads it."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"


def exact(value: Any) -> str:
    """Return a value with as many digits as a price has, where the four of a table are too few."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)
