"""The live runner's journal, read while the runner goes on writing it."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import TidegateError
from market_data.frames import Frame
from market_data.storage.lake import DERIVED_TABLES, Lake
from market_data.window import Window

LAST_MS = 1 << 62
INGESTED_WITHIN_MS = 2 * 3_600_000  # the ingest runs hourly, and one may be late
DECISION_COLUMNS = ("epoch", "bundle_digest", "settings_digest", "reason", "latency_us")


class UnreadableJournalError(TidegateError):
    """A file that is not there, or is not the journal of a runner of this version."""


@dataclass(frozen=True, slots=True)
class FeatureAudit:
    """How the features that decided compare with those the lake gives for the same bars.

    `compared` counts decisions whose bar the lake holds, `absent` those whose bar it lacks;
    `overdue` are those of them that an hourly ingest should have brought by the last decision.
    """

    decisions: int
    compared: int
    absent: int
    overdue: int
    differing_bytes: int
    features: tuple[str, ...]
    first_open_time_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFile:
    """Read the SQLite file at `path`; a vector in it is little-endian float64."""

    path: str

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file read-only; raise UnreadableJournalError where it is none."""
        path = Path(self.path)
        if not path.exists():
            raise UnreadableJournalError(
                f"journal: found no {path}, expected the live runner's: start it (`make up`)"
            )
        try:
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
                yield db
        except sqlite3.DatabaseError as error:
            raise UnreadableJournalError(
                f"journal {path}: found {error}, expected a runner's journal"
            ) from error

    def decisions(self, window: Window) -> Frame:
        """Return the bars decided in the window: by what, on which features, and to what effect.

        Columns: symbol, open_time_ms, epoch, digests, reason, latency_us, the features, the trading
        row (`row_…`) and the account after it (`out_…`).
        """
        import pandas as pd

        from kernel.features.registry import FEATURES
        from kernel.trading import INPUT_FIELDS, OUTPUT_FIELDS

        found = self._decided(window, (*DECISION_COLUMNS, "features", "row", "out"))
        columns: dict[str, Any] = {"symbol": window.symbol, "open_time_ms": found["open_time_ms"]}
        columns |= {name: found[name] for name in DECISION_COLUMNS}
        for prefix, blob, names in (
            ("", "features", FEATURES),
            ("row_", "row", INPUT_FIELDS[1:]),
            ("out_", "out", OUTPUT_FIELDS),
        ):
            width = len(INPUT_FIELDS) if blob == "row" else len(names)
            matrix = _matrix(found[blob], width)[:, -len(names) :]
            columns |= {prefix + name: matrix[:, at] for at, name in enumerate(names)}
        frame = pd.DataFrame(columns, index=range(len(found["open_time_ms"])))
        return frame.astype({"symbol": "str", "open_time_ms": "int64", "epoch": "int64"})

    def trades(self, window: Window) -> Frame:
        """Return the trades closed in the window, whole even where they were entered before it."""
        import pandas as pd

        from kernel.trading import INPUT_FIELDS, OUTPUT_FIELDS, trades

        found = self._decided(window, ("row", "out"))
        rows = _matrix(found["row"], len(INPUT_FIELDS))
        closed = trades(rows, _matrix(found["out"], len(OUTPUT_FIELDS)))
        frame = pd.DataFrame({name: closed[name] for name in closed.dtype.names or ()})
        frame.insert(0, "symbol", pd.Series(window.symbol, index=frame.index, dtype="str"))
        return frame[list(DERIVED_TABLES["monitoring/live_trades"])]

    def audit_features(self, lake: Lake, window: Window, bar_ms: int) -> FeatureAudit:
        """Compute the window's features again from the lake and compare them byte by byte.

        Each stream that the runner started is folded from its recorded state over what the lake
        holds, as it was first seen, by the end of the window. What a runner of an earlier version
        decided was computed by other features, and is not audited.
        """
        from kernel.features.registry import FEATURES

        found = self._decided(window, ("features",))
        times = np.array(found["open_time_ms"], dtype=np.int64)
        ours = times >= self._begins_ms(window.symbol)
        times = times[ours]
        live = _matrix(found["features"], len(FEATURES))[ours]
        known, anew = self._recomputed(lake, window, bar_ms, times)
        differs = _bytes(live[known]) != _bytes(anew)
        by_value = differs.reshape(len(anew), len(FEATURES), 8).any(axis=2)
        first = times[known][by_value.any(axis=1)]
        return FeatureAudit(
            decisions=len(times),
            compared=int(known.sum()),
            absent=int((~known).sum()),
            overdue=int((~known & (times < times.max(initial=0) - INGESTED_WITHIN_MS)).sum()),
            differing_bytes=int(differs.sum()),
            features=tuple(np.array(FEATURES)[by_value.any(axis=0)].tolist()),
            first_open_time_ms=int(first[0]) if len(first) else None,
        )

    def _recomputed(
        self, lake: Lake, window: Window, bar_ms: int, times: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Return which of `times` the lake can tell the features of, and those features."""
        from kernel.features.engine import compute
        from kernel.features.registry import FEATURES, STATE_SIZE
        from kernel.observation import observe

        streams = list(self._streams(window))
        start_ms = min((begin_ms for begin_ms, _, _ in streams), default=window.end_ms)
        market = lake.market(window.symbol, window.end_ms, start_ms)
        bars = market.bars
        observed = observe(market, bar_ms)
        features = np.full((len(bars), len(FEATURES)), np.nan)
        held = np.zeros(len(bars), dtype=np.bool_)
        for begin_ms, end_ms, state in streams:
            part = (bars.open_time_ms >= begin_ms) & (bars.open_time_ms < end_ms)
            if part.any():
                features[part] = compute(observed[part], _matrix([state], STATE_SIZE)[0])[0]
                held |= part
        at = np.searchsorted(bars.open_time_ms, times)
        at[at == len(bars)] = 0
        known = np.zeros(len(times), dtype=np.bool_)
        if len(bars):
            known = (bars.open_time_ms[at] == times) & held[at]
        return known, features[at[known]]

    def _begins_ms(self, symbol: str) -> int:
        """Return the first bar that a runner of this version may have decided."""
        with self.opened() as db:
            query = "SELECT coalesce(max(open_time_ms), 0) FROM accounts WHERE symbol = ?"
            return int(db.execute(query, (symbol,)).fetchone()[0])

    def _streams(self, window: Window) -> Iterator[tuple[int, int, bytes]]:
        """Yield (first bar, bar before which it ended, state before the first) of each stream that
        decided in the window.
        """
        with self.opened() as db:
            starts = db.execute(
                "SELECT open_time_ms, stream FROM streams WHERE symbol = ? ORDER BY open_time_ms",
                (window.symbol,),
            ).fetchall()
        for (begin_ms, state), (end_ms, _) in pairwise([*starts, (LAST_MS, b"")]):
            if begin_ms < window.end_ms and end_ms > window.start_ms:
                yield begin_ms, end_ms, state

    def _decided(self, window: Window, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return the named columns of the window's decisions, ascending in time."""
        columns = ("open_time_ms", *names)
        with self.opened() as db:
            rows = db.execute(
                f"SELECT {', '.join(columns)} FROM decisions WHERE symbol = ? "  # noqa: S608  # ours
                "AND open_time_ms >= ? AND open_time_ms < ? ORDER BY open_time_ms",
                (window.symbol, window.start_ms, window.end_ms),
            ).fetchall()
        return {name: [row[at] for row in rows] for at, name in enumerate(columns)}


def _matrix(blobs: Sequence[bytes], width: int) -> NDArray[np.float64]:
    sizes = {len(blob) for blob in blobs} - {8 * width}
    if sizes:
        raise UnreadableJournalError(
            f"journal: found a vector of {min(sizes)} bytes, expected {8 * width}: "
            "it was written by another version; start the runner, which brings it forward"
        )
    return np.frombuffer(b"".join(blobs), dtype="<f8").reshape(len(blobs), width)


def _bytes(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.frombuffer(np.ascontiguousarray(values).tobytes(), dtype=np.uint8)
