"""The month files of the lake: read the columns that a question needs, and add rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from kernel.bars import Bars
from kernel.resampling import first_known, latest_known
from market_data.frames import Frame
from market_data.storage.parquet import parquet_bytes
from market_data.storage.revisions import additions, ascending, conformed, identity, schema
from market_data.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_SEEN = {
    "event_time_ms": "int64",
    **dict.fromkeys(("open", "high", "low", "close", "volume"), "double"),
    "known_at_ms": "int64",
}
_MANY_ROWS = 20_000  # from here on a second core pays for itself


def tables(files: "Iterable[pa.NativeFile]", columns: Mapping[str, str]) -> "Iterator[pa.Table]":
    """Yield these columns, given with their types, of one file after the other."""
    import pyarrow.parquet as pq

    for file in files:
        stored = pq.ParquetFile(file)
        there = [name for name in columns if name in stored.schema_arrow.names]
        yield conformed(_read(stored, there), columns)


def stacked(files: "Iterable[pa.NativeFile]", columns: Mapping[str, str]) -> dict[str, Any]:
    """Return these columns of all files as arrays, one file after the other."""
    return arrays(joined_files(files, columns))


def joined_files(files: "Iterable[pa.NativeFile]", columns: Mapping[str, str]) -> "pa.Table":
    """Return these columns of all files, one file after the other."""
    import pyarrow as pa

    return pa.concat_tables([schema(columns).empty_table(), *tables(files, columns)])


def arrays(rows: "pa.Table") -> dict[str, Any]:
    """Return every column as an array; a missing float is NaN."""
    return {name: rows[name].to_numpy() for name in rows.column_names}


def in_order(table: Table, rows: "pa.Table") -> "pa.Table":
    """Return the rows of several files by event and revision, each once.

    Of a table in parts files may overlap, and two writers of a bucket may add a row twice.
    """
    import numpy as np

    key = [*identity(table), "revision"]
    if ascending([rows[name].to_numpy() for name in key]):
        return rows
    rest = [name for name in ("known_at_ms", "source") if name in rows.column_names]
    rows = rows.sort_by([(name, "ascending") for name in (*key, *rest)])
    same = np.ones(max(len(rows) - 1, 0), dtype=np.bool_)
    for name in key:
        column = rows[name].to_numpy()
        same &= column[1:] == column[:-1]
    return rows.filter(np.concatenate(([True], ~same)))


def closed_bars(files: "Iterable[pa.NativeFile]", t_ms: int) -> Iterator[Bars]:
    """Yield the bars that had closed by `t_ms`, in their latest revision, of one file of a candle
    table after the other; volume 0 where a table has none.

    Where a file's footer says that every row is a first revision known at `t_ms`, it is believed.
    """
    import numpy as np
    import pyarrow.parquet as pq

    for file in files:
        stored = pq.ParquetFile(file)
        simple = _largest(stored, "revision") == 0 and _largest(stored, "known_at_ms") <= t_ms
        names = ["event_time_ms", "open", "high", "low", "close"]
        names += [] if simple else ["known_at_ms"]
        names += ["volume"] if "volume" in stored.schema_arrow.names else []
        columns = _read(stored, names)
        rows = {name: columns[name].to_numpy() for name in names}  # a missing float is NaN
        if not simple:
            times = rows["event_time_ms"]
            known_at_ms = rows.pop("known_at_ms")
            chosen = latest_known(times, known_at_ms, t_ms)
            rows = {name: values[chosen] for name, values in rows.items()}
        volume = rows.setdefault("volume", np.zeros(len(rows["event_time_ms"])))
        opened, high, low, close = (rows[name] for name in ("open", "high", "low", "close"))
        yield Bars(
            open_time_ms=rows["event_time_ms"],
            open=opened,
            high=high,
            low=low,
            close=close,
            volume=volume,
        )


def seen_bars(
    files: "Iterable[pa.NativeFile]", t_ms: int, start_ms: int, within_ms: int | None
) -> Iterator[Bars]:
    """Yield the bars that open at `start_ms` or later as they were first known, by `t_ms`.

    With `within_ms` those known after the span of that length in which they open are left out:
    spans follow one another since 1970-01-01T00:00Z.
    """
    for part in tables(files, _SEEN):
        rows = {name: part[name].to_numpy() for name in _SEEN}
        times = rows["event_time_ms"]
        known_ms = rows.pop("known_at_ms")
        chosen = first_known(times, known_ms, t_ms) & (times >= start_ms)
        if within_ms is not None:
            chosen &= known_ms <= (times // within_ms + 1) * within_ms
        yield Bars(*(values if chosen.all() else values[chosen] for values in rows.values()))


def ahead(parts: Iterable[Bars]) -> Iterator[Bars]:
    """Yield parts while a second thread is already reading the next one."""
    coming = iter(parts)
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, coming, None)
        while (part := following.result()) is not None:
            following = reader.submit(next, coming, None)
            yield part


def _read(stored: "pq.ParquetFile", names: Sequence[str]) -> "pa.Table":
    threads = stored.metadata.num_rows >= _MANY_ROWS
    return stored.read(columns=list(names), use_threads=threads).select(list(names))


def _largest(stored: "pq.ParquetFile", column: str) -> float:
    """Return the largest value of a column by the footer, infinity where it does not say."""
    at = stored.schema_arrow.get_field_index(column)
    groups = [stored.metadata.row_group(one) for one in range(stored.metadata.num_row_groups)]
    known = [group.column(at).statistics for group in groups]
    if not all(one is not None and one.has_min_max for one in known):
        return float("inf")
    return max((one.max for one in known), default=float("inf"))


class Appending:
    """The change that an append makes to one month; the counts are those of its last call."""

    def __init__(self, table: Table, rows: Frame, now_ms: int) -> None:
        self._table = table
        self._rows = rows
        self._now_ms = now_ms
        self.added = self.revised = 0

    def change(self, content: bytes | None) -> bytes | None:
        """Return the file with the rows in it, None where it has them all."""
        import pyarrow as pa

        columns = self._table.kinds
        files = [] if content is None else [pa.BufferReader(content)]
        stored = pa.concat_tables([schema(columns).empty_table(), *tables(files, columns)])
        held = stored.to_pandas()
        found = additions(self._table, held, self._rows, self._now_ms)
        self.added = len(found.new)
        self.revised = len(found.corrections)
        if not self.added + self.revised:
            return None
        return file_of(self._table, found.rows(self._table, held))


def file_of(table: Table, rows: Frame) -> bytes:
    """Return rows in the order of their table as a parquet file."""
    import pyarrow as pa

    described = schema(table.kinds)
    columns = pa.Table.from_pandas(rows, schema=described, preserve_index=False)
    return parquet_bytes(columns.replace_schema_metadata(None))
