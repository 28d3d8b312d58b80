"""The runner's append-only memory: written before acting, read to go on exactly where it stood.

One transaction holds everything that a bar changed: bar, observation, decision, orders and the
state to resume from. A process that is killed loses nothing that was committed and leaves nothing
half written. A transaction with an order in it is flushed to the disk (synchronous=FULL) and
survives a power loss; one without is flushed with the next that has one, or at a checkpoint
(synchronous=NORMAL), so a power loss may take the last bars without orders, never an order and
never the middle of the record.
"""

import sqlite3
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.digest import canonical_json, sha256_hex
from kernel.errors import TidegateError
from kernel.trading_settings import TradingSettings
from live_runner.candles import Candle
from live_runner.journal import schema
from live_runner.journal.counting import count
from live_runner.journal.migration import migrate
from live_runner.journal.reading import JournalReader, SymbolState


@dataclass(frozen=True, slots=True)
class Decision:
    """One decided bar: vectors as in the kernel, `reason` why it abstained, or what decided and
    which series it did without.
    """

    symbol: str
    candle: Candle
    epoch: int
    digest: str
    settings_digest: str
    observation: Sequence[float]
    features: Sequence[float]
    probabilities: Sequence[float]
    row: Sequence[float]
    out: Sequence[float]
    reason: str
    catch_up: bool
    latency_us: int
    compute_us: int


@dataclass(frozen=True, slots=True)
class OrderChange:
    """One step in the life of an order; `price` and `filled_ms` are 0 until it is filled."""

    id: str
    symbol: str
    at_ms: int
    side: int
    quantity: float
    kind: str
    state: str
    filled_ms: int
    price: float
    reason: str


@dataclass(frozen=True, slots=True)
class Swap:
    """One attempt to change what decides a symbol, whatever came of it."""

    symbol: str
    at_ms: int
    bar_open_time_ms: int
    epoch: int
    digest: str
    previous: str
    outcome: str
    reason: str
    pause_us: int


class JournalError(TidegateError):
    """Say what is wrong with the journal file and what to do."""


class Journal(JournalReader):
    """Write and read one journal file; used from one thread, one process at a time.

    Others read it meanwhile through a connection of their own.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(sqlite3.connect(path, isolation_level=None))
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA busy_timeout=5000")
        self._synchronous = ""
        self._prepare(path)

    def close(self) -> None:
        """Close the file; everything committed stays."""
        self._db.close()

    def record(
        self, decision: Decision, orders: Sequence[OrderChange], state: SymbolState, now_ms: int
    ) -> None:
        """Commit one decided bar with its orders and the state after it.

        Raises sqlite3.IntegrityError for a bar that is decided already.
        """
        with self._transaction(durable=bool(orders)):
            self._insert_observed(decision.symbol, decision.candle, decision.observation, now_ms)
            self._insert("decisions", _decision_values(decision))
            count(
                self._db,
                symbol=decision.symbol,
                open_time_ms=decision.candle.open_time_ms,
                row=decision.row,
                out=decision.out,
                catch_up=decision.catch_up,
            )
            for order in orders:
                self._apply(order)
            self._save(state)

    def record_history(
        self, symbol: str, observed: Iterable[tuple[Candle, Sequence[float]]], now_ms: int
    ) -> None:
        """Commit observations of bars that are history to this runner, keeping those it has."""
        with self._transaction(durable=False):
            for candle, observation in observed:
                self._insert_observed(symbol, candle, observation, now_ms, "OR IGNORE ")

    def record_swap(self, swap: Swap, state: SymbolState, next_open_ms: int) -> None:
        """Commit a swap and the state it leads to; the stream takes bars from `next_open_ms` on."""
        with self._transaction(durable=False):
            self._insert("swaps", tuple(getattr(swap, name) for name in Swap.__slots__))
            self._start_stream(state.symbol, next_open_ms, state.stream)
            self._save(state)

    def record_refusal(self, swap: Swap) -> None:
        """Commit an attempt that changed nothing."""
        with self._transaction(durable=False):
            self._insert("swaps", tuple(getattr(swap, name) for name in Swap.__slots__))

    def record_start(
        self, state: SymbolState, first_stream: NDArray[np.float64], first_open_ms: int
    ) -> None:
        """Commit a symbol's first state, and the stream from which its history was folded."""
        with self._transaction(durable=True):
            self._start_stream(state.symbol, first_open_ms, first_stream)
            self._save(state)

    def record_hole(self, symbol: str, open_time_ms: int, reason: str, now_ms: int) -> None:
        """Commit that the venue has no sound bar for this time."""
        with self._transaction(durable=False):
            self._insert("holes", (symbol, open_time_ms, reason, now_ms), "OR IGNORE ")

    def record_event(self, kind: str, detail: str, now_ms: int) -> None:
        """Commit something that a person may want to know."""
        with self._transaction(durable=kind in {"kill", "resume"}):
            self._insert("events", (now_ms, kind, detail))

    def settings_digest(self, settings: TradingSettings) -> str:
        """Commit trading settings, once, and return the digest that decisions name them by."""
        body = canonical_json(settings.to_dict())
        digest = sha256_hex(body)
        with self._transaction(durable=False):
            self._insert("settings", (digest, body), "OR IGNORE ")
        return digest

    @property
    def changes(self) -> int:
        """Return how many rows this connection has written: while it stays, what is read stays."""
        return self._db.total_changes

    def _prepare(self, path: Path) -> None:
        version = int(self.one("PRAGMA user_version")[0])
        if version == 0:
            with self._transaction(durable=True):
                for statement in schema.STATEMENTS:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={schema.VERSION}")
        elif version > schema.VERSION:
            raise JournalError(
                f"journal {path}: found version {version}, expected {schema.VERSION} or an earlier "
                "one; use the runner that made it, or move the file away"
            )
        elif version < schema.VERSION:
            self._migrate(path, version)

    def _migrate(self, path: Path, version: int) -> None:
        """Bring an earlier version forward, whole or not at all."""
        try:
            with self._transaction(durable=True):
                migrate(self._db, version)
        except (ValueError, sqlite3.DatabaseError) as error:
            raise JournalError(
                f"journal {path} of version {version}: {error}; it is left as it was. Move the "
                "file away to begin a new one"
            ) from error

    @contextmanager
    def _transaction(self, *, durable: bool) -> Generator[None]:
        synchronous = "FULL" if durable else "NORMAL"
        if synchronous != self._synchronous:
            self._db.execute(f"PRAGMA synchronous={synchronous}")
            self._synchronous = synchronous
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _insert(self, table: str, values: Sequence[Any], conflict: str = "") -> None:
        marks = ",".join("?" * len(values))
        statement = f"INSERT {conflict}INTO {table} VALUES ({marks})"  # noqa: S608  our own names
        self._db.execute(statement, values)

    def _insert_observed(
        self,
        symbol: str,
        candle: Candle,
        observation: Sequence[float],
        now_ms: int,
        conflict: str = "",
    ) -> None:
        self._insert("bars", (symbol, *candle, now_ms), conflict)
        self._insert("observations", (symbol, candle.open_time_ms, _blob(observation)), conflict)

    def _start_stream(self, symbol: str, open_time_ms: int, stream: NDArray[np.float64]) -> None:
        self._insert("streams", (symbol, open_time_ms, stream.tobytes()), "OR REPLACE ")

    def _apply(self, order: OrderChange) -> None:
        self._db.execute(
            "INSERT INTO orders VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET"
            " state = excluded.state, filled_ms = excluded.filled_ms, price = excluded.price",
            tuple(getattr(order, name) for name in OrderChange.__slots__),
        )
        self._insert("order_events", (order.id, order.state, order.at_ms, order.reason))

    def _save(self, state: SymbolState) -> None:
        values = (
            state.symbol,
            state.open_time_ms,
            state.trader.tobytes(),
            state.stream.tobytes(),
            state.epoch,
            state.digest,
            state.pending_order,
        )
        self._insert("states", values, "OR REPLACE ")


def _decision_values(one: Decision) -> tuple[Any, ...]:
    return (
        one.symbol,
        one.candle.open_time_ms,
        one.epoch,
        one.digest,
        one.settings_digest,
        _blob(one.features),
        _blob(one.probabilities),
        _blob(one.row),
        _blob(one.out),
        one.reason,
        int(one.catch_up),
        one.latency_us,
        one.compute_us,
    )


def _blob(values: Sequence[float]) -> bytes:
    return np.array(values, dtype=np.float64).tobytes()
