"""Replay a live journal through the kernel: what was traded must be what the backtest makes of it.

Three things are derived anew from what the runner recorded and compared byte by byte: the features
from the observations, the trading rows from bars, observations, features and probabilities, and all
that the account did (with its trades and fills) from the rows. A journal that an earlier version
began is replayed from the bar on from which this version decided, and from the account it then had.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.digest import sha256_hex
from kernel.features.engine import compute
from kernel.features.registry import FEATURES, STATE_SIZE
from kernel.fills import STATE_SIZE as ACCOUNT_SIZE
from kernel.observation import FUNDING_FIELDS, OBSERVATION_FIELDS
from kernel.trading import (
    ABSTAIN,
    ATR,
    CLOSE,
    ENTRY_PRICE,
    EXIT_PRICE,
    FIRST_FUNDING,
    INPUT_FIELDS,
    OPEN,
    OPEN_TIME_MS,
    OUTPUT_FIELDS,
    P_SELL,
    TradingSettings,
    fold,
    trades,
)

DECIDED = """
SELECT DISTINCT d.symbol FROM decisions d WHERE d.open_time_ms >= (
    SELECT coalesce(max(a.open_time_ms), 0) FROM accounts a WHERE a.symbol = d.symbol
) ORDER BY 1
"""
_ATR = FEATURES.index("atr_14")
_FIRST_SETTLED = OBSERVATION_FIELDS.index(FUNDING_FIELDS[0])


@dataclass(frozen=True, slots=True)
class SymbolReplay:
    """One symbol's replay; `feature_rows` counts the decisions with features derived anew."""

    symbol: str
    decisions: int
    trades: int
    fills: int
    feature_rows: int
    differing_out_bytes: int
    differing_trade_bytes: int
    differing_fill_bytes: int
    differing_row_bytes: int
    differing_feature_bytes: int
    first_difference_ms: int | None

    @property
    def differing_bytes(self) -> int:
        """Return the bytes that differ anywhere."""
        return (
            self.differing_out_bytes
            + self.differing_trade_bytes
            + self.differing_fill_bytes
            + self.differing_row_bytes
            + self.differing_feature_bytes
        )


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """The replay of a whole journal, one entry per symbol in alphabetical order."""

    symbols: tuple[SymbolReplay, ...]

    @property
    def decisions(self) -> int:
        """Return the bars decided."""
        return sum(one.decisions for one in self.symbols)

    @property
    def trades(self) -> int:
        """Return the trades closed."""
        return sum(one.trades for one in self.symbols)

    @property
    def differing_bytes(self) -> int:
        """Return the bytes that differ anywhere; 0 when live did what the backtest does."""
        return sum(one.differing_bytes for one in self.symbols)


@dataclass(frozen=True, slots=True)
class _Account:
    """From which bar on this version decided, and the account that it went on from."""

    open_time_ms: int
    trader: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class _Decisions:
    """The decisions of one symbol, ascending in time."""

    open_time_ms: NDArray[np.int64]
    settings: tuple[str, ...]
    features: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    rows: NDArray[np.float64]
    out: NDArray[np.float64]


def replay(journal: Path) -> ReplayReport:
    """Replay every symbol of a runner's journal, which is opened read-only and may be in use.

    Raises ValueError when the file is not such a journal or lacks what a decision refers to.
    """
    try:
        with closing(sqlite3.connect(f"{journal.resolve().as_uri()}?mode=ro", uri=True)) as db:
            db.execute("BEGIN")  # one snapshot, however long the runner goes on writing
            settings = dict(_settings(db))
            names = [row[0] for row in db.execute(DECIDED)]
            return ReplayReport(tuple(_replay_symbol(db, name, settings) for name in names))
    except sqlite3.DatabaseError as error:
        raise ValueError(
            f"journal {journal}: found {error}, expected a runner's journal"
        ) from error


def _replay_symbol(
    db: sqlite3.Connection, symbol: str, settings: dict[str, TradingSettings]
) -> SymbolReplay:
    account = _account(db, symbol)
    live = _decisions(db, symbol, account.open_time_ms)
    out = _refold(live, settings, account.trader)
    rows = _rebuild_rows(db, symbol, live)
    known, features = _recompute(db, symbol, live)
    recorded = trades(live.rows, live.out)
    fills = _fills(live.out)
    first = np.concatenate(
        [
            live.open_time_ms[_differs(live.out, out)],
            live.open_time_ms[_differs(live.rows, rows)],
            live.open_time_ms[known][_differs(live.features[known], features)],
        ]
    )
    return SymbolReplay(
        symbol=symbol,
        decisions=len(live.rows),
        trades=len(recorded),
        fills=len(fills),
        feature_rows=int(known.sum()),
        differing_out_bytes=_differing(live.out, out),
        differing_trade_bytes=_differing(recorded, trades(live.rows, out)),
        differing_fill_bytes=_differing(
            _recorded_fills(db, symbol, account.open_time_ms), _fills(out)
        ),
        differing_row_bytes=_differing(live.rows, rows),
        differing_feature_bytes=_differing(live.features[known], features),
        first_difference_ms=int(first.min()) if len(first) else None,
    )


def _settings(db: sqlite3.Connection) -> Iterator[tuple[str, TradingSettings]]:
    for digest, body in db.execute("SELECT digest, CAST(body AS BLOB) FROM settings"):
        if sha256_hex(body) != digest:
            raise ValueError(
                f"journal: found settings of digest {sha256_hex(body)}, expected {digest}"
            )
        yield digest, TradingSettings.from_dict(json.loads(body))


def _account(db: sqlite3.Connection, symbol: str) -> _Account:
    found = db.execute(
        "SELECT open_time_ms, trader FROM accounts WHERE symbol = ?"
        " ORDER BY open_time_ms DESC LIMIT 1",
        (symbol,),
    ).fetchone()
    if found is None:
        return _Account(open_time_ms=0, trader=None)
    return _Account(
        open_time_ms=int(found[0]),
        trader=_matrix([found[1]], ACCOUNT_SIZE, f"{symbol} account")[0],
    )


def _decisions(db: sqlite3.Connection, symbol: str, since_ms: int) -> _Decisions:
    found = db.execute(
        "SELECT open_time_ms, settings_digest, features, probabilities, row, out FROM decisions"
        " WHERE symbol = ? AND open_time_ms >= ? ORDER BY open_time_ms",
        (symbol, since_ms),
    ).fetchall()
    times, settings, features, probabilities, rows, out = zip(*found, strict=True)
    return _Decisions(
        open_time_ms=np.array(times, dtype=np.int64),
        settings=settings,
        features=_matrix(features, len(FEATURES), f"{symbol} features"),
        probabilities=_matrix(probabilities, 3, f"{symbol} probabilities"),
        rows=_matrix(rows, len(INPUT_FIELDS), f"{symbol} row"),
        out=_matrix(out, len(OUTPUT_FIELDS), f"{symbol} out"),
    )


def _matrix(blobs: Sequence[bytes], width: int, what: str) -> NDArray[np.float64]:
    sizes = {len(blob) for blob in blobs}
    if sizes != {8 * width}:
        raise ValueError(
            f"journal, {what}: found blobs of {sorted(sizes)} bytes, expected {8 * width}"
        )
    return np.frombuffer(b"".join(blobs), dtype="<f8").reshape(len(blobs), width)


def _refold(
    live: _Decisions, settings: dict[str, TradingSettings], state: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Fold the recorded rows under the settings in force at each, one account throughout."""
    parts: list[NDArray[np.float64]] = []
    for digest, places in groupby(range(len(live.rows)), key=live.settings.__getitem__):
        if digest not in settings:
            raise ValueError(
                f"journal: found settings {digest!r} in use, expected them in settings"
            )
        part, state = fold(live.rows[list(places)], settings[digest], state)
        parts.append(part)
    return np.concatenate(parts)


def _rebuild_rows(db: sqlite3.Connection, symbol: str, live: _Decisions) -> NDArray[np.float64]:
    """Return the trading rows made from bars, observations, features and probabilities."""
    found = db.execute(
        "SELECT d.open_time_ms, b.open, b.high, b.low, b.close, o.obs FROM decisions d"
        " JOIN bars b USING (symbol, open_time_ms) JOIN observations o USING (symbol, open_time_ms)"
        " WHERE symbol = ? AND d.open_time_ms >= ? ORDER BY d.open_time_ms",
        (symbol, int(live.open_time_ms[0])),
    ).fetchall()
    if len(found) != len(live.rows):
        raise ValueError(
            f"journal, {symbol}: found bar and observation of {len(found)} decisions,"
            f" expected {len(live.rows)}"
        )
    observations = _matrix([row[5] for row in found], len(OBSERVATION_FIELDS), f"{symbol} obs")
    settled = observations[:, _FIRST_SETTLED : _FIRST_SETTLED + len(FUNDING_FIELDS)]
    rows = live.rows.copy()  # when a bar closes and why it abstained are the runner's own
    rows[:, OPEN_TIME_MS] = [row[0] for row in found]
    rows[:, OPEN : CLOSE + 1] = [row[1:5] for row in found]
    rows[:, ATR] = live.features[:, _ATR] * rows[:, CLOSE]
    rows[:, P_SELL:ABSTAIN] = live.probabilities
    rows[:, FIRST_FUNDING:] = settled
    return rows


def _recompute(
    db: sqlite3.Connection, symbol: str, live: _Decisions
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which decisions follow a recorded stream start, and their features anew."""
    starts = db.execute(
        "SELECT open_time_ms, stream FROM streams WHERE symbol = ? ORDER BY open_time_ms", (symbol,)
    ).fetchall()
    by_time: dict[int, NDArray[np.float64]] = {}
    for (begin_ms, blob), (end_ms, _) in pairwise([*starts, (2**62, b"")]):
        observed = db.execute(
            "SELECT open_time_ms, obs FROM observations"
            " WHERE symbol = ? AND open_time_ms >= ? AND open_time_ms < ? ORDER BY open_time_ms",
            (symbol, begin_ms, end_ms),
        ).fetchall()
        if observed:
            obs = _matrix([row[1] for row in observed], len(OBSERVATION_FIELDS), f"{symbol} obs")
            features, _ = compute(obs, _matrix([blob], STATE_SIZE, f"{symbol} stream")[0])
            by_time |= {int(row[0]): one for row, one in zip(observed, features, strict=True)}
    known = np.array([int(time) in by_time for time in live.open_time_ms], dtype=np.bool_)
    anew = [by_time[int(time)] for time in live.open_time_ms[known]]
    return known, np.array(anew, dtype=np.float64).reshape(-1, len(FEATURES))


def _fills(out: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the prices of all fills in time order (entry before exit in a bar)."""
    prices = out[:, [ENTRY_PRICE, EXIT_PRICE]].ravel()
    return prices[prices != 0.0]


def _recorded_fills(db: sqlite3.Connection, symbol: str, since_ms: int) -> NDArray[np.float64]:
    """Return the prices of the orders filled in bars that open at or after a moment.

    An entry is filled at its bar's open, an exit recorded at its bar's close.
    """
    found = db.execute(
        "SELECT price FROM orders WHERE symbol = ? AND state = 'filled'"
        " AND (filled_ms > ? OR filled_ms = ? AND kind = 'entry')"
        " ORDER BY filled_ms, kind = 'entry'",
        (symbol, since_ms, since_ms),
    ).fetchall()
    return np.array([row[0] for row in found], dtype=np.float64)


def _differs(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which rows of two tables of the same shape differ in any byte."""
    unequal = np.ascontiguousarray(left).view(np.uint64) != np.ascontiguousarray(right).view(
        np.uint64
    )
    return unequal.any(axis=1)


def _differing(left: NDArray[Any], right: NDArray[Any]) -> int:
    """Return how many bytes differ; bytes that only one of them has count too."""
    a = np.frombuffer(left.tobytes(), np.uint8)
    b = np.frombuffer(right.tobytes(), np.uint8)
    shared = min(len(a), len(b))
    return int((a[:shared] != b[:shared]).sum()) + max(len(a), len(b)) - shared
