"""Columns of files and answers as the numbers of the lake: stamps, values, whole numbers, pages."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import TidegateError
from market_data.frames import Frame
from market_data.sources.protocol import Wanted
from market_data.tables import TABLES

NS_PER = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_WORDS = {"buy": "1", "sell": "-1", "true": "1", "false": "0"}

Column = Any
"""A pyarrow Array or ChunkedArray."""


class WrongColumnError(TidegateError):
    """A column that does not hold what its place in the lake asks for."""


def times_ms(column: Column, unit: str = "") -> NDArray[np.int64]:
    """Return event times as int64 milliseconds UTC, cut down to the whole millisecond.

    Typed timestamps and dates, and ISO 8601 text, say themselves what they are (UTC where no zone
    is given). Bare numbers are in `unit`: s, ms, us or ns.
    """
    import pyarrow as pa

    column = _plain(column)
    if column.null_count:
        raise WrongColumnError(f"found {column.null_count} rows without a time, expected none")
    kind = column.type
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
    if pa.types.is_timestamp(kind):
        return _from_unit(column.cast(pa.int64()).to_numpy(), kind.unit)
    if unit not in NS_PER and not pa.types.is_string(kind):
        known = ", ".join(NS_PER)
        raise WrongColumnError(f"found times of type {kind}, expected a time_unit of {known}")
    if unit not in NS_PER:
        return _from_text(column)
    if pa.types.is_floating(kind):
        return np.floor(column.to_numpy() * (NS_PER[unit] / NS_PER["ms"])).astype(np.int64)
    return _from_unit(column.cast(pa.int64()).to_numpy(), unit)


def numbers(column: Column) -> NDArray[np.float64]:
    """Return float64, NaN where the file has nothing; buy is 1, sell -1, true 1, false 0."""
    import pyarrow as pa

    column = _plain(column)
    if pa.types.is_timestamp(column.type):
        return times_ms(column).astype(np.float64)
    if pa.types.is_string(column.type):
        column = _without_words(column)
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def whole_numbers(column: Column) -> NDArray[np.int64]:
    """Return int64; every row must have a whole number."""
    import pyarrow as pa

    column = _plain(column)
    if column.null_count:
        raise WrongColumnError(f"found {column.null_count} rows without an id, expected none")
    if pa.types.is_timestamp(column.type):
        return times_ms(column)
    return column.cast(pa.int64()).to_numpy()


def page(table: str, times: NDArray[np.int64], values: Mapping[str, Any], wanted: Wanted) -> Frame:
    """Return the rows that lie in the window, with every column of the table.

    A column that is not given is NaN, or refused with `WrongColumnError` where the table needs it.
    """
    import pandas as pd

    inside = (times >= wanted.start_ms) & (times < wanted.end_ms)
    found: dict[str, Any] = {"event_time_ms": times[inside]}
    if "known_at_ms" in values:
        found["known_at_ms"] = values["known_at_ms"][inside]
    for name, column in TABLES[table].columns.items():
        if name in values:
            found[name] = values[name][inside]
        elif column.required:
            raise WrongColumnError(f"found no column for {name}, expected one: table {table}")
        else:
            found[name] = np.full(int(inside.sum()), np.nan)
    return pd.DataFrame(found)


def _plain(column: Column) -> Column:
    """Return one array of a simple type: no chunks, no dictionary, no large strings."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    return column.cast(pa.float64()) if pa.types.is_null(column.type) else column


def _without_words(column: Column) -> Column:
    """Return a column of text in which the words that mean a number are that number."""
    import pyarrow as pa

    if len(column) == 0 or str(column[0]).lower() not in {*_WORDS, "none", ""}:
        return column
    texts = [None if text is None else text.lower() for text in column.to_pylist()]
    return pa.array([_WORDS.get(text, text) if text else None for text in texts], pa.string())


def _from_unit(stamps: NDArray[np.int64], unit: str) -> NDArray[np.int64]:
    if unit == "s":
        return stamps * 1_000
    return stamps // (NS_PER["ms"] // NS_PER[unit])


def _from_text(column: Column) -> NDArray[np.int64]:
    import pandas as pd

    moments = pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601")
    return moments.dt.as_unit("ns").astype("int64").to_numpy() // NS_PER["ms"]
