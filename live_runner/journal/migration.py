"""Bring a journal of an earlier version forward to the tables and vectors of this one.

Nothing is thrown away: bars, observations, decisions, orders, swaps, holes and events stay, and the
account goes on where it stood. Earlier versions settled funding by another rule, so what they
decided cannot be replayed by today's kernel: `accounts` says from which bar on it can.
"""

import math
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.features.engine import Stream, grown
from kernel.features.registry import FEATURES
from kernel.fills import ENTRY_MS, LAST_CLOSE_MS, SETTLED_MS
from kernel.observation import (
    BAR_FIELDS,
    DEPTH_FIELDS,
    FUNDING_FIELDS,
    MINUTE_FIELDS,
    OBSERVATION_FIELDS,
    SERIES,
    TIME_FIELDS,
    TRADE_FIELDS,
    Series,
    settled_by_hour,
)
from kernel.trading import INPUT_FIELDS, OUTPUT_FIELDS
from live_runner.journal import schema
from live_runner.journal.counting import count

ACCOUNTS_SINCE = 4
COUNTED_SINCE = 5
REGIME_SINCE = 6
BEFORE_REGIME = FEATURES[: FEATURES.index("regime")]  # new features come behind the others
FUNDING_TIME = "funding_rate_time_ms"
EARLIER_FUNDING_INTERVAL_MS = 28_800_000.0  # versions 1 and 2 settled every symbol at these
EARLIER_INPUTS = (
    "open_time_ms",
    "open",
    "high",
    "low",
    "close",
    "atr",
    "funding_rate",
    "p_sell",
    "p_hold",
    "p_buy",
    "abstain",
)
_FIRST_FUNDING = OBSERVATION_FIELDS.index(FUNDING_FIELDS[0])
_SETTLED = slice(_FIRST_FUNDING, _FIRST_FUNDING + len(FUNDING_FIELDS))


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of the values in an earlier version's vectors, in their order."""

    observation: tuple[str, ...]
    features: tuple[str, ...]


LAYOUTS = {
    1: Layout(
        observation=(
            *BAR_FIELDS,
            "funding_rate",
            "open_interest",
            "fear_greed",
            "exchange_net_flow",
            "mvrv",
        ),
        features=(
            "is_asian_session",
            "is_london_session",
            "is_ny_session",
            "session_hour_sin",
            "session_hour_cos",
            "return_1",
            "hourly_return",
            "return_16",
            "price_vs_ema20",
            "price_vs_ema50",
            "price_vs_ema200",
            "ema_stack",
            "adx_14",
            "rsi_14",
            "rsi_slope",
            "macd_hist_norm",
            "atr_14",
            "volatility_regime",
            "bb_width",
            "bb_position",
            "volume_ratio",
            "volume_delta",
            "h4_ema_bias",
            "h4_rsi in percent",  # h4_rsi_norm is a share: another value, so it is not taken over
            "d1_trend",
            "price_vs_d1_open",
            "funding_rate_norm",
            "oi_change",
            "fear_greed",
            "exchange_net_flow_norm",
            "mvrv",
        ),
    ),
    2: Layout(
        observation=(
            *BAR_FIELDS,
            *SERIES,
            *TRADE_FIELDS,
            *DEPTH_FIELDS,
            *MINUTE_FIELDS,
            FUNDING_TIME,
            *TIME_FIELDS,
        ),
        features=BEFORE_REGIME,
    ),
}


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Bring a journal of an earlier version forward, within the caller's transaction.

    Raises ValueError for a vector that is not of the version's length.
    """
    if version < ACCOUNTS_SINCE:
        db.execute(schema.ACCOUNTS)
    if version in LAYOUTS:
        layout = LAYOUTS[version]
        for (symbol,) in db.execute("SELECT DISTINCT symbol FROM bars ORDER BY 1").fetchall():
            bar_ms = _bar_ms(db, symbol)
            _migrate_observations(db, symbol, bar_ms, layout)
            _migrate_decisions(db, symbol, bar_ms, layout)
            _migrate_state(db, symbol, bar_ms)
    elif version < REGIME_SINCE:
        for (symbol,) in db.execute("SELECT DISTINCT symbol FROM bars ORDER BY 1").fetchall():
            _add_features(db, symbol, BEFORE_REGIME)
            _add_groups(db, symbol, _bar_ms(db, symbol))
    if version < COUNTED_SINCE:
        for statement in schema.COUNTED:
            db.execute(statement)
        _count_decisions(db)
    db.execute(f"PRAGMA user_version={schema.VERSION}")


def _count_decisions(db: sqlite3.Connection) -> None:
    decided = db.execute(
        "SELECT symbol, open_time_ms, row, out, catch_up FROM decisions"
        " ORDER BY symbol, open_time_ms"
    )
    for symbol, open_time_ms, row, out, catch_up in decided:
        count(
            db,
            symbol=symbol,
            open_time_ms=open_time_ms,
            row=_matrix([row], len(INPUT_FIELDS), f"{symbol} row")[0].tolist(),
            out=_matrix([out], len(OUTPUT_FIELDS), f"{symbol} out")[0].tolist(),
            catch_up=bool(catch_up),
        )


def _bar_ms(db: sqlite3.Connection, symbol: str) -> int:
    """Return the length of a bar, which the file does not tell: the smallest step between two."""
    step_ms = db.execute(
        "SELECT min(step_ms) FROM (SELECT open_time_ms - lag(open_time_ms)"
        " OVER (ORDER BY open_time_ms) AS step_ms FROM bars WHERE symbol = ?)",
        (symbol,),
    ).fetchone()[0]
    return int(step_ms or 0)  # a single bar: nothing was decided on so little history


def _migrate_observations(db: sqlite3.Connection, symbol: str, bar_ms: int, layout: Layout) -> None:
    times, (earlier,) = _vectors(db, "observations", symbol, {"obs": len(layout.observation)})
    observations = _by_name(earlier, layout.observation, OBSERVATION_FIELDS)
    if FUNDING_TIME in layout.observation:
        rates = earlier[:, layout.observation.index("funding_rate")]
        settled_ms = earlier[:, layout.observation.index(FUNDING_TIME)]
        observations[:, _SETTLED] = _settled(times + bar_ms, settled_ms, rates)
    db.executemany(
        "UPDATE observations SET obs = ? WHERE symbol = ? AND open_time_ms = ?",
        _updates(symbol, times, observations),
    )


def _settled(
    close_ms: NDArray[np.int64], settled_ms: NDArray[np.float64], rates: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the rates of the hours before each close, as far as the observations up to it tell.

    An observation held the latest settlement and its time, so each settlement is known from the
    first bar that showed it.
    """
    told = np.isfinite(settled_ms) & np.isfinite(rates)
    seen = np.column_stack([settled_ms[told], rates[told]])
    _, first = np.unique(seen, axis=0, return_index=True)
    funding = Series(
        name="funding_rate",
        event_time_ms=seen[first, 0].astype(np.int64),
        known_at_ms=close_ms[told][first],
        value=seen[first, 1],
    )
    return settled_by_hour(funding, close_ms)


def _migrate_decisions(db: sqlite3.Connection, symbol: str, bar_ms: int, layout: Layout) -> None:
    times, (features, earlier) = _vectors(
        db,
        "decisions",
        symbol,
        {"features": len(layout.features), "row": len(EARLIER_INPUTS)},
    )
    observed, (observations,) = _vectors(
        db, "observations", symbol, {"obs": len(OBSERVATION_FIELDS)}
    )
    rows = _by_name(earlier, EARLIER_INPUTS, INPUT_FIELDS)
    rows[:, INPUT_FIELDS.index("close_time_ms")] = times + bar_ms
    first = INPUT_FIELDS.index(FUNDING_FIELDS[0])
    rows[:, first:] = observations[np.searchsorted(observed, times), _SETTLED]
    for column, values in (
        ("features", _by_name(features, layout.features, FEATURES)),
        ("row", rows),
    ):
        db.executemany(
            f"UPDATE decisions SET {column} = ?"  # noqa: S608  our own names
            " WHERE symbol = ? AND open_time_ms = ?",
            _updates(symbol, times, values),
        )


def _add_features(db: sqlite3.Connection, symbol: str, earlier: Sequence[str]) -> None:
    times, (features,) = _vectors(db, "decisions", symbol, {"features": len(earlier)})
    db.executemany(
        "UPDATE decisions SET features = ? WHERE symbol = ? AND open_time_ms = ?",
        _updates(symbol, times, _by_name(features, earlier, FEATURES)),
    )


def _add_groups(db: sqlite3.Connection, symbol: str, bar_ms: int) -> None:
    """Let the stream go on from the last decided bar to the byte, new groups from their start."""
    found = db.execute(
        "SELECT open_time_ms, trader, stream FROM states WHERE symbol = ?", (symbol,)
    ).fetchone()
    if found is not None:
        last_open_ms, trader, stream = found
        _go_on(
            db,
            symbol=symbol,
            next_open_ms=last_open_ms + bar_ms,
            trader=trader,
            stream=grown(np.frombuffer(stream)).tobytes(),
        )


def _go_on(
    db: sqlite3.Connection, *, symbol: str, next_open_ms: int, trader: bytes, stream: bytes
) -> None:
    """Write from which bar, account and stream on this version's kernel decides."""
    db.execute(
        "UPDATE states SET trader = ?, stream = ? WHERE symbol = ?", (trader, stream, symbol)
    )
    db.execute("DELETE FROM streams WHERE symbol = ?", (symbol,))
    db.execute("INSERT INTO streams VALUES (?, ?, ?)", (symbol, next_open_ms, stream))
    # A journal that was brought forward and decided nothing since has such a row already.
    db.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)", (symbol, next_open_ms, trader))


def _migrate_state(db: sqlite3.Connection, symbol: str, bar_ms: int) -> None:
    """Let the account and the stream go on from the last decided bar, each from a recorded start.

    The stream is folded anew over all that was observed: features of this version keep another
    state.
    """
    found = db.execute(
        "SELECT open_time_ms, trader FROM states WHERE symbol = ?", (symbol,)
    ).fetchone()
    if found is None:
        return
    last_open_ms, blob = found
    trader = np.frombuffer(blob, dtype=np.float64).copy()
    # These two slots held the open of the last bar, and for how many bars the position was held.
    earlier_open_ms = float(trader[LAST_CLOSE_MS])
    due_ms = EARLIER_FUNDING_INTERVAL_MS * math.floor(earlier_open_ms / EARLIER_FUNDING_INTERVAL_MS)
    trader[SETTLED_MS] = max(float(trader[ENTRY_MS]), due_ms)
    trader[LAST_CLOSE_MS] = earlier_open_ms + bar_ms if earlier_open_ms > 0.0 else 0.0
    stream = Stream()
    times, (observations,) = _vectors(db, "observations", symbol, {"obs": len(OBSERVATION_FIELDS)})
    for observation in observations[times <= last_open_ms].tolist():
        stream.push(observation)
    _go_on(
        db,
        symbol=symbol,
        next_open_ms=last_open_ms + bar_ms,
        trader=trader.tobytes(),
        stream=stream.snapshot().tobytes(),
    )


def _vectors(
    db: sqlite3.Connection, table: str, symbol: str, widths: dict[str, int]
) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]:
    """Return the open times of a table's rows, ascending, and the named columns as matrices."""
    found = db.execute(
        f"SELECT open_time_ms, {', '.join(widths)} FROM {table}"  # noqa: S608  our own names
        " WHERE symbol = ? ORDER BY open_time_ms",
        (symbol,),
    ).fetchall()
    times = np.array([row[0] for row in found], dtype=np.int64)
    blobs = ([row[place] for row in found] for place in range(1, len(widths) + 1))
    matrices = [
        _matrix(column, width, f"{symbol} {name}")
        for column, (name, width) in zip(blobs, widths.items(), strict=True)
    ]
    return times, matrices


def _matrix(blobs: Sequence[bytes], width: int, what: str) -> NDArray[np.float64]:
    sizes = {len(blob) for blob in blobs} - {8 * width}
    if sizes:
        raise ValueError(f"{what}: found a vector of {min(sizes)} bytes, expected {8 * width}")
    return np.frombuffer(b"".join(blobs), dtype=np.float64).reshape(len(blobs), width)


def _by_name(
    values: NDArray[np.float64], earlier: Sequence[str], names: Sequence[str]
) -> NDArray[np.float64]:
    """Return the values in the order of `names`, NaN where the earlier version had none."""
    place = {name: at for at, name in enumerate(earlier)}
    found = np.full((len(values), len(names)), np.nan)
    for at, name in enumerate(names):
        if name in place:
            found[:, at] = values[:, place[name]]
    return found


def _updates(
    symbol: str, times: NDArray[np.int64], vectors: NDArray[np.float64]
) -> Iterator[tuple[bytes, str, int]]:
    for at, vector in zip(times.tolist(), vectors, strict=True):
        yield vector.tobytes(), symbol, at
