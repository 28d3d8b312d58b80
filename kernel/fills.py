"""Simulated fills of one position: entry at the next open, barriers in the bar, funding, horizon.

Every fill takes liquidity: it pays half the spread and the slippage in the price, and the fee on
top. A bar that touches both barriers counts as stopped. A stop that the market jumped over fills at
the open, a target that it jumped over fills at the target: the worse price in both cases.
"""

import math
from enum import IntEnum

from kernel.risk import RISK_SIZE, State

FUNDING_INTERVAL_MS = 28_800_000.0
BPS = 1e-4

# Slots of the position part of the trading state, after those of kernel.risk.
CASH = RISK_SIZE
LAST_OPEN_MS = RISK_SIZE + 1
PENDING_SIDE = RISK_SIZE + 2
PENDING_QUANTITY = RISK_SIZE + 3
PENDING_ATR = RISK_SIZE + 4
SIDE = RISK_SIZE + 5
QUANTITY = RISK_SIZE + 6
ENTRY_PRICE = RISK_SIZE + 7
ENTRY_MS = RISK_SIZE + 8
TAKE_PROFIT = RISK_SIZE + 9
STOP_LOSS = RISK_SIZE + 10
BARS_HELD = RISK_SIZE + 11
FEES = RISK_SIZE + 12
FUNDING = RISK_SIZE + 13
STATE_SIZE = RISK_SIZE + 14


class ExitReason(IntEnum):
    """What closed a trade; 0 means that none was closed."""

    NONE = 0
    STOP_LOSS = 1
    TAKE_PROFIT = 2
    HORIZON = 3


def fill_price(price: float, direction: float, cost_bps: float) -> float:
    """Return the price with costs: above `price` when buying (+1), below it when selling (-1)."""
    return price * (1.0 + direction * cost_bps * BPS)


def open_pending(
    state: State,
    open_time_ms: float,
    open_price: float,
    take_profit_atr: float,
    stop_loss_atr: float,
    cost_bps: float,
    fee_bps: float,
) -> None:
    """Fill the order of the previous close at this bar's open.

    Barriers stand around the open itself, as the labels have them; the cost of the fill is in the
    entry price.
    """
    side = state[PENDING_SIDE]
    atr = state[PENDING_ATR]
    price = fill_price(open_price, side, cost_bps)
    fee = price * state[PENDING_QUANTITY] * fee_bps * BPS
    state[SIDE] = side
    state[QUANTITY] = state[PENDING_QUANTITY]
    state[ENTRY_PRICE] = price
    state[ENTRY_MS] = open_time_ms
    state[TAKE_PROFIT] = open_price + side * take_profit_atr * atr
    state[STOP_LOSS] = open_price - side * stop_loss_atr * atr
    state[BARS_HELD] = 0.0
    state[FEES] = fee
    state[FUNDING] = 0.0
    state[CASH] -= fee
    state[PENDING_SIDE] = 0.0


def settle_funding(state: State, open_time_ms: float, open_price: float, rate: float) -> float:
    """Return the funding paid (negative: received) by the position held into this bar's open.

    Settlements are at 00:00, 08:00 and 16:00 UTC (Binance USDⓈ-M contract rules); one that falls
    into missing bars is settled at the next bar. A position opened at this very open pays nothing;
    an unknown rate is 0.
    """
    settlements = float(math.floor(open_time_ms / FUNDING_INTERVAL_MS)) - float(
        math.floor(state[LAST_OPEN_MS] / FUNDING_INTERVAL_MS)
    )
    if settlements <= 0.0 or math.isnan(rate):
        return 0.0
    paid = state[SIDE] * state[QUANTITY] * open_price * rate * settlements
    state[FUNDING] += paid
    state[CASH] -= paid
    return paid


def exit_of(
    side: float,
    open_price: float,
    high: float,
    low: float,
    close: float,
    take_profit: float,
    stop_loss: float,
    at_horizon: bool,
) -> tuple[float, float]:
    """Return (reason code, price before costs) of the exit inside this bar, (0, 0) for none."""
    worst = low if side > 0.0 else high
    best = high if side > 0.0 else low
    if side * (worst - stop_loss) <= 0.0:
        gapped = side * (open_price - stop_loss) < 0.0
        return float(ExitReason.STOP_LOSS.value), open_price if gapped else stop_loss
    if side * (best - take_profit) >= 0.0:
        return float(ExitReason.TAKE_PROFIT.value), take_profit
    if at_horizon:
        return float(ExitReason.HORIZON.value), close
    return 0.0, 0.0


def hold(
    state: State, open_price: float, high: float, low: float, close: float, horizon_bars: float
) -> tuple[float, float]:
    """Hold the position through a bar; return its exit like `exit_of`, without closing it yet."""
    state[BARS_HELD] += 1.0
    return exit_of(
        state[SIDE],
        open_price,
        high,
        low,
        close,
        state[TAKE_PROFIT],
        state[STOP_LOSS],
        state[BARS_HELD] >= horizon_bars,
    )


def close_position(state: State, filled: float, fee_bps: float) -> float:
    """Close the position at a fill price; return the trade's profit net of all fees and funding."""
    fee = filled * state[QUANTITY] * fee_bps * BPS
    gross = state[SIDE] * state[QUANTITY] * (filled - state[ENTRY_PRICE])
    state[FEES] += fee
    state[CASH] += gross - fee
    state[SIDE] = 0.0
    return gross - state[FEES] - state[FUNDING]


def equity_at(state: State, price: float) -> float:
    """Return cash plus the open position marked at the price, exit costs not yet taken."""
    return state[CASH] + state[SIDE] * state[QUANTITY] * (price - state[ENTRY_PRICE])
