"""Write a journal as the runner does: two symbols, a change of settings, a restart, a rebuilt
stream."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernel.digest import canonical_json, sha256_hex
from kernel.features.engine import Stream
from kernel.features.registry import FEATURES
from kernel.observation import FUNDING_FIELDS, OBSERVATION_FIELDS
from kernel.trading import OUTPUT_FIELDS, Trader, TradingSettings
from tests.kernel.trading_rows import BAR_MS, GUARDED, HOUR_MS, MONDAY_MS, hours_before

WARM_UP, DECIDED, SWAP_AT, RESTART_AT = 40, 160, 70, 110
FIRST_SETTLED = OBSERVATION_FIELDS.index(FUNDING_FIELDS[0])
AFTER_SWAP = replace(GUARDED, min_confidence=0.4, horizon_bars=5)
SCHEMA = """
CREATE TABLE bars (symbol TEXT, open_time_ms INTEGER, open REAL, high REAL, low REAL, close REAL,
  volume REAL, received_at_ms INTEGER, PRIMARY KEY (symbol, open_time_ms));
CREATE TABLE observations (symbol TEXT, open_time_ms INTEGER, obs BLOB,
  PRIMARY KEY (symbol, open_time_ms));
CREATE TABLE decisions (symbol TEXT, open_time_ms INTEGER, settings_digest TEXT, features BLOB,
  probabilities BLOB, row BLOB, out BLOB, PRIMARY KEY (symbol, open_time_ms));
CREATE TABLE settings (digest TEXT PRIMARY KEY, body BLOB);
CREATE TABLE streams (symbol TEXT, open_time_ms INTEGER, stream BLOB,
  PRIMARY KEY (symbol, open_time_ms));
CREATE TABLE accounts (symbol TEXT, open_time_ms INTEGER, trader BLOB);
CREATE TABLE orders (id TEXT PRIMARY KEY, symbol TEXT, state TEXT, kind TEXT, filled_ms INTEGER,
  price REAL);
"""


def record(path: Path, symbols: Sequence[str] = ("BTCUSDT", "ETHUSDT")) -> None:
    """Write a journal of each symbol's warm-up and decisions."""
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(SCHEMA)
        digests = [_store_settings(db, one) for one in (GUARDED, AFTER_SWAP)]
        for seed, symbol in enumerate(symbols):
            _record_symbol(db, symbol, seed, digests)


def _store_settings(db: sqlite3.Connection, settings: TradingSettings) -> str:
    body = canonical_json(settings.to_dict())
    db.execute("INSERT INTO settings VALUES (?, ?)", (sha256_hex(body), body))
    return sha256_hex(body)


def observations(seed: int) -> NDArray[np.float64]:
    """Return observations of a random market, some of them unknown."""
    rng = np.random.default_rng(seed)
    bars = WARM_UP + DECIDED
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, bars)))
    opened = np.concatenate([[100.0], close[:-1]])
    rows = np.full((bars, len(OBSERVATION_FIELDS)), np.nan)
    rows[:, 0] = MONDAY_MS + np.arange(bars) * BAR_MS
    rows[:, 1:6] = np.column_stack(
        [opened, np.maximum(opened, close) * 1.004, np.minimum(opened, close) * 0.996, close, close]
    )
    rows[:, 6] = np.where(rng.random(bars) < 0.1, np.nan, 1e-4)
    rates = {MONDAY_MS + hour * HOUR_MS: 1e-4 * hour for hour in range(0, 52, 2)}
    rows[:, FIRST_SETTLED:] = [hours_before(int(at) + BAR_MS, rates) for at in rows[:, 0]]
    rows[:, 7] = 1e6 * np.exp(np.cumsum(rng.normal(0.0, 0.01, bars)))
    return rows


def _record_symbol(db: sqlite3.Connection, symbol: str, seed: int, digests: list[str]) -> None:
    rng = np.random.default_rng(1_000 + seed)
    stream, trader, digest = Stream(), Trader(GUARDED), digests[0]
    _start_stream(db, symbol, MONDAY_MS, stream)
    for bar, seen in enumerate(observations(seed).tolist()):
        if bar == SWAP_AT:
            stream = Stream()
            _start_stream(db, symbol, int(seen[0]), stream)
            trader, digest = Trader(AFTER_SWAP, trader.snapshot()), digests[1]
        if bar == RESTART_AT:
            stream, trader = Stream(stream.snapshot()), Trader(AFTER_SWAP, trader.snapshot())
        features = stream.push(seen)
        db.execute("INSERT INTO bars VALUES (?,?,?,?,?,?,?,?)", (symbol, *seen[:6], 0))
        db.execute("INSERT INTO observations VALUES (?,?,?)", (symbol, seen[0], _blob(seen)))
        if bar >= WARM_UP:
            p = rng.dirichlet([0.5, 0.5, 0.5]).tolist()
            atr = features[FEATURES.index("atr_14")] * seen[4]
            times = (seen[0], seen[0] + BAR_MS)
            settled = seen[FIRST_SETTLED:]
            row = [*times, *seen[1:5], atr, *p, float(bar % 17 == 0), *settled]
            out = trader.push(row)
            blobs = map(_blob, (features, p, row, out))
            db.execute(
                "INSERT INTO decisions VALUES (?,?,?,?,?,?,?)", (symbol, seen[0], digest, *blobs)
            )
            _record_fills(db, symbol, int(seen[0]), out)


def _start_stream(db: sqlite3.Connection, symbol: str, open_time_ms: int, stream: Stream) -> None:
    blob = stream.snapshot().tobytes()
    db.execute("INSERT INTO streams VALUES (?, ?, ?)", (symbol, open_time_ms, blob))


def _record_fills(
    db: sqlite3.Connection, symbol: str, open_time_ms: int, out: Sequence[float]
) -> None:
    fill = dict(zip(OUTPUT_FIELDS, out, strict=True))
    for kind, price, at_ms in (
        ("entry", fill["entry_price"], open_time_ms),
        ("stop_loss", fill["exit_price"], open_time_ms + BAR_MS),
    ):
        if price:
            values = (f"{symbol}-{open_time_ms}-{kind}", symbol, "filled", kind, at_ms, price)
            db.execute("INSERT INTO orders VALUES (?,?,?,?,?,?)", values)


def _blob(values: Sequence[float]) -> bytes:
    return np.array(values, dtype=np.float64).tobytes()
