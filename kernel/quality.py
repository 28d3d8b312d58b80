"""What makes a candle unfit to trade on, row by row, in the order in which candles arrived."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars

_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that one row breaks; `row` counts from 0 in arrival order."""

    row: int
    open_time_ms: int
    rule: str
    found: str
    expected: str


def find_violations(bars: Bars, timeframe_ms: int) -> list[Violation]:
    """Return every broken rule, by row and then by rule; a row may break several.

    `bars` may be in any order here: arrival order is what is judged. Of several rows with one open
    time the first stands and each later one is a duplicate, whatever its values. A row is out of
    order when an earlier row opens later.
    """
    found = [*row_violations(bars, timeframe_ms), *sequence_violations(bars)]
    return sorted(found, key=lambda violation: violation.row)


def row_violations(bars: Bars, timeframe_ms: int) -> Iterator[Violation]:
    """Yield the rules that rows break by themselves, rule by rule."""
    yield from _non_finite(bars)
    yield from _not_positive(bars)
    yield from _ohlc_inconsistent(bars)
    yield from _negative_volume(bars)
    yield from _off_grid(bars, timeframe_ms)


def sequence_violations(bars: Bars) -> Iterator[Violation]:
    """Yield the rules that rows break against the rows before them, rule by rule."""
    yield from _duplicate(bars)
    yield from _out_of_order(bars)


def _violations(
    bars: Bars, broken: NDArray[np.bool_], rule: str, found: Callable[[int], str], expected: str
) -> Iterator[Violation]:
    for row in np.flatnonzero(broken).tolist():
        yield Violation(row, int(bars.open_time_ms[row]), rule, found(row), expected)


def _row_text(bars: Bars, row: int, names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {float(getattr(bars, name)[row])!r}" for name in names)


def _non_finite(bars: Bars) -> Iterator[Violation]:
    names = (*_PRICES, "volume")
    broken = np.zeros(len(bars), dtype=np.bool_)
    for name in names:
        broken |= ~np.isfinite(getattr(bars, name))
    return _violations(
        bars, broken, "non_finite", lambda row: _row_text(bars, row, names), "finite numbers"
    )


def _not_positive(bars: Bars) -> Iterator[Violation]:
    broken = np.zeros(len(bars), dtype=np.bool_)
    for name in _PRICES:
        broken |= getattr(bars, name) <= 0.0
    return _violations(
        bars, broken, "not_positive", lambda row: _row_text(bars, row, _PRICES), "prices above 0"
    )


def _ohlc_inconsistent(bars: Bars) -> Iterator[Violation]:
    body_top = np.maximum(bars.open, bars.close)
    body_bottom = np.minimum(bars.open, bars.close)
    broken = (bars.high < body_top) | (bars.low > body_bottom) | (bars.high < bars.low)
    return _violations(
        bars,
        broken,
        "ohlc_inconsistent",
        lambda row: _row_text(bars, row, _PRICES),
        "low <= open, close <= high",
    )


def _negative_volume(bars: Bars) -> Iterator[Violation]:
    return _violations(
        bars,
        bars.volume < 0.0,
        "negative_volume",
        lambda row: _row_text(bars, row, ("volume",)),
        "volume of 0 or more",
    )


def _off_grid(bars: Bars, timeframe_ms: int) -> Iterator[Violation]:
    offset = bars.open_time_ms % timeframe_ms
    return _violations(
        bars,
        offset != 0,
        "off_grid",
        lambda row: f"{int(offset[row])} ms past the grid",
        f"an open time that is a multiple of {timeframe_ms} ms",
    )


def _duplicate(bars: Bars) -> Iterator[Violation]:
    _, first, group = np.unique(bars.open_time_ms, return_index=True, return_inverse=True)
    standing = first[group]
    return _violations(
        bars,
        standing != np.arange(len(bars)),
        "duplicate",
        lambda row: f"{_sameness(bars, row, int(standing[row]))} row {int(standing[row])}",
        "one row per open time",
    )


def _sameness(bars: Bars, row: int, standing: int) -> str:
    names = (*_PRICES, "volume")
    same = all(getattr(bars, name)[row] == getattr(bars, name)[standing] for name in names)
    return "the same values as" if same else "other values than"


def _out_of_order(bars: Bars) -> Iterator[Violation]:
    latest = np.maximum.accumulate(bars.open_time_ms) if len(bars) else bars.open_time_ms
    return _violations(
        bars,
        bars.open_time_ms < latest,
        "out_of_order",
        lambda row: f"a row after one that opens at {int(latest[row])}",
        "rows that ascend in open time",
    )
