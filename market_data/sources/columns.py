"""Columns of files and answers as the numbers of the lake: stamps, values, whole numbers, pages."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market_data.frames import Frame
from market_data.sources.protocol import Wanted
from market_data.sources.stamps import (
    POSSIBLE,
    Column,
    Stamps,
    WrongColumnError,
    believed,
    recognised,
    simple,
    stamps,
)
from market_data.tables import IMPOSSIBLE_STAMP, PRICE_UNIT, SIZE_UNIT, TABLES

_WORDS = {"buy": "1", "sell": "-1", "true": "1", "false": "0"}


def times_ms(column: Column, unit: str = "") -> NDArray[np.int64]:
    """Return moments as int64 milliseconds UTC; raise `WrongColumnError` for a stamp that is none.

    For columns other than the event time, of which `stamps` keeps the rows.
    """
    found = stamps(column, unit)
    for text in found.impossible.values():
        raise WrongColumnError(f"found {text}, expected {POSSIBLE}")
    return found.times_ms


def numbers(column: Column) -> NDArray[np.float64]:
    """Return float64, NaN where the file has nothing; buy is 1, sell -1, true 1, false 0."""
    import pyarrow as pa

    column = simple(column)
    if pa.types.is_timestamp(column.type):
        return times_ms(column).astype(np.float64)
    if pa.types.is_string(column.type):
        column = _without_words(column)
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def whole_numbers(column: Column) -> NDArray[np.int64]:
    """Return int64; every row must have a whole number."""
    import pyarrow as pa

    column = simple(column)
    if column.null_count:
        raise WrongColumnError(f"found {column.null_count} rows without an id, expected none")
    if pa.types.is_timestamp(column.type):
        return times_ms(column)
    return column.cast(pa.int64()).to_numpy()


def rows_of(table: str, times: Stamps | NDArray[np.int64], values: Mapping[str, Any]) -> Frame:
    """Return all rows with every column of the table; times that are bare are milliseconds.

    A column that is not given is NaN, or refused with `WrongColumnError` where the table needs it.
    Where a stamp is impossible, a column `IMPOSSIBLE_STAMP` says of each row what was found.
    """
    import pandas as pd

    moments = {"event_time_ms": _as_stamps(times)}
    if "known_at_ms" in values:
        moments["known_at_ms"] = _as_stamps(values["known_at_ms"])
    found: dict[str, Any] = {name: one.times_ms for name, one in moments.items()}
    rows = len(found["event_time_ms"])
    for name, column in TABLES[table].columns.items():
        if name in values:
            found[name] = values[name]
        elif column.required:
            raise WrongColumnError(f"found no column for {name}, expected one: table {table}")
        else:
            found[name] = np.full(rows, np.nan)
    texts = _texts(moments)
    if texts:
        found[IMPOSSIBLE_STAMP] = [texts.get(row, "") for row in range(rows)]
    return pd.DataFrame(found)


def page(
    table: str, times: Stamps | NDArray[np.int64], values: Mapping[str, Any], wanted: Wanted
) -> Frame:
    """Return the rows, as `rows_of` does, that lie in the span that was asked for.

    This is the only selection by time that an adapter makes: a file or an answer holds more than a
    request asks for, and the rest is asked for in its turn. A row whose stamp is impossible lies
    where its neighbour does, so it is in exactly one span.
    """
    rows = scaled(rows_of(table, times, values), table, wanted.scale)
    inside = rows["event_time_ms"].between(wanted.start_ms, wanted.end_ms - 1)
    return rows[inside].reset_index(drop=True)


def scaled(rows: Frame, table: str, scale: float) -> Frame:
    """Return the rows with prices of so many of what the source counts, and quantities of them."""
    if scale == 1.0:
        return rows
    units = {name: column.unit for name, column in TABLES[table].columns.items()}
    prices = {name: rows[name] * scale for name, unit in units.items() if unit == PRICE_UNIT}
    sizes = {name: rows[name] / scale for name, unit in units.items() if unit == SIZE_UNIT}
    return rows.assign(**prices, **sizes)


def _as_stamps(times: Stamps | NDArray[np.int64]) -> Stamps:
    return times if isinstance(times, Stamps) else believed(recognised(times, "ms"))


def _texts(moments: Mapping[str, Stamps]) -> dict[int, str]:
    """Return what was found in the rows of which a moment is impossible."""
    texts: dict[int, str] = {}
    for name, one in moments.items():
        for row, text in one.impossible.items():
            told = text if name == "event_time_ms" else f"{name}: {text}"
            texts[row] = f"{texts[row]}; {told}" if row in texts else told
    return texts


def _without_words(column: Column) -> Column:
    """Return a column of text in which the words that mean a number are that number."""
    import pyarrow as pa

    if len(column) == 0 or str(column[0]).lower() not in {*_WORDS, "none", ""}:
        return column
    texts = [None if text is None else text.lower() for text in column.to_pylist()]
    return pa.array([_WORDS.get(text, text) if text else None for text in texts], pa.string())
