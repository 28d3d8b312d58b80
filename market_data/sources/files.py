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
from market_data.sources.columns import numbers, page, whole_numbers
from market_data.sources.forms import Form, WrongFormError, parse
from market_data.sources.instruments import UNLISTED, Instruments
from market_data.sources.looking import there
from market_data.sources.meanings import moved
from market_data.sources.protocol import Wanted
from market_data.sources.spelling import interval
from market_data.sources.stamps import Column, Stamps, WrongColumnError, stamps
from market_data.sources.tabular import SUFFIXES, Batch, Reach, batches, reading
from market_data.tables import TABLES, Table
from market_data.universe import FilesSettings, SourceSettings

TIME = "event_time_ms"
TIMES = (TIME, "known_at_ms")


@dataclass(frozen=True, slots=True)
class Files:
    """Read the files below `at` that `settings.tables` describes, wherever they came from.

    A template may hold {symbol} (as the source calls it), {base}, {quote}, {asset} (the base in
    small letters), {table} and {timeframe}, and the wildcards * and ?. No file that fits means no
    rows, and `searched` says so.
    """

    asking_is_free: ClassVar[bool] = True

    name: str
    settings: SourceSettings
    at: str
    instruments: Instruments = UNLISTED

    @property
    def tables(self) -> frozenset[str]:
        """Return the tables that the settings describe."""
        return frozenset(self.settings.tables)

    def now_ms(self) -> int:
        """Return the wall clock: a file holds only what is over."""
        return time.time_ns() // 1_000_000

    def pages(self, wanted: Wanted) -> Iterator[Frame]:
        """Yield the rows file by file in pieces, as the files have them.

        A column of ours that the settings do not name is theirs of the same name. Raises
        TidegateError for a folder that is not there, a file that cannot be read or lacks a column,
        and bars of another length than the table's.
        """
        table = TABLES[wanted.table]
        settings = self.settings.tables[wanted.table]
        forms = self._forms(table, settings)
        words = _Words(wanted, self.instruments)
        where = {name: text.format_map(words) for name, text in settings.where.items()}
        for path in self._paths(settings.files, words):
            with reading(path):
                yield from _pages(path, forms, where, settings, wanted)

    def searched(self, wanted: Wanted) -> str:
        """Return which files of a table were looked for, and what lies in the folder instead."""
        template = self.settings.tables[wanted.table].files
        words = _Words(wanted, self.instruments)
        if self._paths(template, words):
            return ""
        return f"{self.name}: {there(Path(self.at), template.format_map(words), SUFFIXES)}"

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

    def _paths(self, template: str, words: "_Words") -> list[Path]:
        folder = Path(self.at)
        if not folder.is_dir():
            raise refused(self.name, f"no folder {self.at}", "the folder of its files")
        try:
            return sorted(folder.glob(template.format_map(words)))
        except (KeyError, ValueError, NotImplementedError) as error:
            expected = f"a path below {self.at} with some of {{{'}, {'.join(WORDS)}}}"
            raise refused(f"{self.name}: files", repr(template), expected) from error


WORDS = ("symbol", "base", "quote", "asset", "table", "timeframe")


class _Words(dict[str, str]):
    """What the placeholders of a template stand for, found only when one is used.

    What a symbol's base is may have to be asked of an exchange, and most templates do not care.
    """

    def __init__(self, wanted: Wanted, instruments: Instruments) -> None:
        super().__init__()
        self._wanted = wanted
        self._instruments = instruments

    def __missing__(self, word: str) -> str:
        wanted = self._wanted
        match word:
            case "symbol":
                return wanted.called
            case "base":
                return self._instruments.of(wanted.symbol).base
            case "quote":
                return self._instruments.of(wanted.symbol).quote
            case "asset":
                return self._instruments.of(wanted.symbol).base.lower()
            case "table":
                return wanted.table
            case "timeframe":
                return interval(TABLES[wanted.table].step(wanted.bar_ms) or wanted.bar_ms)
            case _:
                raise KeyError(word)


def _pages(
    path: Path,
    forms: Mapping[str, Form],
    where: Mapping[str, str],
    settings: FilesSettings,
    wanted: Wanted,
) -> Iterator[Frame]:
    table = TABLES[wanted.table]
    unit = settings.time_unit
    unmeasured = table.shape == "candle"

    def meet(bounds: Column) -> bool:
        found = stamps(bounds, unit)
        # Within a group of two units the smallest number need not be the earliest moment.
        if found.impossible or _unit(bounds[0]) != _unit(bounds[1]):
            return True
        first_ms, last_ms = moved(found, settings.stamp, table, wanted.bar_ms).times_ms
        return bool(first_ms < wanted.end_ms and last_ms >= wanted.start_ms)

    needed = frozenset[str]().union(*(form.names for form in forms.values())) - {TIME}
    if TIME in forms[TIME].names:
        needed |= {TIME}
    can_lack = {
        form.text
        for ours, form in forms.items()
        if ours in table.columns and not table.columns[ours].required and form.text == ours
    }
    if not forms[TIME].is_column:
        raise WrongColumnError(f"found {forms[TIME].text!r} as the time, expected one column")
    asked = [*needed, *where]
    required = sorted({*asked} - can_lack)
    for batch in batches(path, asked, Reach(forms[TIME].text, meet), required):
        chosen = _chosen(batch, where)
        times = stamps(chosen[forms[TIME].text], unit)
        if unmeasured and len(times.possible_ms) > 2:
            _check_step(times.possible_ms, settings.stamp, wanted)
            unmeasured = False
        times = moved(times, settings.stamp, table, wanted.bar_ms)
        values = _values(chosen, forms, times, unit, wanted.table)
        yield page(wanted.table, times, values, wanted)


def _unit(bound: Any) -> int:
    """Return what tells one unit from another: the number of digits, by threes."""
    return len(str(bound.as_py())) // 3 if isinstance(bound.as_py(), int) else 0


def _chosen(batch: Batch, where: Mapping[str, str]) -> Batch:
    """Return the rows whose columns hold the texts asked for."""
    import pyarrow as pa

    keep = np.ones(len(batch), dtype=bool)
    for name, text in where.items():
        held: list[Any] = batch[name].to_pylist()
        keep &= np.array([str(value) == text for value in held], dtype=bool)
    return batch.filter(pa.array(keep)) if where else batch


def _values(
    batch: Batch, forms: Mapping[str, Form], times: Stamps, unit: str, table: str
) -> dict[str, Any]:
    """Return our columns; one that the table can do without may be absent from the file."""
    values: dict[str, Any] = {}
    for ours, form in forms.items():
        if ours == TIME:
            continue
        column = TABLES[table].columns.get(ours)
        if form.names == {TIME}:
            values[ours] = times.times_ms
        elif ours == "known_at_ms":
            values[ours] = stamps(batch[form.text], unit)
        elif form.text == ours and ours not in batch.schema.names:
            continue  # `batches` has refused a file that may not lack it
        elif column and column.kind == "int64" and form.is_column:
            values[ours] = whole_numbers(batch[form.text])
        else:
            values[ours] = form.value({name: numbers(batch[name]) for name in form.names})
    return values


def _check_step(times: NDArray[np.int64], stamp: str, wanted: Wanted) -> None:
    """Refuse bars of another length: neither an hour nor a minute may pass for a quarter.

    The length is the commonest distance between two of the rows, of which there are at least three.
    Nor may the ends of bars pass for their opens.
    """
    table = TABLES[wanted.table]
    step = table.step(wanted.bar_ms)
    distances = np.diff(np.unique(times))
    if not len(distances):
        return
    lengths, counts = np.unique(distances, return_counts=True)
    found = int(lengths[counts.argmax()])
    if found != step:
        raise WrongColumnError(f"found bars {found} ms apart, expected {step} for {table.name}")
    if not stamp and ((times + 1) % step == 0).all():
        raise WrongColumnError(
            f"found stamps 1 ms before a bar's end, as {times[0]}, expected its open: "
            "say `stamp: close` beside `files`"
        )
