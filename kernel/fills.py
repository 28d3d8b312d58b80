"""Simulated fills of one position: entry at the next open, barriers in the bar, funding, horizon.

Every fill takes liquidity: it pays half the spread and the slippage in the price, and the fee on
top. A bar that touches both barriers counts as stopped. A stop that the market jumped over fills at
the open, a target that it jumped over fills at the target: the worse price in both cases.
"""

import math
from collections.abc import Sequence
from enum import IntEnum

from kernel.risk import RISK_SIZE, State

HOUR_MS = 3_600_000.0
BPS = 1e-4

# Slots of the position part of the trading state, after those of kernel.risk.
CASH = RISK_SIZE
LAST_CLOSE_MS = RISK_SIZE + 1
PENDING_SIDE = RISK_SIZE + 2
PENDING_QUANTITY = RISK_SIZE + 3
PENDING_ATR = RISK_SIZE + 4
SIDE = RISK_SIZE + 5
QUANTITY = RISK_SIZE + 6
ENTRY_PRICE = RISK_SIZE + 7
ENTRY_MS = RISK_SIZE + 8
TAKE_PROFIT = RISK_SIZE + 9
STOP_LOSS = RISK_SIZE + 10
SETTLED_MS = RISK_SIZE + 11
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
    state[SETTLED_MS] = open_time_ms
    state[FEES] = fee
    state[FUNDING] = 0.0
    state[CASH] -= fee
    state[PENDING_SIDE] = 0.0


def settle_funding(
    state: State,
    rates: Sequence[float],
    first: int,
    close_time_ms: float,
    until_ms: float,
    open_price: float,
    costs_only: bool,
) -> float:
    """Return the funding paid (negative: received) for what settled after the last one counted.

    `rates[first:]` are those of the full hours before the close, latest first, NaN where nothing
    settled or it is not known yet. Each hour up to `until_ms` that the position was held at is
    charged once, at its own rate, on the notional at this bar's open: also one that became known
    late, or fell into missing bars. A position opened at a settlement pays nothing then.
    `costs_only` leaves out what would be received.
    """
    latest_ms = (math.ceil(close_time_ms / HOUR_MS) - 1.0) * HOUR_MS
    notional = state[SIDE] * state[QUANTITY] * open_price
    counted_ms = state[SETTLED_MS]
    paid = 0.0
    settled_ms = latest_ms
    for at in range(first, len(rates)):
        if settled_ms <= state[SETTLED_MS]:
            break
        if settled_ms <= until_ms and not math.isnan(rates[at]):
            counted_ms = max(counted_ms, settled_ms)
            if not costs_only or notional * rates[at] > 0.0:
                paid += notional * rates[at]
        settled_ms -= HOUR_MS
    state[SETTLED_MS] = counted_ms
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
    state: State,
    open_time_ms: float,
    close_time_ms: float,
    open_price: float,
    high: float,
    low: float,
    close: float,
    horizon_bars: float,
) -> tuple[float, float]:
    """Return the exit of the position in this bar like `exit_of`, without closing it yet.

    The horizon is time: a position whose horizon ended where bars are missing leaves at the open of
    the next bar.
    """
    ends_ms = state[ENTRY_MS] + horizon_bars * (close_time_ms - open_time_ms)
    if open_time_ms >= ends_ms:
        high = open_price
        low = open_price
        close = open_price
    return exit_of(
        state[SIDE],
        open_price,
        high,
        low,
        close,
        state[TAKE_PROFIT],
        state[STOP_LOSS],
        close_time_ms >= ends_ms,
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
