"""Plain CSV, parquet and feather files of any layout, as universe.yaml describes them."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from market_data.frames import Frame
from market_data.sources.backoff import refused
from market_data.sources.columns import (
    Column,
    WrongColumnError,
    numbers,
    page,
    times_ms,
    whole_numbers,
)
from market_data.sources.forms import Form, WrongFormError, parse
from market_data.sources.protocol import Wanted
from market_data.sources.spelling import interval, parts
from market_data.sources.tabular import Batch, Reach, batches, reading
from market_data.tables import TABLES, Table
from market_data.universe import FilesSettings, SourceSettings

TIME = "event_time_ms"
TIMES = (TIME, "known_at_ms")


@dataclass(frozen=True, slots=True)
class Files:
    """Read the files below `at` that `settings.tables` describes, wherever they came from.

    A template may hold {symbol}, {base}, {quote}, {asset} (the base in small letters), {table} and
    {timeframe}, and the wildcards * and ?. No file that fits means no rows.
    """

    asking_is_free: ClassVar[bool] = True

    name: str
    settings: SourceSettings
    at: str

    @property
    def tables(self) -> frozenset[str]:
        """Return the tables that the settings describe."""
        return frozenset(self.settings.tables)

    def now_ms(self) -> int:
        """Return the wall clock: a file holds only what is over."""
        return time.time_ns() // 1_000_000

    def pages(self, wanted: Wanted) -> Iterator[Frame]:
        """Yield the rows file by file in pieces, as the files have them.

        A column of ours that the settings do not name is theirs of the same name. Raises dagster
        Failure for a folder that is not there, a file that cannot be read or lacks a column, and
        bars of another length than the table's.
        """
        table, settings = TABLES[wanted.table], self.settings.tables[wanted.table]
        forms = self._forms(table, settings)
        words = _words(wanted)
        where = {name: text.format(**words) for name, text in settings.where.items()}
        for path in self._paths(settings.files, words):
            with reading(path):
                yield from _pages(path, forms, where, settings.time_unit, wanted)

    def _forms(self, table: Table, settings: FilesSettings) -> dict[str, Form]:
        known = {*TIMES, *table.columns}
        unknown = sorted(set(settings.columns) - known)
        if unknown:
            what = f"{self.name}: columns of {table.name}"
            raise refused(what, f"{unknown}", f"some of {sorted(known)}")
        try:
            return {
                ours: parse(settings.columns.get(ours, ours))
                for ours in (*TIMES, *table.columns)
                if ours in settings.columns or ours != "known_at_ms"
            }
        except WrongFormError as error:
            raise refused(f"{self.name}: {table.name}", str(error), "such a form") from error

    def _paths(self, template: str, words: Mapping[str, str]) -> list[Path]:
        folder = Path(self.at)
        if not folder.is_dir():
            raise refused(self.name, f"no folder {self.at}", "the folder of its files")
        try:
            return sorted(folder.glob(template.format(**words)))
        except (KeyError, ValueError, NotImplementedError) as error:
            expected = f"a path below {self.at} with some of {{{'}, {'.join(words)}}}"
            raise refused(f"{self.name}: files", repr(template), expected) from error


def _words(wanted: Wanted) -> dict[str, str]:
    base, quote = parts(wanted.symbol)
    step = TABLES[wanted.table].step(wanted.bar_ms) or wanted.bar_ms
    return {
        "symbol": wanted.symbol,
        "base": base,
        "quote": quote,
        "asset": base.lower(),
        "table": wanted.table,
        "timeframe": interval(step),
    }


def _pages(
    path: Path, forms: Mapping[str, Form], where: Mapping[str, str], unit: str, wanted: Wanted
) -> Iterator[Frame]:
    needed = frozenset[str]().union(*(form.names for form in forms.values()))
    unmeasured = TABLES[wanted.table].shape == "candle"

    def meet(bounds: Column) -> bool:
        first, last = times_ms(bounds, unit)
        return bool(first < wanted.end_ms and last >= wanted.start_ms)

    for batch in batches(path, [*needed, *where], Reach(forms[TIME].text, meet)):
        chosen = _chosen(batch, where)
        times = _times(chosen, forms[TIME], unit)
        if unmeasured and len(times) > 2:
            _check_step(times, wanted)
            unmeasured = False
        values = _values(chosen, forms, times, unit, wanted.table)
        yield page(wanted.table, times, values, wanted)


def _chosen(batch: Batch, where: Mapping[str, str]) -> Batch:
    """Return the rows whose columns hold the texts asked for."""
    import pyarrow as pa

    keep = np.ones(len(batch), dtype=bool)
    for name, text in where.items():
        _require({name}, batch)
        held: list[Any] = batch[name].to_pylist()
        keep &= np.array([str(value) == text for value in held], dtype=bool)
    return batch.filter(pa.array(keep)) if where else batch


def _times(batch: Batch, form: Form, unit: str) -> NDArray[np.int64]:
    if not form.is_column:
        raise WrongColumnError(f"found {form.text!r} as the time, expected one column")
    _require(form.names, batch)
    return times_ms(batch[form.text], unit)


def _values(
    batch: Batch, forms: Mapping[str, Form], times: NDArray[np.int64], unit: str, table: str
) -> dict[str, Any]:
    """Return our columns; one that the table can do without may be absent from the file."""
    values: dict[str, Any] = {}
    for ours, form in forms.items():
        if ours == TIME:
            continue
        column = TABLES[table].columns.get(ours)
        if form.names == {TIME}:
            values[ours] = times
        elif ours == "known_at_ms":
            values[ours] = _times(batch, form, unit)
        elif column and not column.required and form.text == ours and ours not in _names(batch):
            continue
        elif column and column.kind == "int64" and form.is_column:
            _require(form.names, batch)
            values[ours] = whole_numbers(batch[form.text])
        else:
            _require(form.names, batch)
            values[ours] = form.value({name: numbers(batch[name]) for name in form.names})
    return values


def _check_step(times: NDArray[np.int64], wanted: Wanted) -> None:
    """Refuse bars of another length: neither an hour nor a minute may pass for a quarter.

    The length is the commonest distance between two of the rows, of which there are at least three.
    """
    table = TABLES[wanted.table]
    distances = np.diff(np.unique(times))
    if not len(distances):
        return
    lengths, counts = np.unique(distances, return_counts=True)
    found, step = int(lengths[counts.argmax()]), table.step(wanted.bar_ms)
    if found != step:
        raise WrongColumnError(f"found bars {found} ms apart, expected {step} for {table.name}")


def _require(names: frozenset[str] | set[str], batch: Batch) -> None:
    missing = sorted(names - set(_names(batch)))
    if missing:
        raise WrongColumnError(f"found no columns {missing}, expected them beside {_names(batch)}")


def _names(batch: Batch) -> list[str]:
    return batch.schema.names
