"""The raw half of the lake: append-only market tables in parquet, read only as of a moment."""

import functools
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from kernel.bars import TIMEFRAME_MS, Bars
from kernel.order_flow import Depth, Trades
from kernel.resampling import ever_known, first_known, joined, resample
from market_data.frames import Frame
from market_data.storage.migration import migrate
from market_data.storage.month_files import (
    Appending,
    ahead,
    arrays,
    closed_bars,
    in_order,
    joined_files,
    seen_bars,
    stacked,
)
from market_data.storage.objects import ROOTS_HELD, Storage, storage
from market_data.storage.parquet import parquet_bytes
from market_data.storage.part_files import AddingParts, described_by, touched
from market_data.storage.read_ledger import ReadSpan, spans_in, with_spans
from market_data.storage.revisions import (
    AppendReport,
    LakeError,
    changes,
    identity,
    last_of_each,
    month_of,
    month_start_ms,
    offered,
    schema,
)
from market_data.tables import DAY_MS, MINUTE_MS, TABLES, Table
from market_data.window import moment

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from kernel.observation import Market, Series

FOREVER_MS = 1 << 60  # later than any moment: read with it to see all
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
__all__ = ["DERIVED_TABLES", "FOREVER_MS", "AppendReport", "Lake", "LakeError", "ReadSpan"]


@dataclass(frozen=True)
class Lake:
    """Keep `market/<table>/symbol=<S>/<YYYY-MM>.parquet` under `root`, by the month of the event;
    of ticks, parts of a day that are never rewritten.

    `root` is a folder or s3://bucket/prefix. An event is identified by its time and what its table
    names beside it. A value that changes becomes a new revision, known from the moment it was
    learned; no old value is ever lost. Times are int64 milliseconds UTC.
    """

    root: str

    def append(self, table: str, symbol: str, frame: Frame, now_ms: int) -> AppendReport:
        """Add rows (event_time_ms, known_at_ms, source, values) of one symbol, read at `now_ms`.

        Rows that the lake already holds change nothing, not even a byte of a file. Raises LakeError
        for missing or unknown columns and for an event that comes twice.
        """
        rows = offered(_table(table), frame)
        folder = _folder(table, symbol)
        if TABLES[table].in_parts:
            return self._add_parts(table, symbol, rows, now_ms)
        added = revised = files = 0
        for month, part in rows.groupby(month_of(rows["event_time_ms"])):
            step = Appending(TABLES[table], part.reset_index(drop=True), now_ms)
            files += self._storage.update(f"{folder}/{month}.parquet", step.change)
            added = added + step.added
            revised = revised + step.revised
        return AppendReport(len(rows), added, revised, files)

    def history(
        self, table: str, symbol: str, t_ms: int, start_ms: int = 0, end_ms: int = FOREVER_MS
    ) -> Frame:
        """Return every revision known at `t_ms` of the events in [start, end), in their order."""
        return self._known(table, symbol, t_ms, start_ms, end_ms).to_pandas()

    def as_of(
        self, table: str, symbol: str, t_ms: int, start_ms: int = 0, end_ms: int = FOREVER_MS
    ) -> Frame:
        """Return, per event in [start, end), the latest revision known at `t_ms`, in order."""
        rows = self._known(table, symbol, t_ms, start_ms, end_ms)
        latest = last_of_each([rows[name].to_numpy() for name in identity(TABLES[table])])
        return (rows if latest.all() else rows.filter(latest)).to_pandas()

    def bars(self, symbol: str, t_ms: int, table: str = "candles") -> Bars:
        """Return the bars of a candle table that had closed by `t_ms`; volume 0 where it has none.

        Raises LakeError for a table that holds no bars.
        """
        return joined(list(self._closed(table, symbol, t_ms)))

    def resampled(
        self,
        symbol: str,
        t_ms: int,
        timeframe: str,
        table: str = "minute_candles",
        bar_ms: int | None = None,
    ) -> Bars:
        """Return coarser bars made of those known at `t_ms`; one that misses a part is absent.

        `bar_ms` says how long the bars of a table are that follow the universe's timeframe. Month
        by month: no bar reaches over midnight. Raises LakeError for other tables and timeframes.
        """
        step_ms = _bars_table(table).step_ms or bar_ms
        if timeframe not in TIMEFRAME_MS or step_ms is None:
            raise LakeError(
                f"resampled: found timeframe {timeframe!r} of {table} with bar_ms {bar_ms}, "
                f"expected one of {', '.join(TIMEFRAME_MS)}, and bar_ms for a table without its own"
            )
        coarse_ms = TIMEFRAME_MS[timeframe]
        months = ahead(self._closed(table, symbol, t_ms))
        return joined([resample(bars, step_ms, coarse_ms) for bars in months])

    def market(self, symbol: str, t_ms: int, start_ms: int = 0) -> "Market":
        """Return what a symbol's observations are made of, as published up to `t_ms`.

        Candles, minutes, trades and books are first revisions: an observation is final at the close
        of its bar, so a later correction changes labels and fills, never a feature. `start_ms`
        reads only what bars opening then or later need.
        """
        from kernel.observation import Market

        return Market(
            self._seen("candles", symbol, t_ms, start_ms),
            self.series(symbol, t_ms, start_ms),
            self._seen("minute_candles", symbol, t_ms, start_ms),
            Trades(*self._ticks(Trades, "trades", symbol, t_ms, start_ms)),
            Depth(*self._ticks(Depth, "depth", symbol, t_ms, start_ms)),
        )

    def series(self, symbol: str, t_ms: int, start_ms: int = 0) -> "dict[str, Series]":
        """Return every series as published up to `t_ms`, ready for `kernel.observation.observe`.

        All revisions are in it, each with the time it was known: a bar sees what it could see. An
        event for which the source never had a value is no row; a value withdrawn is missing. Events
        too old for bars that open at `start_ms` or later may be left out.
        """
        from kernel.observation import SERIES_TABLE, Series

        result: dict[str, Series] = {}
        for name in SERIES_TABLE:
            rows = self._published(name, symbol, t_ms, start_ms)
            result[name] = Series(name, *rows)
        return result

    def digest(self, symbol: str, t_ms: int) -> str:
        """Return a hex digest of all that observations up to `t_ms` and their labels rest on.

        It is of the content, all revisions known, not of the bytes of files.
        """
        from kernel.observation import OBSERVED_TABLES, OTHER_MARKET

        read = [(table, symbol) for table in OBSERVED_TABLES] + [("candles", OTHER_MARKET)]
        parts = [self.table_digest(table, name, t_ms) for table, name in dict.fromkeys(read)]
        return hashlib.sha256("\n".join([symbol, *parts]).encode()).hexdigest()

    def table_digest(self, table: str, symbol: str, t_ms: int) -> str:
        """Return a hex digest of every revision in one table known at `t_ms`."""
        return frame_digest(self.history(table, symbol, t_ms))

    def diff(self, table: str, symbol: str, before_ms: int, after_ms: int) -> Frame:
        """Return what a reader at `after_ms` sees otherwise than one at `before_ms`, per value.

        Columns: the identity, column, before, after, known_at_ms, source, revision; `before` is
        missing for an event that was not known yet. Ordered by event. Raises LakeError for moments
        in the wrong order.
        """
        if before_ms > after_ms:
            raise LakeError(
                f"diff: found {moment(before_ms)} as the earlier moment and {moment(after_ms)} as "
                "the later one, expected ascending times: exchange them"
            )
        before, after = (self.as_of(table, symbol, t_ms) for t_ms in (before_ms, after_ms))
        return changes(_table(table), before, after)

    def symbols(self, table: str) -> tuple[str, ...]:
        """Return the symbols that have at least one file in a table."""
        folders = self._storage.names(f"market/{_table(table).name}")
        names = [name.partition("=")[2] for name in folders if name.startswith("symbol=")]
        return tuple(name for name in names if name != "none" and self.months(table, name))

    def months(self, table: str, symbol: str) -> tuple[str, ...]:
        """Return the months in which one symbol has events, as `2026-01`, in their order."""
        names = self._storage.names(_folder(table, symbol))
        spoken = [name.partition(".")[0] for name in names if name.endswith(".parquet")]
        if TABLES[table].in_parts:
            spoken = [day_or_month[: len("2026-01")] for day_or_month in spoken]
        return tuple(dict.fromkeys(spoken))

    def first_event_ms(self, table: str, symbol: str) -> int | None:
        """Return the event time of the symbol's first row, None where it has none."""
        for month in self.months(table, symbol):
            start_ms = month_start_ms(month)
            if TABLES[table].in_parts:
                names = filter(_is_parquet, self._storage.names(_folder(table, symbol)))
                first = min(map(described_by, names), key=lambda one: one.first_ms)
                if first.first_ms > start_ms:  # said by a part; a file of a month says the month
                    return first.first_ms
            times = self.event_times(table, symbol, start_ms, start_ms + _LONGEST_MONTH_MS)
            if len(times):  # a month's only row may have moved over its edge, to its grid point
                return int(times[0])
        return None

    def event_times(
        self, table: str, symbol: str, start_ms: int = 0, end_ms: int = FOREVER_MS
    ) -> "NDArray[np.int64]":
        """Return the times of all events in [start, end), int64[n] ascending, one per event.

        Only two columns are read: a history of years is looked through in a moment.
        """
        import numpy as np

        names = self._files(table, symbol, FOREVER_MS, start_ms, end_ms)
        columns = {name: _table(table).kinds[name] for name in _order(TABLES[table])}
        rows = self._rows(table, names, columns)
        times = rows["event_time_ms"][rows["revision"] == 0]
        return np.sort(times[(times >= start_ms) & (times < end_ms)])

    def read_spans(self, table: str, symbol: str) -> list[ReadSpan]:
        """Return for which events each source has been read to the end, in order."""
        return spans_in(self._storage.read(f"{_folder(table, symbol)}/{_LEDGER}"))

    def mark_read(self, table: str, symbol: str, spans: Sequence[ReadSpan]) -> None:
        """Note that sources have been read for spans, once their rows are stored.

        All are written at once. Spans of one source are joined where they touch.
        """
        name = f"{_folder(table, symbol)}/{_LEDGER}"
        self._storage.update(name, lambda content: with_spans(content, spans))

    def ensure_sources(self) -> None:
        """Write a zero-row file beside every table that SQL reads: a new lake can be queried."""
        market = {f"market/{name}": table.kinds for name, table in TABLES.items()}
        for table, columns in {**market, **DERIVED_TABLES}.items():
            name = f"{table}/symbol=none/empty.parquet"
            content = parquet_bytes(schema(columns).empty_table())
            if self._storage.read(name) != content:
                self._storage.replace(name, content)

    @property
    def _storage(self) -> Storage:
        return _opened(self.root, os.getpid())

    def _known(self, table: str, symbol: str, t_ms: int, start_ms: int, end_ms: int) -> "pa.Table":
        """Return every revision known at `t_ms` of the events in [start, end), in their order."""
        columns = _table(table).kinds
        names = self._files(table, symbol, t_ms, start_ms, end_ms)
        rows = joined_files(self._storage.open(names), columns)
        rows = in_order(TABLES[table], rows) if TABLES[table].in_parts else rows
        times, known_at_ms = (rows[name].to_numpy() for name in _KEY)
        chosen = (known_at_ms <= t_ms) & (times >= start_ms) & (times < end_ms)
        return rows if chosen.all() else rows.filter(chosen)

    def _files(
        self, table: str, symbol: str, t_ms: int, start_ms: int = 0, end_ms: int = FOREVER_MS
    ) -> list[str]:
        """Return the month files that may hold such events, in their order."""
        if table != "quarantine":  # whose rows may claim to be from the future
            end_ms = min(end_ms, t_ms + 1)
        first, last = month_of([start_ms, min(end_ms, _LAST_MS)])
        folder = _folder(table, symbol)
        if TABLES[table].in_parts:
            names = filter(_is_parquet, self._storage.names(folder))
            names = [name for name in names if first <= name[: len(first)] <= last]
            return [f"{folder}/{name}" for name in touched(names, start_ms, end_ms)]
        months = self.months(table, symbol)
        return [f"{folder}/{month}.parquet" for month in months if first <= month <= last]

    def _seen(self, table: str, symbol: str, t_ms: int, start_ms: int) -> Bars:
        """Return the first revisions known at `t_ms` of bars that open at `start_ms` or later."""
        from kernel.observation import MINUTES_IN_BAR

        names = self._files(table, symbol, t_ms, start_ms)
        within_ms = MINUTES_IN_BAR * MINUTE_MS if table == "minute_candles" else None
        return joined(list(seen_bars(self._storage.open(names), t_ms, start_ms, within_ms)))

    def _ticks(
        self, kind: type, table: str, symbol: str, t_ms: int, start_ms: int
    ) -> "list[NDArray[Any]]":
        """Return the columns of `kind` as they were first known of events since `start_ms`."""
        kinds = TABLES[table].kinds
        order = [*_order(TABLES[table]), "known_at_ms", "source"]
        columns = {name: kinds[name] for name in dict.fromkeys([*_slots(kind), *order])}
        names = self._files(table, symbol, t_ms, start_ms)
        rows = self._rows(table, names, columns)
        ids = [rows[name] for name in TABLES[table].identity]
        chosen = first_known(rows["event_time_ms"], rows["known_at_ms"], t_ms, *ids)
        chosen &= rows["event_time_ms"] >= start_ms
        return [rows[name][chosen] for name in _slots(kind)]

    def _published(
        self, name: str, symbol: str, t_ms: int, start_ms: int
    ) -> "tuple[NDArray[Any], ...]":
        """Return event_time_ms, known_at_ms and value of the rows of one series."""
        from kernel.observation import LOOKBACK_MS, OTHER_MARKET, SERIES_TABLE

        table = SERIES_TABLE[name]
        of_other = name == "btc_close"
        value = "close" if TABLES[table].shape == "candle" else name
        files = self._files(
            table, OTHER_MARKET if of_other else symbol, t_ms, start_ms - LOOKBACK_MS[name]
        )
        rows = stacked(self._storage.open(files), {**_KEY, value: "double"})
        event_ms = rows["event_time_ms"]
        known_ms = rows["known_at_ms"]
        chosen = (known_ms <= t_ms) & ever_known(event_ms, rows[value])
        if of_other:
            chosen &= first_known(event_ms, known_ms, t_ms)
        return tuple(rows[column][chosen] for column in (*_KEY, value))

    def _rows(
        self, table: str, names: Sequence[str], columns: Mapping[str, str]
    ) -> "dict[str, NDArray[Any]]":
        """Return columns of files as arrays, in the order of the table's events and revisions."""
        rows = joined_files(self._storage.open(names), columns)
        return arrays(in_order(TABLES[table], rows) if TABLES[table].in_parts else rows)

    def _add_parts(self, table: str, symbol: str, rows: Frame, now_ms: int) -> AppendReport:
        """Add a file a day that has new rows."""
        folder = _folder(table, symbol)
        columns = TABLES[table].kinds

        def read(names: list[str]) -> "pa.Table":
            paths = [f"{folder}/{name}" for name in names]
            return joined_files(self._storage.open(paths), columns)

        step = AddingParts(TABLES[table], rows, now_ms, read)
        files = self._storage.add(folder, step.make) if len(rows) else 0
        return AppendReport(len(rows), step.added, step.revised, files)

    def _closed(self, table: str, symbol: str, t_ms: int) -> Iterator[Bars]:
        names = self._files(_bars_table(table).name, symbol, t_ms)
        return closed_bars(self._storage.open(names), t_ms)


@functools.lru_cache(maxsize=ROOTS_HELD)
def _opened(root: str, process: int) -> Storage:  # noqa: ARG001  connections end at a fork
    """Return where a lake lies, once it has the form that this code writes."""
    found = storage(root)
    migrate(found)
    return found


_KEY = {"event_time_ms": "int64", "known_at_ms": "int64"}
_LEDGER = "read.json"
_LONGEST_MONTH_MS = 31 * DAY_MS
_LAST_MS = 253_402_300_799_999  # the end of the year 9999, after which months sort otherwise


def _is_parquet(name: str) -> bool:
    return name.endswith(".parquet")


def _order(table: Table) -> list[str]:
    return [*identity(table), "revision"]


def _slots(kind: type) -> list[str]:
    return [field.name for field in fields(kind)]


def _table(name: str) -> Table:
    if name not in TABLES:
        raise LakeError(f"lake table: found {name!r}, expected one of {sorted(TABLES)}")
    return TABLES[name]


def _bars_table(name: str) -> Table:
    if _table(name).shape != "candle":
        bars = sorted(name for name, table in TABLES.items() if table.shape == "candle")
        raise LakeError(f"bars: found table {name!r}, expected one of {bars}")
    return TABLES[name]


def _folder(table: str, symbol: str) -> str:
    """Return the folder of one symbol's files under the root; LakeError for unknown names."""
    if not (symbol.isascii() and symbol.isalnum() and symbol.isupper()):
        raise LakeError(
            f"lake symbol: found {symbol!r}, expected capitals and digits such as BTCUSDT"
        )
    return f"market/{_table(table).name}/symbol={symbol}"


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
