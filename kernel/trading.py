"""The trading step: a bar in, what the account did out; folded over history or pushed live.

A row is known at its bar's close. In order, the step rolls the guards' windows, settles funding,
fills the order of the previous close at this open, lets barriers and horizon close the position,
marks the account at the close, trips guards, and last decides on an order for the next open. An
order whose next open is missing is dropped: nobody knows what became of the market meanwhile.
"""

import math
from collections.abc import MutableSequence, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel import fills, trading_settings
from kernel.compiled import compiled
from kernel.decision import decide
from kernel.fills import (
    STATE_SIZE,
    ExitReason,
    close_position,
    equity_at,
    fill_price,
    hold,
    open_pending,
    settle_funding,
)
from kernel.observation import FUNDING_FIELDS
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
    "close_time_ms",
    "open",
    "high",
    "low",
    "close",
    "atr",
    "p_sell",
    "p_hold",
    "p_buy",
    "abstain",
    *FUNDING_FIELDS,
)
# Slots of a row, in the order of INPUT_FIELDS.
OPEN_TIME_MS = 0
CLOSE_TIME_MS = 1
OPEN = 2
HIGH = 3
LOW = 4
CLOSE = 5
ATR = 6
P_SELL = 7
P_HOLD = 8
P_BUY = 9
ABSTAIN = 10
FIRST_FUNDING = 11
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
# Slots of what comes out, in the order of OUTPUT_FIELDS.
ORDER = 0
ORDER_QUANTITY = 1
BLOCKED = 2
ENTRY_SIDE = 3
ENTRY_PRICE = 4
QUANTITY = 5
EXIT_REASON = 6
EXIT_PRICE = 7
FEES = 8
FUNDING = 9
PNL = 10
POSITION_SIDE = 11
EQUITY = 12
TRADE_SIDE = 13
TRADE_QUANTITY = 14
TRADE_ENTRY_MS = 15
TRADE_ENTRY_PRICE = 16
TRADE_FEES = 17
TRADE_FUNDING = 18
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
    cost_bps = settings[trading_settings.HALF_SPREAD_BPS] + settings[trading_settings.SLIPPAGE_BPS]
    fee_bps = settings[trading_settings.FEE_BPS]
    roll_windows(state, row[OPEN_TIME_MS])
    fees_before = state[fills.FEES]
    if state[fills.SIDE] != 0.0:
        out[FUNDING] = _settle(state, row, row[OPEN_TIME_MS], False)
    if state[fills.LAST_CLOSE_MS] != row[OPEN_TIME_MS]:
        state[fills.PENDING_SIDE] = 0.0
    state[fills.LAST_CLOSE_MS] = row[CLOSE_TIME_MS]
    if state[fills.PENDING_SIDE] != 0.0:
        open_pending(
            state,
            row[OPEN_TIME_MS],
            row[OPEN],
            settings[trading_settings.TAKE_PROFIT_ATR],
            settings[trading_settings.STOP_LOSS_ATR],
            cost_bps,
            fee_bps,
        )
        fees_before = 0.0
        _report_entry(state, out)
    if state[fills.SIDE] != 0.0:
        reason, price = hold(
            state,
            row[OPEN_TIME_MS],
            row[CLOSE_TIME_MS],
            row[OPEN],
            row[HIGH],
            row[LOW],
            row[CLOSE],
            settings[trading_settings.HORIZON_BARS],
        )
        # A barrier is touched at a moment that nobody knows: what settles within that bar counts
        # where it costs, never where it pays.
        left_at_close = reason == ExitReason.HORIZON.value
        touched = reason > 0.0 and not left_at_close
        out[FUNDING] += _settle(state, row, row[CLOSE_TIME_MS], touched)
        if reason != 0.0:
            _report_trade(state, out, reason, price, cost_bps, fee_bps)
        out[FEES] = state[fills.FEES] - fees_before
    equity = equity_at(state, row[CLOSE])
    watch(
        state,
        equity,
        settings[trading_settings.MAX_DAILY_LOSS],
        settings[trading_settings.MAX_WEEKLY_DRAWDOWN],
        settings[trading_settings.MAX_SESSION_DRAWDOWN],
        settings[trading_settings.MAX_CONSECUTIVE_LOSSES],
        settings[trading_settings.PAUSE_BARS],
    )
    side = decide(
        row[P_SELL],
        row[P_HOLD],
        row[P_BUY],
        settings[trading_settings.MIN_CONFIDENCE],
        settings[trading_settings.MIN_PROB_DIFF],
    )
    quantity = size(
        equity,
        row[CLOSE],
        row[ATR],
        settings[trading_settings.STOP_LOSS_ATR],
        settings[trading_settings.RISK_PER_TRADE],
        settings[trading_settings.MAX_NOTIONAL_FRACTION],
    )
    free = state[fills.SIDE] == 0.0 and row[ABSTAIN] == 0.0
    if side != 0.0 and free and row[ATR] > 0.0:
        _order(state, out, side, quantity, row[ATR])
    out[POSITION_SIDE] = state[fills.SIDE]
    out[EQUITY] = equity


def _settle(state: State, row: Sequence[float], until_ms: float, costs_only: bool) -> float:
    """Settle the funding of this row's hours up to a moment, and return what it cost."""
    return settle_funding(
        state, row, FIRST_FUNDING, row[CLOSE_TIME_MS], until_ms, row[OPEN], costs_only
    )


def _report_entry(state: State, out: MutableSequence[float]) -> None:
    """Write the entry that was just filled."""
    out[ENTRY_SIDE] = state[fills.SIDE]
    out[ENTRY_PRICE] = state[fills.ENTRY_PRICE]
    out[QUANTITY] = state[fills.QUANTITY]


def _report_trade(
    state: State,
    out: MutableSequence[float],
    reason: float,
    price: float,
    cost_bps: float,
    fee_bps: float,
) -> None:
    """Close the position and write the whole trade."""
    out[EXIT_REASON] = reason
    out[EXIT_PRICE] = fill_price(price, -state[fills.SIDE], cost_bps)
    out[TRADE_SIDE] = state[fills.SIDE]
    out[TRADE_QUANTITY] = state[fills.QUANTITY]
    out[TRADE_ENTRY_MS] = state[fills.ENTRY_MS]
    out[TRADE_ENTRY_PRICE] = state[fills.ENTRY_PRICE]
    out[PNL] = close_position(state, out[EXIT_PRICE], fee_bps)
    out[TRADE_FEES] = state[fills.FEES]
    out[TRADE_FUNDING] = state[fills.FUNDING]
    count_trade(state, out[PNL])


def _order(
    state: State, out: MutableSequence[float], side: float, quantity: float, atr: float
) -> None:
    """Order an entry at the next open, unless a guard blocks it."""
    guard = blocking_guard(state)
    if guard == 0.0 and not quantity > 0.0:
        guard = float(Guard.NOTIONAL.value)
    out[BLOCKED] = guard
    if guard == 0.0:
        state[fills.PENDING_SIDE] = side
        state[fills.PENDING_QUANTITY] = quantity
        state[fills.PENDING_ATR] = atr
        out[ORDER] = side
        out[ORDER_QUANTITY] = quantity


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
    _check_rows(rows, state[fills.LAST_CLOSE_MS])
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
        _check_row(values, self._state[fills.LAST_CLOSE_MS])
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
    closed = np.flatnonzero(out[:, EXIT_REASON])
    table = np.zeros(len(closed), dtype=TRADE_DTYPE)
    table["exit_time_ms"] = rows[closed, OPEN_TIME_MS]
    for name, slot in {
        "entry_time_ms": TRADE_ENTRY_MS,
        "side": TRADE_SIDE,
        "quantity": TRADE_QUANTITY,
        "entry_price": TRADE_ENTRY_PRICE,
        "exit_price": EXIT_PRICE,
        "fees": TRADE_FEES,
        "funding": TRADE_FUNDING,
        "pnl": PNL,
        "exit_reason": EXIT_REASON,
    }.items():
        table[name] = out[closed, slot]
    return table


def _checked_state(state: NDArray[np.float64]) -> NDArray[np.float64]:
    if state.shape != (STATE_SIZE,) or state.dtype != np.float64 or not np.isfinite(state).all():
        raise ValueError(
            f"trading state: found {state.dtype}{list(state.shape)},"
            f" expected finite float64[{STATE_SIZE}]"
        )
    return state


def _check_rows(rows: NDArray[np.float64], last_close_ms: float) -> None:
    width = len(INPUT_FIELDS)
    if rows.ndim != 2 or rows.shape[1] != width or rows.dtype != np.float64:
        raise ValueError(
            f"trading rows: found {rows.dtype}{list(rows.shape)}, expected float64[n, {width}]"
        )
    bad = compiled(_first_bad_row)(np.ascontiguousarray(rows), last_close_ms)
    if bad >= 0:
        _check_row(rows[bad].tolist(), rows[bad - 1, CLOSE_TIME_MS] if bad else last_close_ms)


def _first_bad_row(rows: NDArray[np.float64], last_close_ms: float) -> int:
    last = last_close_ms
    for i in range(len(rows)):
        if not row_is_sound(rows[i], last):
            return i
        last = rows[i, CLOSE_TIME_MS]
    return -1


def row_is_sound(row: Sequence[float], last_close_ms: float) -> bool:
    """Say whether time moves forward and the prices are finite, positive and within low..high."""
    return (
        last_close_ms <= row[OPEN_TIME_MS] < row[CLOSE_TIME_MS] < math.inf
        and row[LOW] > 0.0
        and row[LOW] <= row[OPEN] <= row[HIGH]
        and row[LOW] <= row[CLOSE] <= row[HIGH] < math.inf
    )


def _check_row(row: Sequence[float], last_close_ms: float) -> None:
    if len(row) != len(INPUT_FIELDS):
        raise ValueError(f"trading row: found {len(row)} values, expected {len(INPUT_FIELDS)}")
    if not row_is_sound(row, last_close_ms):
        raise ValueError(
            f"trading row: found times and prices {list(row[: CLOSE + 1])},"
            f" expected to open at or after {last_close_ms:.0f} and to close later, and finite"
            " positive prices with low <= open, close <= high"
        )
