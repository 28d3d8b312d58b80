"""What a journal says, for the runner that writes it and for whoever looks meanwhile."""

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kernel.fills import PENDING_SIDE, SIDE
from live_runner.journal import schema


@dataclass(frozen=True, slots=True)
class SymbolState:
    """Where a symbol stands after its last decided bar; epoch 0 and digest '' are the rules."""

    symbol: str
    open_time_ms: int
    trader: NDArray[np.float64]
    stream: NDArray[np.float64]
    epoch: int
    digest: str
    pending_order: str


class JournalReader:
    """Read one journal file, from the thread that connected to it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Generator[Self]:
        """Open a journal that exists, for what is committed and for nothing else."""
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            db.execute("PRAGMA busy_timeout=5000")
            yield cls(db)

    def state(self, symbol: str) -> SymbolState | None:
        """Return where a symbol stands, None before its first bar."""
        rows = self.all("SELECT * FROM states WHERE symbol = ?", symbol)
        if not rows:
            return None
        name, at, trader, stream, epoch, digest, pending = rows[0]
        return SymbolState(
            symbol=name,
            open_time_ms=at,
            trader=_vector(trader),
            stream=_vector(stream),
            epoch=epoch,
            digest=digest,
            pending_order=pending,
        )

    def held(self) -> list[str]:
        """Return the symbols with an open position, or an order that waits for the next open."""
        rows = self.all("SELECT symbol, trader FROM states ORDER BY symbol")
        return [
            str(symbol) for symbol, trader in rows if _vector(trader)[[SIDE, PENDING_SIDE]].any()
        ]

    def observations(
        self, symbol: str, after_ms: int, limit: int
    ) -> list[tuple[int, NDArray[np.float64]]]:
        """Return up to `limit` observations of bars that open after `after_ms`, ascending."""
        rows = self.all(schema.OBSERVATIONS, symbol, after_ms, limit)
        return [(at, _vector(obs)) for at, obs in rows]

    def accounted_opens(self, symbol: str, after_ms: int, until_ms: int) -> set[int]:
        """Return the open times in (after, until] that are observed or known to be holes."""
        span = (symbol, after_ms, until_ms)
        return {row[0] for row in self.all(schema.ACCOUNTED_OPENS, *span, *span)}

    def holes(
        self, symbol: str, after_ms: int, until_ms: int, bar_ms: int
    ) -> list[tuple[int, int]]:
        """Return the runs of bars in (after, until] that are known to be holes: the open time of
        the last bar, and how many there are.
        """
        return self.all(schema.HOLES, bar_ms, symbol, after_ms, until_ms)

    def highest_epoch(self, symbol: str) -> int:
        """Return the highest epoch that was ever installed; no lower one may follow."""
        return int(self.one(schema.HIGHEST_EPOCH, symbol)[0])

    def previous_model(self, symbol: str) -> tuple[str, int] | None:
        """Return digest and epoch of what decided before the bundle in force.

        One that was taken up again, after a start that could not, came after itself: that is no
        earlier model.
        """
        rows = self.all(schema.PREVIOUS_MODEL, symbol)
        return (str(rows[0][0]), int(rows[0][1])) if rows else None

    def in_force(self, symbol: str) -> tuple[str, int]:
        """Return digest and epoch of what was last brought into force; '' and 0 are the rules.

        What a later start refused is still in force: nobody brought anything else.
        """
        rows = self.all(schema.IN_FORCE, symbol)
        return (str(rows[0][0]), int(rows[0][1])) if rows else ("", 0)

    def killed(self) -> bool:
        """Say whether the kill switch is on."""
        rows = self.all(
            "SELECT kind FROM events WHERE kind IN ('kill', 'resume') ORDER BY rowid DESC LIMIT 1"
        )
        return bool(rows) and rows[0][0] == "kill"

    def all(self, query: str, *values: Any) -> list[Any]:
        """Return all rows of a query."""
        return self._db.execute(query, values).fetchall()

    def one(self, query: str, *values: Any) -> Any:
        """Return the only row of a query."""
        return self._db.execute(query, values).fetchone()


def _vector(blob: bytes) -> NDArray[np.float64]:
    return np.frombuffer(blob, dtype=np.float64).copy()
