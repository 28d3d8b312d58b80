"""The raw half of the lake: append-only market tables in parquet, read only as of a moment."""

import fcntl
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from kernel.bars import Bars
from orchestration.resources.frames import Frame
from orchestration.resources.parquet import parquet_bytes, replace_file

if TYPE_CHECKING:
    import pyarrow as pa

    from kernel.observation import Series

FOREVER_MS = 1 << 60  # later than any moment: read with it to see all
KEY_COLUMNS = {
    "event_time_ms": "int64",
    "known_at_ms": "int64",
    "source": "string",
    "revision": "int32",
}
MARKET_TABLES: Mapping[str, Mapping[str, str]] = {
    "candles": dict.fromkeys(("open", "high", "low", "close", "volume"), "double"),
    "funding": {"funding_rate": "double"},
    "open_interest": {"open_interest": "double"},
    "fear_greed": {"fear_greed": "double"},
    "onchain": {"exchange_net_flow": "double", "mvrv": "double"},
    "quarantine": dict.fromkeys(("rule", "found", "expected"), "string"),
}
DERIVED_TABLES: Mapping[str, Mapping[str, str]] = {
    "gates/outcomes": {
        "symbol": "string", "week": "string", "gate": "string", "fold": "string", "value": "double",
        "threshold": "double", "passed": "bool", "reason": "string",
    },
    "monitoring/live_trades": {
        "symbol": "string", "entry_time_ms": "int64", "exit_time_ms": "int64", "side": "int64",
        "quantity": "double", "entry_price": "double", "exit_price": "double", "fees": "double",
        "funding": "double", "pnl": "double", "exit_reason": "int64",
    },
}  # fmt: skip
SERIES_COLUMNS = {
    "funding_rate": "funding",
    "open_interest": "open_interest",
    "fear_greed": "fear_greed",
    "exchange_net_flow": "onchain",
    "mvrv": "onchain",
}


@dataclass(frozen=True, slots=True)
class AppendReport:
    """Count the rows offered, the new ones, the corrections, and the files rewritten."""

    offered: int
    added: int
    revised: int
    files: int


class LakeError(ValueError):
    """A table or frame that the lake does not take; names what was found and expected."""


class Lake(dg.ConfigurableResource):
    """Keep `market/<table>/symbol=<S>/<YYYY-MM>.parquet` under `root`, by the month of the event.

    A row is identified by its event time. A value that changes becomes a new revision, known from
    the moment it was learned; no old value is ever lost. Times are int64 milliseconds UTC.
    """

    root: str

    def append(self, table: str, symbol: str, frame: Frame, now_ms: int) -> AppendReport:
        """Add rows (event_time_ms, known_at_ms, source, values) of one symbol, read at `now_ms`.

        Rows that the lake already holds change nothing, not even a byte of a file. Raises LakeError
        for missing or unknown columns and for an event time that comes twice.
        """
        offered = _offered(table, frame)
        folder = self.folder(table, symbol)
        added = revised = files = 0
        with _only_writer(folder):
            for month, rows in offered.groupby(_month(offered["event_time_ms"])):
                path = folder / f"{month}.parquet"
                stored = _read(path, table)
                new, corrections = _split(stored, rows.reset_index(drop=True), table, now_ms)
                if len(new) + len(corrections):
                    replace_file(path, parquet_bytes(_merged(table, stored, new, corrections)))
                    files += 1
                added, revised = added + len(new), revised + len(corrections)
        return AppendReport(len(offered), added, revised, files)

    def history(self, table: str, symbol: str, t_ms: int) -> Frame:
        """Return every revision known at `t_ms`, ordered by event time and revision."""
        return self._query(table, symbol, t_ms, "")

    def as_of(self, table: str, symbol: str, t_ms: int) -> Frame:
        """Return, per event time, the latest revision known at `t_ms`, ordered by event time."""
        latest = "QUALIFY row_number() OVER (PARTITION BY event_time_ms ORDER BY revision DESC) = 1"
        return self._query(table, symbol, t_ms, latest)

    def bars(self, symbol: str, t_ms: int) -> Bars:
        """Return the candles that had closed by `t_ms`."""
        frame = self.as_of("candles", symbol, t_ms)
        columns = ("event_time_ms", *MARKET_TABLES["candles"])
        return Bars(*(frame[column].to_numpy(copy=True) for column in columns))

    def series(self, symbol: str, t_ms: int) -> "dict[str, Series]":
        """Return every series as published up to `t_ms`, ready for `kernel.observation.observe`.

        All revisions are in it, each with the time it was known: a bar sees what it could see.
        """
        from kernel.observation import Series

        frames = {
            table: self.history(table, symbol, t_ms) for table in set(SERIES_COLUMNS.values())
        }
        result: dict[str, Series] = {}
        for name, table in SERIES_COLUMNS.items():
            rows = frames[table].dropna(subset=[name])
            columns = ("event_time_ms", "known_at_ms", name)
            result[name] = Series(name, *(rows[column].to_numpy(copy=True) for column in columns))
        return result

    def digest(self, symbol: str, t_ms: int) -> str:
        """Return a hex digest of everything a reader can see at `t_ms`: content, not file bytes."""
        tables = [table for table in MARKET_TABLES if table != "quarantine"]
        parts = [self.table_digest(table, symbol, t_ms) for table in tables]
        return hashlib.sha256("\n".join([symbol, *parts]).encode()).hexdigest()

    def table_digest(self, table: str, symbol: str, t_ms: int) -> str:
        """Return a hex digest of every revision in one table known at `t_ms`."""
        return frame_digest(self.history(table, symbol, t_ms))

    def symbols(self, table: str) -> tuple[str, ...]:
        """Return the symbols that have at least one file in a table."""
        folders = Path(self.root).glob(f"market/{table}/symbol=*")
        names = (path.name.partition("=")[2] for path in folders if any(path.glob("2*.parquet")))
        return tuple(sorted(names))

    def ensure_sources(self) -> None:
        """Write a zero-row file beside every table that SQL reads: a new lake can be queried."""
        market = {
            f"market/{table}": KEY_COLUMNS | dict(values) for table, values in MARKET_TABLES.items()
        }
        for table, columns in {**market, **DERIVED_TABLES}.items():
            path = Path(self.root) / table / "symbol=none" / "empty.parquet"
            content = parquet_bytes(_schema(columns).empty_table())
            if not path.exists() or path.read_bytes() != content:
                replace_file(path, content)

    def folder(self, table: str, symbol: str) -> Path:
        """Return the folder of one symbol's files; raise LakeError for unknown names."""
        if table not in MARKET_TABLES:
            raise LakeError(f"lake table: found {table!r}, expected one of {sorted(MARKET_TABLES)}")
        if not (symbol.isascii() and symbol.isalnum() and symbol.isupper()):
            raise LakeError(
                f"lake symbol: found {symbol!r}, expected capitals and digits such as BTCUSDT"
            )
        return Path(self.root) / "market" / table / f"symbol={symbol}"

    def _query(self, table: str, symbol: str, t_ms: int, qualify: str) -> Frame:
        import duckdb

        folder = self.folder(table, symbol)
        if not any(folder.glob("*.parquet")):
            return _table_schema(table).empty_table().to_pandas()
        columns = ", ".join((*KEY_COLUMNS, *MARKET_TABLES[table]))
        with duckdb.connect() as connection:
            connection.execute("SET threads = 1")
            return connection.execute(
                f"SELECT {columns} FROM read_parquet(?, hive_partitioning = false) "  # noqa: S608  # names are ours
                f"WHERE known_at_ms <= ? {qualify} ORDER BY event_time_ms, revision",
                [str(folder / "*.parquet"), t_ms],
            ).df()


def frame_digest(frame: Frame) -> str:
    """Return a hex digest of column names and values in row order; NaN is a value like another."""
    digest = hashlib.sha256()
    for name in frame.columns:
        values = frame[name].to_numpy()
        raw = (
            values.tobytes()
            if values.dtype.kind in "iufb"
            else "\0".join(map(str, values)).encode()
        )
        digest.update(f"{name} {len(raw)}\n".encode() + raw)
    return digest.hexdigest()


def _offered(table: str, frame: Frame) -> Frame:
    if table not in MARKET_TABLES:
        raise LakeError(f"lake table: found {table!r}, expected one of {sorted(MARKET_TABLES)}")
    expected = [name for name in KEY_COLUMNS if name != "revision"] + list(MARKET_TABLES[table])
    if set(frame.columns) != set(expected):
        raise LakeError(
            f"{table}: found columns {sorted(frame.columns)}, expected {sorted(expected)}"
        )
    ordered = frame.reindex(columns=expected)
    ordered = ordered.sort_values(by="event_time_ms", ignore_index=True)
    times = ordered["event_time_ms"].to_numpy()
    twice = times[1:][times[1:] == times[:-1]]
    if len(twice):
        raise LakeError(
            f"{table}: event time {twice[0]} comes twice, expected once: quarantine one of them"
        )
    kinds = KEY_COLUMNS | dict(MARKET_TABLES[table])
    return ordered.astype({name: _PANDAS_KINDS.get(kinds[name], kinds[name]) for name in expected})


_PANDAS_KINDS = {"double": "float64", "string": "str"}


def _split(stored: Frame, rows: Frame, table: str, now_ms: int) -> tuple[Frame, Frame]:
    """Return (rows with a new event time, rows that differ from their latest revision)."""
    latest = stored.drop_duplicates("event_time_ms", keep="last").set_index("event_time_ms")
    before = latest.reindex(rows["event_time_ms"]).reset_index()
    known = before["revision"].notna()
    differs = known & False
    for column in MARKET_TABLES[table]:
        both_missing = rows[column].isna() & before[column].isna()
        differs |= known & (rows[column] != before[column]) & ~both_missing
    new = rows[~known].assign(revision=0)
    corrections = rows[differs].assign(revision=before["revision"][differs].astype("int32") + 1)
    learned = corrections["known_at_ms"].clip(lower=now_ms)
    return new, corrections.assign(known_at_ms=learned)


def _merged(table: str, *frames: Frame) -> "pa.Table":
    import pandas as pd
    import pyarrow as pa

    merged = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
    ordered = merged.sort_values(["event_time_ms", "revision"], ignore_index=True)
    schema = _table_schema(table)
    return pa.Table.from_pandas(
        ordered, schema=schema, preserve_index=False
    ).replace_schema_metadata(None)


def _read(path: Path, table: str) -> Frame:
    import pyarrow.parquet as pq

    stored = pq.read_table(path) if path.exists() else _table_schema(table).empty_table()
    return stored.to_pandas()


def _month(event_time_ms: Any) -> Any:
    import pandas as pd

    return pd.to_datetime(event_time_ms, unit="ms", utc=True).dt.strftime("%Y-%m")


def _table_schema(table: str) -> "pa.Schema":
    return _schema(KEY_COLUMNS | dict(MARKET_TABLES[table]))


def _schema(columns: Mapping[str, str]) -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Let one process at a time rewrite the files of a folder; a crash releases it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
