"""Bring a lake that older code has written to the form of today, step by step and losing nothing.

`market/schema.json` says which form a lake has; one without it has the first. Every file is
replaced whole by what its own content becomes, which is the same however often it is done: a
migration that was killed goes on where it stopped, and two at once do no more than one.

1. An event was its stamp to the millisecond.
2. An event of a table with a jitter is its grid point, and `stamp_ms` beside it. What two roads had
   stored as two events is one again, its values in the order in which they became known.
"""

import json
from typing import TYPE_CHECKING, Any

from market_data.frames import Frame
from market_data.storage.month_files import tables
from market_data.storage.objects import Storage
from market_data.storage.parquet import parquet_bytes
from market_data.storage.revisions import (
    LakeError,
    differ,
    identity,
    month_of,
    schema,
    value_columns,
)
from market_data.tables import MINUTE_MS, STAMP, TABLES, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 2
_NAME = "market/schema.json"
_SUFFIX = ".parquet"


def migrate(storage: Storage) -> None:
    """Bring a lake to `VERSION`; raise LakeError for one that newer code has written.

    A lake without a file of the tables in question is as it should be, and nothing is written.
    """
    found = _version(storage.read(_NAME))
    if found > VERSION:
        raise LakeError(
            f"{storage.path(_NAME)}: found version {found}, expected at most {VERSION}: newer code "
            "wrote this lake; upgrade before you use it"
        )
    folders = [] if found == VERSION else _folders(storage)
    for table, folder in folders:
        _to_grid_points(storage, table, folder)
    if folders:
        content = json.dumps({"version": VERSION}).encode() + b"\n"
        # Newer code may have been here meanwhile, and a version never goes back.
        storage.update(_NAME, lambda now: content if _version(now) < VERSION else None)


def _version(content: bytes | None) -> int:
    return 1 if content is None else int(json.loads(content)["version"])


def _folders(storage: Storage) -> list[tuple[Table, str]]:
    """Return the folders of symbols in the tables with a jitter, which hold at least a month."""
    found = [
        (table, f"market/{table.name}/{name}")
        for table in TABLES.values()
        if table.jitter_ms
        for name in storage.names(f"market/{table.name}")
        if name.startswith("symbol=") and name != "symbol=none"
    ]
    return [(table, folder) for table, folder in found if _months(storage, folder)]


def _months(storage: Storage, folder: str) -> list[str]:
    names = storage.names(folder)
    return [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]


def _to_grid_points(storage: Storage, table: Table, folder: str) -> None:
    """Give every event of one symbol its grid point, each file by itself."""
    import numpy as np

    months = _months(storage, folder)
    stamps = [_rows(table, storage.read(_file(folder, month)))[STAMP] for month in months]
    step_ms = _step_ms(table, np.concatenate([one.to_numpy(np.int64) for one in stamps]))
    for month in months:
        while not _month_to_grid_points(storage, table, folder, month, step_ms):
            pass  # rows came in meanwhile: those that leave the month are not in their own yet


def _month_to_grid_points(
    storage: Storage, table: Table, folder: str, month: str, step_ms: int
) -> bool:
    """Say whether a month is done: first what belongs to another one is there, then gone here."""
    name = _file(folder, month)
    leaving = _leaving(_folded(table, _rows(table, storage.read(name)), step_ms), month)
    for other, rows in leaving.groupby(month_of(leaving["event_time_ms"])):
        storage.update(_file(folder, other), _Folding(table, step_ms, adding=rows))
    folding = _Folding(table, step_ms, month=month, leaving=leaving)
    storage.update(name, folding)
    return folding.done


def _file(folder: str, month: str) -> str:
    return f"{folder}/{month}{_SUFFIX}"


def _leaving(rows: Frame, month: str) -> Frame:
    """Return the rows of events that belong to another month."""
    return rows[month_of(rows["event_time_ms"]) != month].reset_index(drop=True)


class _Folding:
    """The change of one file; `done` says whether all that leaves it was known to leave."""

    def __init__(
        self,
        table: Table,
        step_ms: int,
        *,
        month: str = "",
        adding: Frame | None = None,
        leaving: Frame | None = None,
    ) -> None:
        self.done = False
        self._table = table
        self._step_ms = step_ms
        self._month = month
        self._adding = adding
        self._leaving = leaving

    def __call__(self, content: bytes | None) -> bytes | None:
        """Return the file with its events at their grid points, None where it has them there."""
        import pandas as pd
        import pyarrow as pa

        table = self._table
        rows = _rows(table, content)
        if self._adding is not None:
            rows = pd.concat([rows, self._adding], ignore_index=True)
        folded = _folded(table, rows, self._step_ms)
        if self._leaving is not None:
            leaving = _leaving(folded, self._month)
            self.done = leaving.equals(self._leaving)
            if not self.done:
                return None
            folded = folded[month_of(folded["event_time_ms"]) == self._month]
        columns = schema(table.kinds)
        stored = pa.Table.from_pandas(folded, schema=columns, preserve_index=False)
        fresh = parquet_bytes(stored.replace_schema_metadata(None))
        return None if fresh == content else fresh


def _rows(table: Table, content: bytes | None) -> Frame:
    """Return the rows of a file; one without `stamp_ms` has the stamps for event times."""
    import pyarrow as pa

    columns = table.kinds
    files = [] if content is None else [pa.BufferReader(content)]
    rows = pa.concat_tables([schema(columns).empty_table(), *tables(files, columns)]).to_pandas()
    return rows.assign(**{STAMP: rows[STAMP].fillna(rows["event_time_ms"]).astype("int64")})


def _folded(table: Table, rows: Frame, step_ms: int) -> Frame:
    """Return the rows with each event at its grid point, its values in the order they were known.

    A value that repeats the one before it is the same knowledge by another road, and is no
    revision. The first road's source and stamp stay.
    """
    import numpy as np

    keys = identity(table)
    stamps_ms = rows[STAMP].to_numpy(np.int64)
    points_ms = table.points(stamps_ms, step_ms)
    known_at_ms = np.maximum(rows["known_at_ms"].to_numpy(np.int64), points_ms)
    rows = rows.assign(event_time_ms=points_ms, known_at_ms=known_at_ms)
    order = [*keys, "known_at_ms", "revision", STAMP, "source"]
    rows = rows.sort_values(order, kind="stable", ignore_index=True)
    again = rows.duplicated(keys).to_numpy()
    for column in value_columns(table):
        again = again & ~_changed(rows[column])
    rows = rows[~again].reset_index(drop=True)
    revision = rows.groupby(keys).cumcount()
    # The latest revision known at any moment is the one that became known last: no two at once.
    later = rows["known_at_ms"] - revision
    known_at_ms = later.groupby([rows[key] for key in keys]).cummax() + revision
    return rows.assign(known_at_ms=known_at_ms, revision=revision.astype("int32"))


def _changed(column: Any) -> Any:
    """Return bool[n]: where a value differs from the one before it."""
    return differ(column, column.shift())


def _step_ms(table: Table, stamps_ms: "NDArray[np.int64]") -> int:
    """Return the grid of a symbol's events; of a table that follows the bars, from its stamps.

    Every bar of five minutes and more is a multiple of five minutes, and within a minute of one the
    grid points are the same.
    """
    if table.step_ms is not None:
        return table.step_ms
    steps = (5 * MINUTE_MS, 3 * MINUTE_MS, MINUTE_MS)
    return next(step for step in steps if (table.points(stamps_ms, step) % step == 0).all())
