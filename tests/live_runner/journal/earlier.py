"""Journals as earlier versions of the runner wrote them, in their own tables and vectors."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernel.features import regime
from kernel.features.engine import Stream
from kernel.features.registry import FEATURES
from kernel.fills import LAST_CLOSE_MS, SETTLED_MS
from kernel.observation import FUNDING_FIELDS, OBSERVATION_FIELDS
from kernel.trading import INPUT_FIELDS, Trader
from live_runner.candles import Candle
from live_runner.journal.journal import Decision, Journal, SymbolState
from live_runner.orders import order_changes
from tests.kernel.trading_rows import BAR_MS, GUARDED, HOUR_MS, MONDAY_MS, hours_before

SYMBOL = "BTCUSDT"
WARM_UP = 40
MIGRATED_AT = 120  # a bar within a position, and not long after a settlement
FUNDING = OBSERVATION_FIELDS.index("funding_rate")
FIRST_SETTLED = OBSERVATION_FIELDS.index(FUNDING_FIELDS[0])
RATES = {MONDAY_MS + hour * HOUR_MS: 1e-4 * (1 + hour) for hour in range(8, 80, 8)}
TABLES = """
CREATE TABLE bars (
    symbol TEXT, open_time_ms INTEGER, open REAL, high REAL, low REAL, close REAL, volume REAL,
    received_at_ms INTEGER, PRIMARY KEY (symbol, open_time_ms)) WITHOUT ROWID;
CREATE TABLE observations (
    symbol TEXT, open_time_ms INTEGER, obs BLOB,
    PRIMARY KEY (symbol, open_time_ms)) WITHOUT ROWID;
CREATE TABLE decisions (
    symbol TEXT, open_time_ms INTEGER, epoch INTEGER, bundle_digest TEXT, settings_digest TEXT,
    features BLOB, probabilities BLOB, row BLOB, out BLOB, reason TEXT, catch_up INTEGER,
    latency_us INTEGER, compute_us INTEGER, PRIMARY KEY (symbol, open_time_ms)) WITHOUT ROWID;
CREATE TABLE settings (digest TEXT PRIMARY KEY, body BLOB);
CREATE TABLE streams (
    symbol TEXT, open_time_ms INTEGER, stream BLOB, PRIMARY KEY (symbol, open_time_ms));
CREATE TABLE orders (
    id TEXT PRIMARY KEY, symbol TEXT, created_ms INTEGER, side INTEGER, quantity REAL, kind TEXT,
    state TEXT, filled_ms INTEGER, price REAL, reason TEXT);
CREATE INDEX orders_by_time ON orders (symbol, created_ms);
CREATE TABLE order_events (order_id TEXT, state TEXT, at_ms INTEGER, detail TEXT);
CREATE TABLE swaps (
    symbol TEXT, at_ms INTEGER, bar_open_time_ms INTEGER, epoch INTEGER, digest TEXT,
    previous TEXT, outcome TEXT, reason TEXT, pause_us INTEGER);
CREATE TABLE states (
    symbol TEXT PRIMARY KEY, open_time_ms INTEGER, trader BLOB, stream BLOB, epoch INTEGER,
    digest TEXT, pending_order TEXT);
CREATE TABLE holes (
    symbol TEXT, open_time_ms INTEGER, reason TEXT, recorded_at_ms INTEGER,
    PRIMARY KEY (symbol, open_time_ms)) WITHOUT ROWID;
CREATE TABLE events (at_ms INTEGER, kind TEXT, detail TEXT);
"""
UNCHANGED = ("bars", "settings", "orders", "order_events", "swaps", "holes", "events")


def observations(bars: int) -> NDArray[np.float64]:
    """Return observations of a random market that settles every eight hours from the eighth on."""
    rng = np.random.default_rng(5)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.003, bars)))
    opened = np.concatenate([[100.0], close[:-1]])
    rows = np.full((bars, len(OBSERVATION_FIELDS)), np.nan)
    rows[:, 0] = MONDAY_MS + np.arange(bars) * BAR_MS
    rows[:, 1:6] = np.column_stack(
        [opened, np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998, close, close]
    )
    for row in rows:
        row[FIRST_SETTLED:] = hours_before(int(row[0]) + BAR_MS, RATES)
        settled = row[FIRST_SETTLED:][np.isfinite(row[FIRST_SETTLED:])]
        row[FUNDING] = settled[0] if len(settled) else np.nan
    return rows


class Desk:
    """Decide and record bars as the runner does, from wherever the journal stands."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._digest = journal.settings_digest(GUARDED)
        state = journal.state(SYMBOL)
        if state is None:
            self._stream = Stream()
            self._trader = Trader(GUARDED)
            self._pending = ""
            fresh = self._state(MONDAY_MS - BAR_MS)
            journal.record_start(fresh, self._stream.snapshot(), MONDAY_MS)
        else:
            self._stream = Stream(state.stream)
            self._trader = Trader(GUARDED, state.trader)
            self._pending = state.pending_order

    def warm_up(self, seen: Sequence[Sequence[float]]) -> None:
        """Record bars that are history, and take them into the features."""
        self.journal.record_history(SYMBOL, [(_candle(one), one) for one in seen], 0)
        for one in seen:
            self._stream.push(one)

    def decide(self, seen: Sequence[Sequence[float]]) -> None:
        """Decide bars by opinions that depend on the bar alone."""
        for one in seen:
            candle = _candle(one)
            features = self._stream.push(one)
            wish = np.random.default_rng(int(one[0])).dirichlet([0.4, 0.4, 0.4]).tolist()
            atr = features[FEATURES.index("atr_14")] * candle.close
            times = (one[0], one[0] + BAR_MS)
            row = [*times, *one[1:5], atr, *wish, 0.0, *one[FIRST_SETTLED:]]
            out = self._trader.push(row)
            orders, self._pending = order_changes(
                symbol=SYMBOL,
                open_time_ms=candle.open_time_ms,
                bar_ms=BAR_MS,
                row=row,
                out=out,
                pending=self._pending,
            )
            decision = Decision(
                symbol=SYMBOL,
                candle=candle,
                epoch=0,
                digest="",
                settings_digest=self._digest,
                observation=one,
                features=features,
                probabilities=wish,
                row=row,
                out=out,
                reason="no bundle: rules decide",
                catch_up=False,
                latency_us=250,
                compute_us=200,
            )
            now_ms = candle.open_time_ms + BAR_MS
            self.journal.record(decision, orders, self._state(candle.open_time_ms), now_ms)

    def _state(self, open_time_ms: int) -> SymbolState:
        return SymbolState(
            symbol=SYMBOL,
            open_time_ms=open_time_ms,
            trader=self._trader.snapshot(),
            stream=self._stream.snapshot(),
            epoch=0,
            digest="",
            pending_order=self._pending,
        )


def write_version_2(path: Path, told: Path) -> None:
    """Write what the journal `told` holds as a runner of version 2 would have written it."""
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(TABLES)
        db.execute("ATTACH ? AS told", (str(told),))
        for table in UNCHANGED:
            db.execute(f"INSERT INTO {table} SELECT * FROM told.{table}")
        for symbol, at_ms, obs in db.execute("SELECT * FROM told.observations").fetchall():
            earlier = _earlier_observation(np.frombuffer(obs), at_ms)
            db.execute("INSERT INTO observations VALUES (?,?,?)", (symbol, at_ms, earlier))
        for values in db.execute("SELECT * FROM told.decisions").fetchall():
            row = dict(zip(INPUT_FIELDS, np.frombuffer(values[7]), strict=True))
            marks = ",".join("?" * len(values))
            features = _without_regime(values[5])
            db.execute(
                f"INSERT INTO decisions VALUES ({marks})",
                (*values[:5], features, values[6], _earlier_row(row), *values[8:]),
            )
        symbol, at_ms, trader, *rest = db.execute("SELECT * FROM told.states").fetchone()
        account = np.frombuffer(trader).copy()
        account[LAST_CLOSE_MS] -= BAR_MS  # was the open of the last bar
        account[SETTLED_MS] = 3.0  # was for how many bars the position was held
        stream = np.zeros(9_371).tobytes()
        values = (symbol, at_ms, account.tobytes(), stream, *rest[1:])
        db.execute("INSERT INTO states VALUES (?,?,?,?,?,?,?)", values)
        db.execute("INSERT INTO streams VALUES (?,?,?)", (symbol, MONDAY_MS, stream))
        db.execute("PRAGMA user_version=2")


def write_version_5(path: Path, told: Path) -> None:
    """Write what the journal `told` holds as a runner of version 5 would have written it."""
    path.write_bytes(told.read_bytes())
    with closing(sqlite3.connect(path)) as db, db:
        for symbol, at_ms, features in db.execute(
            "SELECT symbol, open_time_ms, features FROM decisions"
        ).fetchall():
            db.execute(
                "UPDATE decisions SET features = ? WHERE symbol = ? AND open_time_ms = ?",
                (_without_regime(features), symbol, at_ms),
            )
        for table in ("states", "streams"):
            for symbol, stream in db.execute(f"SELECT symbol, stream FROM {table}").fetchall():
                shorter = stream[: -8 * regime.GROUP.state_size]
                db.execute(f"UPDATE {table} SET stream = ? WHERE symbol = ?", (shorter, symbol))
        db.execute("PRAGMA user_version=5")


def _without_regime(features: bytes) -> bytes:
    """Return a decision's features as they were before the last one of them came."""
    assert FEATURES[-1] == "regime"
    return features[:-8]


def _earlier_observation(obs: NDArray[np.float64], at_ms: int) -> bytes:
    """Return 112 values: those before the hours of funding, the time of the last rate among them,
    behind the minutes.
    """
    settled = [at for at in RATES if at < at_ms + BAR_MS]
    times = [float(settled[-1]) if settled else np.nan, *obs[FIRST_SETTLED - 6 : FIRST_SETTLED]]
    return np.array([*obs[: FIRST_SETTLED - 6], *times]).tobytes()


def _earlier_row(row: dict[str, float]) -> bytes:
    prices = [row[name] for name in ("open_time_ms", "open", "high", "low", "close", "atr")]
    wishes = [row[name] for name in ("p_sell", "p_hold", "p_buy", "abstain")]
    return np.array([*prices, 1e-4, *wishes]).tobytes()


def _candle(seen: Sequence[float]) -> Candle:
    open_time_ms, opened, high, low, close, volume = seen[:6]
    return Candle(
        open_time_ms=int(open_time_ms), open=opened, high=high, low=low, close=close, volume=volume
    )
