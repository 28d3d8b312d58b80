"""What an append makes of the rows of one month: new events, corrections, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.errors import TidegateError
from market_data.frames import Frame
from market_data.tables import STAMP, Table

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

_PANDAS_KINDS = {"double": "float64", "string": "str"}


class LakeError(TidegateError):
    """A table, symbol or frame that the lake does not take; names what was found and expected."""


class Additions(NamedTuple):
    """What an append adds: new events, and the next revisions of those that changed."""

    new: Frame
    corrections: Frame

    def rows(self, table: Table, *others: Frame) -> Frame:
        """Return both, and other rows, in the order of their table."""
        import pandas as pd

        parts = [part for part in (*others, *self) if len(part)]
        order = [*identity(table), "revision"]
        return pd.concat(parts, ignore_index=True).sort_values(order, ignore_index=True)


@dataclass(frozen=True, slots=True)
class AppendReport:
    """Count the rows offered, the new ones, the corrections, and the files rewritten."""

    offered: int
    added: int
    revised: int
    files: int


def offered(table: Table, frame: Frame) -> Frame:
    """Return the rows of an append with the types of their table, ordered by identity.

    Of a table with a jitter a row without `stamp_ms` was stamped at its grid point. Raises
    LakeError for missing or unknown columns, for an identity that comes twice, and for a row known
    before its event (a quarantined row may claim any time).
    """
    if table.jitter_ms and STAMP not in frame:
        frame = frame.assign(**{STAMP: frame["event_time_ms"]})
    expected = [name for name in table.kinds if name != "revision"]
    if set(frame.columns) != set(expected):
        raise LakeError(
            f"{table.name}: found columns {sorted(frame.columns)}, expected {sorted(expected)}"
        )
    kinds = {name: _PANDAS_KINDS.get(table.kinds[name], table.kinds[name]) for name in expected}
    rows = frame.reindex(columns=expected).astype(kinds)
    key = identity(table)
    if not ascending([rows[name].to_numpy() for name in key]):
        rows = rows.sort_values(by=key, ignore_index=True)
        _refuse_twice(table, rows)
    early = rows["known_at_ms"] < rows["event_time_ms"]
    if early.any() and table.name != "quarantine":
        row = rows[early].iloc[0]
        raise LakeError(
            f"{table.name}: event {row.event_time_ms} is known at {row.known_at_ms}, expected its "
            "own time or later: nothing is known before it happens"
        )
    return rows


def ascending(columns: "Sequence[NDArray[Any]]") -> bool:
    """Say whether rows with these key columns are in order, and none comes twice.

    Of texts, which may be missing, it says no: they are for sorting to find out.
    """
    import numpy as np

    if any(column.dtype.kind not in "iuf" for column in columns):
        return False
    settled = np.zeros(max(len(columns[0]) - 1, 0), dtype=bool)  # an earlier column has decided
    for column in columns:
        before = column[:-1]
        after = column[1:]
        if (~settled & (after < before)).any():
            return False
        settled |= after > before
    return bool(settled.all())


def last_of_each(columns: "Sequence[NDArray[Any]]") -> "NDArray[np.bool_]":
    """Return bool[n]: which rows are the last of their key, given its columns in order."""
    import numpy as np

    last = np.ones(len(columns[0]), dtype=np.bool_)
    last[:-1] = False
    for column in columns:
        last[:-1] |= column[1:] != column[:-1]
    return last


def _refuse_twice(table: Table, rows: Frame) -> None:
    twice = rows[rows.duplicated(identity(table))]
    if len(twice):
        row = twice.iloc[0]
        rest = "".join(f", {name} {row[name]}," for name in table.identity)
        raise LakeError(
            f"{table.name}: event time {row.event_time_ms}{rest} comes twice, expected once: "
            "quarantine one of them"
        )


def identity(table: Table) -> list[str]:
    """Return the columns that say which event a row is of."""
    return ["event_time_ms", *table.identity]


def additions(table: Table, stored: Frame, rows: Frame, now_ms: int) -> Additions:
    """Return what of `rows`, as `offered` returns them, is not among the stored rows.

    A row with another value than its latest revision becomes the next revision, known at `now_ms`
    or when the source says, but always later than the revision before: at any moment the
    latest revision known is also the one that became known last.
    """
    import numpy as np

    first = rows["event_time_ms"].iloc[0]
    last = rows["event_time_ms"].iloc[-1]
    near = stored[stored["event_time_ms"].between(first, last)]
    if not len(near):
        return Additions(rows.assign(revision=np.int32(0)), rows.iloc[:0].assign(revision=0))
    latest = near.drop_duplicates(identity(table), keep="last")
    at = positions(table, rows, latest)
    now = rows[at >= 0].reset_index(drop=True)
    before = latest.iloc[at[at >= 0]].reset_index(drop=True)
    changed = np.zeros(len(now), dtype=bool)
    for column in value_columns(table):
        changed |= differ(now[column], before[column])
    learned = np.maximum(now["known_at_ms"], before["known_at_ms"] + 1).clip(lower=now_ms)
    corrections = now.assign(known_at_ms=learned, revision=before["revision"].astype("int32") + 1)[
        changed
    ]
    return Additions(rows[at < 0].assign(revision=np.int32(0)), corrections)


def positions(table: Table, rows: Frame, among: Frame) -> Any:
    """Return int64[n]: where each row's event stands in `among`, which has it once; -1 for none."""
    import numpy as np

    keys = identity(table)
    numbered = among[keys].assign(position=np.arange(len(among)))
    found = rows[keys].merge(numbered, how="left", on=keys)["position"]
    return found.fillna(-1).to_numpy(dtype=np.int64)


def differ(one: Any, other: Any) -> Any:
    """Return bool[n]: where two columns differ; missing is equal to missing."""
    return ((one != other) & ~(one.isna() & other.isna())).to_numpy(dtype=bool)


def value_columns(table: Table) -> list[str]:
    """Return the columns that a correction can change."""
    return [name for name in table.columns if name not in table.identity]


def changes(table: Table, before: Frame, after: Frame) -> Frame:
    """Return one row per value that differs between two views with one row per event.

    Columns: the identity, column, before, after, then known_at_ms, source and revision of the row
    in `after`; `before` is missing where the event was not there.
    """
    import pandas as pd

    columns = value_columns(table)
    kind = "float64" if {table.kinds[name] for name in columns} == {"double"} else "object"
    at = positions(table, after, before)
    earlier = before[columns].astype(kind).reset_index(drop=True).reindex(at).reset_index(drop=True)
    later = after[columns].astype(kind)
    origin = ["known_at_ms", "source", "revision"]
    parts: list[Frame] = []
    for number, column in enumerate(columns):
        moved = (at < 0) | differ(later[column], earlier[column])
        part = after.loc[moved, [*identity(table), *origin]].assign(
            number=number, column=column, before=earlier[column][moved], after=later[column][moved]
        )
        parts.append(part)
    order = [*identity(table), "number"]
    rows = pd.concat(parts).sort_values(order, ignore_index=True)
    return rows[[*identity(table), "column", "before", "after", *origin]]


def schema(columns: Mapping[str, str]) -> "pa.Schema":
    """Return the arrow schema of columns given with their parquet types."""
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])


def conformed(rows: "pa.Table", columns: Mapping[str, str]) -> "pa.Table":
    """Return exactly these columns: one that a file does not have yet is missing in every row."""
    import pyarrow as pa

    wanted = schema(columns)
    arrays = [
        rows[one.name].cast(one.type) if one.name in rows.column_names
        else pa.nulls(len(rows), one.type)
        for one in wanted
    ]  # fmt: skip
    return pa.table(arrays, schema=wanted)


def month_of(event_time_ms: Any) -> Any:
    """Return the month of each event as text, `2026-01`; times far from now are no error."""
    import numpy as np

    times = np.asarray(event_time_ms, dtype=np.int64).astype("datetime64[ms]")
    return times.astype("datetime64[M]").astype(str)


def month_start_ms(month: str) -> int:
    """Return the first millisecond of a month such as `2026-01`."""
    import numpy as np

    return int(np.datetime64(month, "ms").astype(np.int64))
