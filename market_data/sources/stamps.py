"""Stamps of files and answers as moments: each row's unit by its size, and what is no moment named.

One file may hold milliseconds up to a day and microseconds after it. Between 2000 and 2100 no stamp
in one unit can be taken for another in the next, so the size of a number says what it is, and what
no unit brings into that century is no moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import TidegateError

NS_PER = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
EARLIEST_MS = 946_684_800_000  # 2000-01-01
LATEST_MS = 4_102_444_800_000  # 2100-01-01
POSSIBLE = "a moment from 2000 to 2100, as text or in s, ms, us or ns"
_NUMBER = r"\s*[+-]?(?:\d{9,}(?:\.\d*)?|\d(?:\.\d+)?[eE]\+?\d+)\s*"  # 20240101 is a day as text
_ANY_NUMBER = r"\s*[+-]?\d+(?:\.\d*)?(?:[eE]\+?\d+)?\s*"

Column = Any
"""A pyarrow Array or ChunkedArray."""


class WrongColumnError(TidegateError):
    """A column that does not hold what its place in the lake asks for."""


@dataclass(frozen=True, slots=True)
class Stamps:
    """The moments of some rows, int64[n] milliseconds UTC.

    `impossible` holds, by row, what was found where there is no moment. Such a row has the time of
    the possible one before it (or, at the beginning, after it) and a millisecond: that tells where
    it stood, and no sound bar or settlement has that time.
    """

    times_ms: NDArray[np.int64]
    impossible: Mapping[int, str] = field(default_factory=dict[int, str])

    def chosen(self, keep: NDArray[np.bool_]) -> "Stamps":
        """Return the rows that are kept, bool[n]."""
        rows = np.flatnonzero(keep)
        texts = {
            place: self.impossible[row]
            for place, row in enumerate(rows.tolist())
            if row in self.impossible
        }
        return Stamps(self.times_ms[rows], texts)

    def moved(self, by_ms: int) -> "Stamps":
        """Return the same rows so much later."""
        return Stamps(self.times_ms + by_ms, self.impossible)

    @property
    def possible_ms(self) -> NDArray[np.int64]:
        """Return the moments of the rows that have one."""
        return np.delete(self.times_ms, list(self.impossible))


def stamps(column: Column, unit: str = "") -> Stamps:
    """Return moments cut down to the whole millisecond, and the rows whose stamp is none.

    Bare numbers, also as text or under a type that says otherwise, are seconds, milliseconds,
    microseconds or nanoseconds by their size; `unit` is what somebody took them for, and is told
    with a stamp that is impossible. Other text is ISO 8601, UTC where no zone is given. Raises
    `WrongColumnError` where not one row has a moment: the column is another one.
    """
    import pyarrow as pa

    column = simple(column)
    kind = column.type
    if pa.types.is_date(kind):
        found = recognised(column.cast(pa.timestamp("ms")).cast(pa.int64()), "a date")
    elif pa.types.is_timestamp(kind):
        found = recognised(column.cast(pa.int64()), kind.unit)
    elif pa.types.is_string(kind):
        found = _from_text(column, unit)
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        found = recognised(column, unit)
    else:
        raise WrongColumnError(f"found times of type {kind}, expected {POSSIBLE}")
    return believed(found)


def believed(found: Stamps) -> Stamps:
    """Return the stamps; raise `WrongColumnError` where there are rows and none has a moment."""
    rows = len(found.times_ms)
    if rows and len(found.impossible) == rows:
        raise WrongColumnError(
            f"found {rows} rows of which none has a moment, the first {found.impossible[0]}; "
            f"expected {POSSIBLE}: does another column hold the time?"
        )
    return found


def recognised(numbers: Any, unit: str) -> Stamps:
    """Return the moments of bare numbers: an array, or a pyarrow column that may have nulls."""
    raw = numbers if isinstance(numbers, np.ndarray) else numbers.to_numpy(zero_copy_only=False)
    times, possible = _by_size(raw)
    return _placed(times, possible, lambda row: _told(raw[row], unit))


def simple(column: Column) -> Column:
    """Return one array of a simple type: no chunks, no dictionary, no large strings."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    return column.cast(pa.float64()) if pa.types.is_null(column.type) else column


def _by_size(raw: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return int64[n] milliseconds, and which rows have any."""
    times = np.zeros(len(raw), dtype=np.int64)
    possible = np.zeros(len(raw), dtype=np.bool_)
    for per_ns in NS_PER.values():
        times_ms = _milliseconds(raw, per_ns)
        fits = (times_ms >= EARLIEST_MS) & (times_ms < LATEST_MS)
        times[fits] = times_ms[fits].astype(np.int64)
        possible |= fits
    return times, possible


def _milliseconds(raw: NDArray[Any], per_ns: int) -> NDArray[Any]:
    """Return the numbers as milliseconds if one of them is so many nanoseconds."""
    per_ms = NS_PER["ms"]
    if raw.dtype.kind not in "iu":
        with np.errstate(all="ignore"):
            # A double of seconds is some 100 ns off: rounded to a microsecond before it is cut.
            return np.floor(np.round(raw * (per_ns / per_ms), 3))
    if per_ns <= per_ms:
        return raw // (per_ms // per_ns)
    within = np.clip(raw, 0, np.iinfo(np.int64).max // 1_000)  # beyond, the product would overflow
    return within.astype(np.int64) * (per_ns // per_ms)


def _from_text(column: Column, unit: str) -> Stamps:
    """Return the moments of text: bare numbers or ISO 8601, row by row."""
    import pandas as pd

    texts = column.to_pandas()
    bare = texts.str.fullmatch(_ANY_NUMBER if unit in NS_PER else _NUMBER)
    is_bare = bare.fillna(False).to_numpy(dtype=np.bool_)
    times = np.zeros(len(column), dtype=np.int64)
    possible = np.zeros(len(column), dtype=np.bool_)
    if is_bare.any():
        numbers: Any = pd.to_numeric(texts[is_bare])
        times[is_bare], possible[is_bare] = _by_size(numbers.to_numpy())
    if not is_bare.all():
        moments = pd.to_datetime(texts[~is_bare], utc=True, format="ISO8601", errors="coerce")
        held = moments.dt.as_unit("us").astype("int64").to_numpy() // 1_000
        times[~is_bare] = held
        possible[~is_bare] = moments.notna().to_numpy() & (held >= EARLIEST_MS) & (held < LATEST_MS)
    return _placed(times, possible, lambda row: _told(texts.iloc[row], unit))


def _placed(times: NDArray[np.int64], possible: NDArray[np.bool_], told: Any) -> Stamps:
    """Return the moments, with each row that has none a millisecond after its neighbour."""
    if possible.all():
        return Stamps(times)
    wrong = np.flatnonzero(~possible)
    right = np.flatnonzero(possible)
    placed = times.copy()
    if len(right):
        before = np.maximum(np.searchsorted(right, wrong) - 1, 0)
        placed[wrong] = times[right[before]] + 1
    return Stamps(placed, {row: told(row) for row in wrong.tolist()})


def _told(stamp: Any, unit: str) -> str:
    """Return a stamp as it was found, with the unit in which it was to be."""
    missing = stamp is None or stamp != stamp  # noqa: PLR0124  NaN
    if missing:
        return "no stamp"
    number = isinstance(stamp, int | float | np.integer | np.floating)
    text = str(stamp)[:60]
    written = text if text.removeprefix("-").isdigit() else repr(text)
    shown = f"{stamp:.15g}" if number else written
    return f"stamp {shown} {unit or '(no unit given)'}"
