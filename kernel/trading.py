"""The trading step: a bar in, what the account did out; folded over history or pushed live.

A row is known at its bar's close. In order, the step rolls the guards' windows, settles funding,
fills the order of the previous close at this open, lets barriers and horizon close the position,
marks the account at the close, trips guards, and last decides on an order for the next open.
"""

import math
from collections.abc import MutableSequence, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel import fills
from kernel.compiled import compiled
from kernel.decision import decide
from kernel.fills import (
    STATE_SIZE,
    close_position,
    equity_at,
    fill_price,
    hold,
    open_pending,
    settle_funding,
)
from kernel.risk import Guard, State, blocking_guard, count_trade, roll_windows, size, start, watch
from kernel.trading_settings import TradingSettings

__all__ = [
    "INPUT_FIELDS",
    "OUTPUT_FIELDS",
    "STATE_SIZE",
    "TRADE_DTYPE",
    "Trader",
    "TradingSettings",
    "fold",
    "initial_state",
    "step",
    "trades",
]

INPUT_FIELDS = (
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
# What happened in the bar; trade_* fields are set on the bar that closes a trade, else 0.
OUTPUT_FIELDS = (
    "order",
    "order_quantity",
    "blocked",
    "entry_side",
    "entry_price",
    "quantity",
    "exit_reason",
    "exit_price",
    "fees",
    "funding",
    "pnl",
    "position_side",
    "equity",
    "trade_side",
    "trade_quantity",
    "trade_entry_ms",
    "trade_entry_price",
    "trade_fees",
    "trade_funding",
)
TRADE_DTYPE = np.dtype(
    [
        ("entry_time_ms", np.int64),
        ("exit_time_ms", np.int64),
        ("side", np.int64),
        ("quantity", np.float64),
        ("entry_price", np.float64),
        ("exit_price", np.float64),
        ("fees", np.float64),
        ("funding", np.float64),
        ("pnl", np.float64),
        ("exit_reason", np.int64),
    ]
)


def step(
    state: State,
    row: Sequence[float],
    settings: Sequence[float],
    out: MutableSequence[float],
) -> None:
    """Advance the account by one bar: `state` in place, `out` overwritten.

    `row` follows INPUT_FIELDS, `settings` TradingSettings.vector(), `out` OUTPUT_FIELDS.
    """
    for i in range(len(out)):
        out[i] = 0.0
    cost_bps = settings[8] + settings[9]
    fee_bps = settings[7]
    roll_windows(state, row[0])
    fees_before = state[fills.FEES]
    if state[fills.SIDE] != 0.0:
        out[9] = settle_funding(state, row[0], row[1], row[6])
    state[fills.LAST_OPEN_MS] = row[0]
    if state[fills.PENDING_SIDE] != 0.0:
        open_pending(state, row[0], row[1], settings[2], settings[3], cost_bps, fee_bps)
        fees_before = 0.0
        _report_entry(state, out)
    if state[fills.SIDE] != 0.0:
        reason, price = hold(state, row[1], row[2], row[3], row[4], settings[4])
        if reason != 0.0:
            _report_trade(state, out, reason, price, cost_bps, fee_bps)
        out[8] = state[fills.FEES] - fees_before
    equity = equity_at(state, row[4])
    watch(state, equity, settings[10], settings[11], settings[12], settings[13], settings[14])
    side = decide(row[7], row[8], row[9], settings[0], settings[1])
    atr, abstain = row[5], row[10]
    quantity = size(equity, row[4], atr, settings[3], settings[5], settings[6])
    if side != 0.0 and state[fills.SIDE] == 0.0 and abstain == 0.0 and atr > 0.0:
        _order(state, out, side, quantity, atr)
    out[11] = state[fills.SIDE]
    out[12] = equity


def _report_entry(state: State, out: MutableSequence[float]) -> None:
    """Write the entry that was just filled."""
    out[3] = state[fills.SIDE]
    out[4] = state[fills.ENTRY_PRICE]
    out[5] = state[fills.QUANTITY]


def _report_trade(
    state: State,
    out: MutableSequence[float],
    reason: float,
    price: float,
    cost_bps: float,
    fee_bps: float,
) -> None:
    """Close the position and write the whole trade."""
    out[6] = reason
    out[7] = fill_price(price, -state[fills.SIDE], cost_bps)
    out[13] = state[fills.SIDE]
    out[14] = state[fills.QUANTITY]
    out[15] = state[fills.ENTRY_MS]
    out[16] = state[fills.ENTRY_PRICE]
    out[10] = close_position(state, out[7], fee_bps)
    out[17] = state[fills.FEES]
    out[18] = state[fills.FUNDING]
    count_trade(state, out[10])


def _order(
    state: State, out: MutableSequence[float], side: float, quantity: float, atr: float
) -> None:
    """Order an entry at the next open, unless a guard blocks it."""
    guard = blocking_guard(state)
    if guard == 0.0 and not quantity > 0.0:
        guard = float(Guard.NOTIONAL.value)
    out[2] = guard
    if guard == 0.0:
        state[fills.PENDING_SIDE] = side
        state[fills.PENDING_QUANTITY] = quantity
        state[fills.PENDING_ATR] = atr
        out[0] = side
        out[1] = quantity


def initial_state(settings: TradingSettings) -> NDArray[np.float64]:
    """Return the state of an account that holds nothing but its initial equity."""
    state = [0.0] * STATE_SIZE
    start(state, float(settings.initial_equity))
    state[fills.CASH] = float(settings.initial_equity)
    return np.array(state)


def fold(
    rows: NDArray[np.float64],
    settings: TradingSettings,
    state: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Run the step over rows float64[n, I]; return out float64[n, O] and the last state.

    Compiled where numba is installed; the input state is not changed. Raises ValueError for rows of
    the wrong shape, not finite or not positive in price, or not ascending in time.
    """
    state = initial_state(settings) if state is None else _checked_state(state).copy()
    _check_rows(rows, state[fills.LAST_OPEN_MS])
    out = np.empty((len(rows), len(OUTPUT_FIELDS)))
    compiled(_fold)(np.ascontiguousarray(rows), settings.vector(), state, out)
    return out, state


def _fold(
    rows: Sequence[Sequence[float]],
    settings: Sequence[float],
    state: State,
    out: Sequence[MutableSequence[float]],
) -> None:
    for i in range(len(rows)):
        step(state, rows[i], settings, out[i])


class Trader:
    """An account that trades bar by bar in plain Python: the same bytes as `fold`."""

    def __init__(self, settings: TradingSettings, state: NDArray[np.float64] | None = None) -> None:
        """Start fresh, or from a snapshot, also one made under other settings."""
        resumed = initial_state(settings) if state is None else _checked_state(state)
        self._settings: list[float] = settings.vector().tolist()
        self._state: list[float] = resumed.tolist()

    def push(self, row: Sequence[float]) -> list[float]:
        """Advance by one bar (INPUT_FIELDS), return OUTPUT_FIELDS; raise ValueError like `fold`."""
        values = [float(value) for value in row]
        _check_row(values, self._state[fills.LAST_OPEN_MS])
        out = [0.0] * len(OUTPUT_FIELDS)
        step(self._state, values, self._settings, out)
        return out

    def snapshot(self) -> NDArray[np.float64]:
        """Return a copy of the state float64[T], enough to go on exactly from here."""
        return np.array(self._state, dtype=np.float64)


def trades(rows: NDArray[np.float64], out: NDArray[np.float64]) -> NDArray[Any]:
    """Return the trades closed within these rows, oldest first, as TRADE_DTYPE.

    Times are the open times of the bars of entry and exit; a trade entered before the first row is
    whole.
    """
    closed = np.flatnonzero(out[:, OUTPUT_FIELDS.index("exit_reason")])
    table = np.zeros(len(closed), dtype=TRADE_DTYPE)
    table["exit_time_ms"] = rows[closed, 0]
    for name, source in {
        "entry_time_ms": "trade_entry_ms",
        "side": "trade_side",
        "quantity": "trade_quantity",
        "entry_price": "trade_entry_price",
        "exit_price": "exit_price",
        "fees": "trade_fees",
        "funding": "trade_funding",
        "pnl": "pnl",
        "exit_reason": "exit_reason",
    }.items():
        table[name] = out[closed, OUTPUT_FIELDS.index(source)]
    return table


def _checked_state(state: NDArray[np.float64]) -> NDArray[np.float64]:
    if state.shape != (STATE_SIZE,) or state.dtype != np.float64 or not np.isfinite(state).all():
        raise ValueError(
            f"trading state: found {state.dtype}{list(state.shape)},"
            f" expected finite float64[{STATE_SIZE}]"
        )
    return state


def _check_rows(rows: NDArray[np.float64], last_open_ms: float) -> None:
    width = len(INPUT_FIELDS)
    if rows.ndim != 2 or rows.shape[1] != width or rows.dtype != np.float64:
        raise ValueError(
            f"trading rows: found {rows.dtype}{list(rows.shape)}, expected float64[n, {width}]"
        )
    bad = compiled(_first_bad_row)(np.ascontiguousarray(rows), last_open_ms)
    if bad >= 0:
        _check_row(rows[bad].tolist(), rows[bad - 1, 0] if bad else last_open_ms)


def _first_bad_row(rows: NDArray[np.float64], last_open_ms: float) -> int:
    last = last_open_ms
    for i in range(len(rows)):
        if not row_is_sound(rows[i], last):
            return i
        last = rows[i, 0]
    return -1


def row_is_sound(row: Sequence[float], last_open_ms: float) -> bool:
    """Say whether time moves forward and the prices are finite, positive and within low..high."""
    low, high = row[3], row[2]
    return (
        last_open_ms < row[0] < math.inf
        and low > 0.0
        and low <= row[1] <= high
        and low <= row[4] <= high < math.inf
    )


def _check_row(row: Sequence[float], last_open_ms: float) -> None:
    if len(row) != len(INPUT_FIELDS):
        raise ValueError(f"trading row: found {len(row)} values, expected {len(INPUT_FIELDS)}")
    if not row_is_sound(row, last_open_ms):
        raise ValueError(
            f"trading row: found time and prices {list(row[:5])},"
            f" expected a time after {last_open_ms:.0f} and finite positive prices"
            " with low <= open, close <= high"
        )
