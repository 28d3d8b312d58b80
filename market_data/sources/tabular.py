"""Files of columns, read a piece at a time: CSV (also gzipped), parquet, and Arrow's feather."""

import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from market_data.sources.backoff import refused
from market_data.sources.columns import WrongColumnError

CHUNK_BYTES = 4 << 20
"""Of text at once: some 40,000 candles."""
MAX_LINE_BYTES = 1 << 20
BATCH_ROWS = 65_536
SUFFIXES = (".csv", ".csv.gz", ".parquet", ".feather")

Batch = Any
"""A pyarrow Table or RecordBatch."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong with one file into an error that names it."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, WrongColumnError, OSError, EOFError, ValueError) as error:
        found = f"a file that cannot be read ({type(error).__name__}: {str(error)[:300]})"
        raise refused(str(path), found, "a whole file of its layout") from error


@dataclass(frozen=True, slots=True)
class Reach:
    """What rows are wanted: those of which the values of `column` `meet` the wanted ones.

    `meet` is given a pyarrow array of the smallest and the largest value of some rows.
    """

    column: str
    meet: Callable[[Any], bool]


def batches(
    path: Path,
    columns: Sequence[str] | None = None,
    reach: Reach | None = None,
    required: Collection[str] = (),
) -> Iterator[Batch]:
    """Yield the named columns of a file (None: all) in pieces of bounded size, in the file's order.

    The columns of a CSV file are text; it begins with a line of names. A column that the file lacks
    is absent. Rows out of `reach` may be left out where the file says so itself. Raises
    `WrongColumnError` for a suffix that is none of `SUFFIXES`, and, with the file's own names,
    where it lacks a `required` column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.name.endswith((".csv", ".csv.gz")):
        with _text(path) as stream:
            yield from csv_batches(stream, columns, required=required)
    elif path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            named = _present(file.schema_arrow.names, columns, required)
            groups = [k for k in range(file.num_row_groups) if _in_reach(file, k, reach)]
            yield from file.iter_batches(BATCH_ROWS, groups, named, use_threads=False)
    elif path.suffix == ".feather":
        with pa.OSFile(str(path)) as opened:  # not mapped: its owner may write it anew meanwhile
            file = pa.ipc.open_file(opened)
            named = _present(file.schema.names, columns, required)
            for number in range(file.num_record_batches):
                yield file.get_batch(number).select(named)
    else:
        raise WrongColumnError(f"found {path.name}, expected a name that ends in {SUFFIXES}")


def csv_batches(
    stream: io.BufferedIOBase,
    columns: Sequence[str] | None = None,
    names: Sequence[str] = (),
    types: Mapping[str, Any] | None = None,
    required: Collection[str] = (),
) -> Iterator[Batch]:
    """Yield the named columns of a CSV stream in pieces of some `CHUNK_BYTES`.

    The first line holds the names, unless it begins with a digit: then they are `names`, as many as
    there are fields. Columns without one of `types` are text, in which an empty field is null.
    Raises `WrongColumnError`, with the names that there are, where a `required` one is not.
    """
    import pyarrow as pa

    head = stream.readline(MAX_LINE_BYTES)
    first = head.removeprefix(b"\xef\xbb\xbf").decode()
    delimiter = max(",;\t", key=first.count)
    fields = [field.strip().strip('"') for field in first.strip().split(delimiter)]
    headless = first[:1].isdigit()
    if headless:
        unnamed = (f"field_{k}" for k in range(len(names), len(fields)))
        fields = [*names, *unnamed][: len(fields)]
    if not first.strip():
        return
    present = _present(fields, columns, required)
    kinds = {name: (types or {}).get(name, pa.string()) for name in present}
    if not headless:  # no rows may follow, and the names count all the same
        yield pa.table({name: pa.array([], kind) for name, kind in kinds.items()})
    for lines in _whole_lines(stream, head if headless else b""):
        yield _parsed(lines, fields, delimiter, kinds)


def _parsed(lines: bytes, fields: list[str], delimiter: str, kinds: Mapping[str, Any]) -> Batch:
    import pyarrow as pa
    from pyarrow import csv

    return csv.read_csv(
        pa.BufferReader(lines),
        csv.ReadOptions(use_threads=False, column_names=fields, block_size=len(lines) + 1),
        csv.ParseOptions(delimiter=delimiter),
        csv.ConvertOptions(
            column_types=kinds,
            include_columns=list(kinds),
            strings_can_be_null=True,
            null_values=["", "null", "NULL", "NaN", "nan", "None"],
        ),
    )


def _whole_lines(stream: io.BufferedIOBase, rest: bytes) -> Iterator[bytes]:
    """Yield the stream in pieces that end with a line; refuse a line without an end."""
    while chunk := stream.read(CHUNK_BYTES):
        end = chunk.rfind(b"\n") + 1
        if end:
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest += chunk
        if len(rest) > MAX_LINE_BYTES:
            raise WrongColumnError(f"found a line of {len(rest)} bytes, expected a table")
    if rest.strip():
        yield rest


def _in_reach(file: Any, group: int, reach: Reach | None) -> bool:
    """Say whether a parquet row group may hold wanted rows, by the statistics in its footer."""
    import pyarrow as pa

    chunks = file.metadata.row_group(group)
    for number in range(chunks.num_columns):
        chunk = chunks.column(number)
        if reach and chunk.path_in_schema == reach.column and chunk.is_stats_set:
            kind = file.schema_arrow.field(reach.column).type
            known = chunk.statistics.has_min_max
            if known and (pa.types.is_timestamp(kind) or pa.types.is_integer(kind)):
                bounds = [chunk.statistics.min, chunk.statistics.max]
                return reach.meet(pa.array(bounds, kind))
    return True


def _text(path: Path) -> io.BufferedIOBase:
    """Open a CSV file; one that ends within a line may be cut within a number: it is refused."""
    import gzip

    if path.suffix == ".gz":
        return gzip.GzipFile(path)
    stream = path.open("rb")
    if stream.seek(0, io.SEEK_END):
        stream.seek(-1, io.SEEK_END)
        if stream.read(1) != b"\n":
            stream.close()
            raise WrongColumnError("found no end of its last line, expected one: it may be cut")
        stream.seek(0)
    return stream


def _present(
    found: Sequence[str], wanted: Sequence[str] | None, required: Collection[str]
) -> list[str]:
    """Return the wanted names that there are; refuse a table without a required one by its own."""
    missing = [name for name in required if name not in found]
    if missing:
        raise WrongColumnError(
            f"found the columns {', '.join(found)}, expected also {', '.join(missing)}"
        )
    return [name for name in found if wanted is None or name in wanted]
