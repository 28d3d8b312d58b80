"""The features of every bar, kept by symbol and month, with the state after each month."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kernel.errors import TidegateError
from market_data.frames import Frame
from market_data.storage.lake import Lake
from market_data.storage.objects import Storage, storage
from market_data.storage.parquet import parquet_bytes
from market_data.storage.revisions import month_of, month_start_ms
from market_data.tables import DAY_MS
from market_data.window import Window

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from research.features.history import FeatureDifference, Month, Snapshot

_MONTH = re.compile(r"(\d{4}-\d{2})\.(parquet|npz)")
_LATE_MS = DAY_MS  # a bar at the edge of a month may be known a little after its close
_TIMES = ("open_time_ms", "close")
_HASH = b"hash"
_STATE = b"state"


class FeatureStoreError(TidegateError):
    """Features that are not there or that other code made; says what to materialize."""


@dataclass(frozen=True, slots=True)
class MonthWritten:
    """What one month came to: its rows, the share of values of each feature, and whether anything
    in it is other than what was stored before.
    """

    symbol: str
    month: str
    rows: int
    coverage: dict[str, float]
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureStore:
    """Keep `features/matrix/symbol=<S>/<YYYY-MM>.parquet` and `features/state/…/<YYYY-MM>.npz`.

    They lie in the lake's root. A bar belongs to the month in which it opens. Each column says by
    what code it was made, and a month's rows which state follows them: one that another writer left
    there is not gone on from.
    """

    lake: Lake

    def write(self, windows: Sequence[Window], bar_ms: int) -> list[MonthWritten]:
        """Compute the months that the windows touch from the lake as it is, and replace them.

        Each window goes on from the latest snapshot before it, through the bars between. A month
        that comes out otherwise than before voids the snapshots after it.
        """
        written: list[MonthWritten] = []
        for window in map(_whole_months, windows):
            before = self._snapshot(window.symbol, window.start_ms)
            start_ms = before.open_time_ms + bar_ms if before else 0
            observed = self.observed(window.symbol, start_ms, window.end_ms, bar_ms)
            written += [
                self._replace(window.symbol, month)
                for month in _months(observed, before)
                if month.open_time_ms[-1] >= window.start_ms
            ]
        return written

    def read(self, symbol: str, names: Sequence[str], until_ms: int) -> Frame:
        """Return open_time_ms, close and these features of the bars that opened before `until_ms`.

        Only these columns are read. Raises FeatureStoreError where there are none, and where a
        column is missing or was made by other code than today's.
        """
        import pyarrow as pa

        months = self.months(symbol, until_ms)
        if not months:
            raise FeatureStoreError(
                f"features of {symbol}: found no month in {self._storage.path('features/matrix')}, "
                "expected at least one: materialize features/matrix"
            )
        files = self._storage.open([_rows_name(symbol, month) for month in months])
        parts = [
            _columns(file, names, f"{symbol} {month}")
            for month, file in zip(months, files, strict=True)
        ]
        frame = pa.concat_tables(parts).to_pandas()
        return frame[frame["open_time_ms"] < until_ms].reset_index(drop=True)

    def months(self, symbol: str, until_ms: int) -> list[str]:
        """Return the months that are stored and begin before `until_ms`, in their order."""
        return self._named(f"features/matrix/symbol={symbol}", until_ms)

    def observed(
        self, symbol: str, start_ms: int, end_ms: int, bar_ms: int
    ) -> "NDArray[np.float64]":
        """Return the observations of the bars that open in [start, end), float64[n, K].

        Those of a bar are final at its close: nothing learned later is in them. The raw rows are
        read a month at a time: a year of trades does not fit into memory.
        """
        import numpy as np

        from kernel.observation import OBSERVATION_FIELDS, observe

        parts = [np.empty((0, len(OBSERVATION_FIELDS)))]
        for month in self.lake.months("candles", symbol):
            begin_ms = max(start_ms, month_start_ms(month))
            stop_ms = min(end_ms, _end_ms(month))
            if begin_ms < stop_ms:
                market = self.lake.market(symbol, stop_ms + _LATE_MS, begin_ms)
                part = observe(market, bar_ms)
                parts.append(part[(part[:, 0] >= begin_ms) & (part[:, 0] < stop_ms)])
        return np.concatenate(parts)

    def snapshot(self, symbol: str, until_ms: int, bar_ms: int) -> "Snapshot":
        """Return the state after the last bar that opened before `until_ms`.

        Raises FeatureStoreError where the lake has no such bar.
        """
        found = self._folded(symbol, until_ms, bar_ms)
        if found is None:
            raise FeatureStoreError(
                f"features of {symbol}: found no bar before {until_ms}, expected one: ingest it"
            )
        return found

    def recent(
        self, symbol: str, until_ms: int, bar_ms: int, bars: int
    ) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        """Return the observations of the last `bars` bar lengths before `until_ms`, and the state
        before them: together they give the features that the store holds.
        """
        import numpy as np

        from kernel.features.engine import compute
        from research.features.garch import starting_state

        start_ms = until_ms - bars * bar_ms
        before = self._folded(symbol, start_ms, bar_ms)
        observed = self.observed(symbol, start_ms, until_ms, bar_ms)
        if before and before.fitted:
            return observed, before.state
        earlier = self.observed(symbol, 0, start_ms, bar_ms)
        start = starting_state(np.concatenate([earlier, observed]))  # fitted on bars of both
        return observed, compute(earlier, start)[1]

    def difference(
        self, symbol: str, names: Sequence[str], until_ms: int, bar_ms: int
    ) -> "FeatureDifference":
        """Compare these features, and the state, with one pass over the lake as it is."""
        import numpy as np

        from kernel.features.registry import FEATURES
        from research.features import history as feature_history

        stored = self.read(symbol, names, until_ms)
        months = list(_months(self.observed(symbol, 0, until_ms, bar_ms), None))
        fresh = np.concatenate([month.features for month in months])
        found = feature_history.difference(
            stored["open_time_ms"].to_numpy(),
            stored[list(names)].to_numpy(),
            np.concatenate([month.open_time_ms for month in months]),
            fresh[:, [FEATURES.index(name) for name in names]],
            tuple(names),
        )
        state = self.snapshot(symbol, until_ms, bar_ms)
        return replace(found, state=state.digest != months[-1].snapshot.digest)

    @property
    def _storage(self) -> Storage:
        return storage(self.lake.root)

    def _replace(self, symbol: str, month: "Month") -> MonthWritten:
        """Store one month; what rests on an older answer goes before the new one comes."""
        import numpy as np

        rows = _rows_name(symbol, month.name)
        content = parquet_bytes(_table(month))
        state = month.snapshot.to_bytes()
        changed = self._storage.read(rows) != content
        if month.snapshot.fitted:
            changed |= self._storage.read(_state_name(symbol, month.name)) != state
        if changed:
            for later in self._snapshots(symbol):
                if later >= month.name:
                    self._storage.delete(_state_name(symbol, later))
            self._storage.replace(rows, content)
        if changed and month.snapshot.fitted:
            self._storage.replace(_state_name(symbol, month.name), state)
        shares = np.isfinite(month.features).mean(axis=0)
        coverage = dict(zip(_catalogue(), shares.tolist(), strict=True))
        return MonthWritten(symbol, month.name, len(month.open_time_ms), coverage, changed)

    def _folded(self, symbol: str, until_ms: int, bar_ms: int) -> "Snapshot | None":
        """Go on from the latest stored snapshot to the last bar that opened before `until_ms`."""
        found = self._snapshot(symbol, until_ms)
        start_ms = found.open_time_ms + bar_ms if found else 0
        for month in _months(self.observed(symbol, start_ms, until_ms, bar_ms), found):
            found = month.snapshot
        return found

    def _snapshot(self, symbol: str, before_ms: int) -> "Snapshot | None":
        """Return the latest stored snapshot of bars that opened before a moment, if any goes on."""
        from research.features.history import Snapshot

        first_ms = self.lake.first_event_ms("candles", symbol)
        for month in reversed(self._snapshots(symbol)):
            content = self._storage.read(_state_name(symbol, month))
            found = Snapshot.from_bytes(content) if content else None
            if found and found.open_time_ms < before_ms and found.continues(first_ms):
                rows = self._storage.read(_rows_name(symbol, month))
                if rows and _state_after(rows) == found.digest:
                    return found
        return None

    def _snapshots(self, symbol: str) -> list[str]:
        return self._named(f"features/state/symbol={symbol}", None)

    def _named(self, folder: str, until_ms: int | None) -> list[str]:
        """Return the months that have a file in a folder, those that begin before a moment."""
        found = [_MONTH.fullmatch(name) for name in self._storage.names(folder)]
        months = [match[1] for match in found if match]
        return [month for month in months if until_ms is None or month_start_ms(month) < until_ms]


def _whole_months(window: Window) -> Window:
    first, last = month_of([window.start_ms, window.end_ms - 1])
    return Window(window.symbol, month_start_ms(first), _end_ms(last))


def _end_ms(month: str) -> int:
    (following,) = month_of([month_start_ms(month) + 31 * DAY_MS])
    return month_start_ms(following)


def _months(observed: "NDArray[np.float64]", before: "Snapshot | None") -> "Iterator[Month]":
    from research.features import history as feature_history

    return feature_history.months(observed, before)


def _catalogue() -> tuple[str, ...]:
    from kernel.features.registry import FEATURES

    return FEATURES


def _rows_name(symbol: str, month: str) -> str:
    return f"features/matrix/symbol={symbol}/{month}.parquet"


def _state_name(symbol: str, month: str) -> str:
    return f"features/state/symbol={symbol}/{month}.npz"


def _table(month: "Month") -> "pa.Table":
    """Return a month as columns, each feature with the hash of its definition and code, and the
    digest of the state after it.
    """
    import pyarrow as pa

    from kernel.features.registry import feature

    names = _catalogue()
    fields = [pa.field("open_time_ms", pa.int64()), pa.field("close", pa.float64())]
    fields += [pa.field(one, pa.float64(), metadata={_HASH: feature(one).hash}) for one in names]
    values = [month.open_time_ms, month.close, *month.features.T]
    after = {_STATE: month.snapshot.digest} if month.snapshot.fitted else None
    return pa.table([pa.array(column) for column in values], schema=pa.schema(fields, after))


def _state_after(rows: bytes) -> str:
    """Return the digest of the state that follows the rows of a file, '' where it names none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    named = pq.read_schema(pa.BufferReader(rows)).metadata or {}
    return named.get(_STATE, b"").decode()


def _columns(file: "pa.NativeFile", names: Sequence[str], where: str) -> "pa.Table":
    """Return times, closes and the named features of one file, if today's code made them."""
    import pyarrow.parquet as pq

    from kernel.features.registry import feature

    stored = pq.ParquetFile(file)
    columns = stored.schema_arrow
    for name in names:
        held = columns.field(name).metadata or {} if name in columns.names else {}
        if held.get(_HASH) != feature(name).hash.encode():
            found = "made by other code" if name in columns.names else "missing"
            raise FeatureStoreError(
                f"features of {where}: found {name} {found}, expected it by today's catalogue: "
                "materialize features/matrix for all months"
            )
    return stored.read(columns=[*_TIMES, *names]).replace_schema_metadata(None)
