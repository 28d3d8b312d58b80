"""What makes a row of a source unfit for the lake, row by row, after its table's description."""

from collections.abc import Callable, Iterator
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.quality import Violation, row_violations, sequence_violations
from market_data.frames import Frame
from market_data.sources.stamps import POSSIBLE
from market_data.storage.revisions import ascending, identity
from market_data.tables import IMPOSSIBLE_STAMP, Column, Table

FINDING = ("row", "event_time_ms", "rule", "found", "expected")
Flags = NDArray[np.bool_]


def judge(table: Table, frame: Frame, bar_ms: int) -> Frame:
    """Return row, event_time_ms, rule, found and expected of every rule that a row breaks, by row.

    `frame` holds event_time_ms and the table's columns in the order of arrival; `row` counts from
    0 in it. Rows are first judged each by itself (impossible_stamp alone, or missing, non_finite,
    not_positive, out_of_bounds, ohlc_inconsistent, negative_volume, crossed_book, off_grid), then
    those that are sound against each other: of several rows of one identity the first stands and
    one with other values is a `duplicate`; a candle behind a later one is `out_of_order`. A copy
    with equal values breaks nothing: whoever stores the rows drops it.
    """
    import pandas as pd

    found = [*_impossible(frame)]
    timeless = {one.row for one in found}  # judged by no rule of time, for it has none
    found += [one for one in _rows(table, frame, bar_ms) if one.row not in timeless]
    sound = np.ones(len(frame), dtype=np.bool_)
    sound[[one.row for one in found]] = False
    found += _sequence(table, frame, sound)
    found.sort(key=lambda one: one.row)
    records = [(one.row, one.open_time_ms, one.rule, one.found, one.expected) for one in found]
    kinds = {"row": "int64", "event_time_ms": "int64"} | dict.fromkeys(FINDING[2:], "str")
    return pd.DataFrame(records, columns=list(FINDING)).astype(kinds)


def copies(table: Table, frame: Frame) -> Flags:
    """Return which rows, bool[n], repeat an earlier one in event time and every column.

    One without a possible time repeats none: it has its neighbour's, whatever it was.
    """
    if _each_once(table, frame):
        return np.zeros(len(frame), dtype=np.bool_)
    again = frame.duplicated(["event_time_ms", *table.columns]).to_numpy()
    if IMPOSSIBLE_STAMP in frame:
        again = again & (frame[IMPOSSIBLE_STAMP] == "").to_numpy(np.bool_)
    return again


def _impossible(frame: Frame) -> Iterator[Violation]:
    """Yield the rows that came without a possible time; they stand beside a neighbour's."""
    if IMPOSSIBLE_STAMP in frame:
        found = frame[IMPOSSIBLE_STAMP]
        yield from _violations(
            frame, (found != "").to_numpy(np.bool_), IMPOSSIBLE_STAMP, lambda at: found.iloc[at],
            POSSIBLE,
        )  # fmt: skip


def _each_once(table: Table, frame: Frame) -> bool:
    """Say whether rows are in order and no identity comes twice, as a sound page of ticks is.

    Hashing every value to find that out costs more than all the rest.
    """
    return ascending([frame[name].to_numpy() for name in identity(table)])


def _rows(table: Table, frame: Frame, bar_ms: int) -> Iterator[Violation]:
    if table.shape == "candle":
        yield from row_violations(_bars(frame), table.step(bar_ms))
    else:
        yield from _off_grid(table, frame, bar_ms)
    for name, column in table.columns.items():
        if column.kind == "string":
            yield from _missing(frame, name)
            continue
        values = frame[name].to_numpy(np.float64, na_value=np.nan)
        if table.shape != "candle":
            yield from _non_finite(frame, name, column, values)
        yield from _out_of_bounds(frame, name, column, values, table.shape == "candle")
    if {"best_bid", "best_ask"} <= set(table.columns):
        yield from _crossed(frame)


def _sequence(table: Table, frame: Frame, sound: Flags) -> Iterator[Violation]:
    """Judge the sound rows against each other, copies left out."""
    if table.shape != "candle" and _each_once(table, frame):
        return
    row = np.flatnonzero(sound)
    kept = frame.iloc[row]
    original = ~copies(table, kept)
    row = row[original]
    kept = kept[original]
    if table.shape == "candle":
        for one in sequence_violations(_bars(kept)):
            yield Violation(int(row[one.row]), one.open_time_ms, one.rule, one.found, one.expected)
        return
    key = ["event_time_ms", *table.identity]
    again = np.zeros(len(frame), dtype=np.bool_)
    again[row] = kept.duplicated(key).to_numpy()
    names = list(table.columns)
    yield from _violations(
        frame,
        again,
        "duplicate",
        lambda at: f"other values than an earlier row: {_text(frame, at, names)}",
        f"one row per {' and '.join(key)}",
    )


def _bars(frame: Frame) -> Bars:
    """Return candles as they arrived; a table without volume has 0."""
    return Bars(
        frame["event_time_ms"].to_numpy(np.int64),
        *(
            frame[field.name].to_numpy(np.float64) if field.name in frame else np.zeros(len(frame))
            for field in fields(Bars)[1:]
        ),
    )


def _off_grid(table: Table, frame: Frame, bar_ms: int) -> Iterator[Violation]:
    step = table.step(bar_ms)
    if not step:
        return
    past = frame["event_time_ms"].to_numpy(np.int64) % step
    away = np.minimum(past, step - past)
    yield from _violations(
        frame,
        away > table.jitter_ms,
        "off_grid",
        lambda at: f"{int(away[at])} ms off the grid",
        f"within {table.jitter_ms} ms of a multiple of {step} ms",
    )


def _missing(frame: Frame, name: str) -> Iterator[Violation]:
    broken = (frame[name].isna() | (frame[name] == "")).to_numpy(np.bool_)
    yield from _violations(frame, broken, "missing", lambda _: f"no {name}", f"{name}: a text")


def _non_finite(
    frame: Frame, name: str, column: Column, values: NDArray[np.float64]
) -> Iterator[Violation]:
    broken = ~np.isfinite(values) if column.required else np.isinf(values)
    expected = "a finite number" if column.required else "a finite number, or none"
    yield from _violations(
        frame, broken, "non_finite", lambda at: f"{name} {float(values[at])!r}", expected
    )


def _out_of_bounds(
    frame: Frame, name: str, column: Column, values: NDArray[np.float64], candle: bool
) -> Iterator[Violation]:
    """Judge the bounds; of a candle the lower ones have rules of their own."""
    broken = np.isfinite(values) & (values > column.high)
    if not candle:
        broken |= np.isfinite(values) & (values < column.low)
    yield from _violations(
        frame,
        broken,
        "out_of_bounds",
        lambda at: f"{name} {float(values[at])!r}",
        f"{column.low:g} to {column.high:g} ({column.unit})",
    )


def _crossed(frame: Frame) -> Iterator[Violation]:
    broken = (frame["best_bid"] >= frame["best_ask"]).to_numpy(np.bool_)
    names = ["best_bid", "best_ask"]
    yield from _violations(
        frame, broken, "crossed_book", lambda at: _text(frame, at, names), "best_bid < best_ask"
    )


def _violations(
    frame: Frame, broken: Flags, rule: str, found: Callable[[int], str], expected: str
) -> Iterator[Violation]:
    times = frame["event_time_ms"].to_numpy(np.int64)
    for row in np.flatnonzero(broken).tolist():
        yield Violation(row, int(times[row]), rule, found(row), expected)


def _text(frame: Frame, row: int, names: list[str]) -> str:
    return ", ".join(f"{name} {frame[name].iloc[row]}" for name in names)
