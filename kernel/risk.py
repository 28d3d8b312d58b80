"""Guards that block new entries, and the size of an entry that they let through.

A guard never closes a position; it blocks the next one. A bar belongs to the UTC day and ISO week
in which it opens, and each window starts from the equity at the last close before it.
"""

import math
from collections.abc import MutableSequence
from enum import IntEnum

State = MutableSequence[float]

DAY_MS = 86_400_000.0

# Slots of the risk part of the trading state.
EQUITY = 0
DAY = 1
DAY_START = 2
DAY_TRIPPED = 3
WEEK = 4
WEEK_PEAK = 5
WEEK_TRIPPED = 6
SESSION_PEAK = 7
LOSSES = 8
PAUSE_LEFT = 9
PAUSE_REASON = 10
RISK_SIZE = 11


class Guard(IntEnum):
    """Which guard blocked an entry; 0 means that none did."""

    NONE = 0
    DAILY_LOSS = 1
    WEEKLY_DRAWDOWN = 2
    SESSION_DRAWDOWN = 3
    CONSECUTIVE_LOSSES = 4
    NOTIONAL = 5


def start(state: State, equity: float) -> None:
    """Set the risk slots for a fresh account; its windows open with the first bar."""
    for slot in range(RISK_SIZE):
        state[slot] = 0.0
    state[EQUITY] = equity
    state[DAY] = -1.0
    state[WEEK] = -1.0
    state[SESSION_PEAK] = equity


def roll_windows(state: State, open_time_ms: float) -> None:
    """Open a new day at 00:00 UTC and a new week on Monday 00:00 UTC, from the last equity."""
    day = float(math.floor(open_time_ms / DAY_MS))
    if day == state[DAY]:
        return
    state[DAY] = day
    state[DAY_START] = state[EQUITY]
    state[DAY_TRIPPED] = 0.0
    week = float(math.floor((day + 3.0) / 7.0))  # 1970-01-01 was a Thursday
    if week != state[WEEK]:
        state[WEEK] = week
        state[WEEK_PEAK] = state[EQUITY]
        state[WEEK_TRIPPED] = 0.0


def count_trade(state: State, pnl: float) -> None:
    """Count a closed trade: a loss lengthens the losing streak, anything else ends it."""
    state[LOSSES] = state[LOSSES] + 1.0 if pnl < 0.0 else 0.0


def watch(
    state: State,
    equity: float,
    max_daily_loss: float,
    max_weekly_drawdown: float,
    max_session_drawdown: float,
    max_consecutive_losses: float,
    pause_bars: float,
) -> None:
    """Mark the equity at a close and trip every guard whose limit it reaches.

    Daily and weekly guards stay tripped until their window ends. A session ends with a breaker
    (session drawdown or losing streak): `pause_bars` decisions are blocked, this bar's included;
    then a new session starts from the equity of that moment with no losses counted.
    """
    state[EQUITY] = equity
    state[WEEK_PEAK] = max(state[WEEK_PEAK], equity)
    if state[DAY_START] - equity >= max_daily_loss * state[DAY_START]:
        state[DAY_TRIPPED] = 1.0
    if state[WEEK_PEAK] - equity >= max_weekly_drawdown * state[WEEK_PEAK]:
        state[WEEK_TRIPPED] = 1.0
    if state[PAUSE_LEFT] > 0.0:
        state[PAUSE_LEFT] -= 1.0
        if state[PAUSE_LEFT] > 0.0:
            return
        state[PAUSE_REASON] = 0.0
        state[SESSION_PEAK] = equity
        state[LOSSES] = 0.0
    state[SESSION_PEAK] = max(state[SESSION_PEAK], equity)
    if state[SESSION_PEAK] - equity >= max_session_drawdown * state[SESSION_PEAK]:
        state[PAUSE_LEFT] = pause_bars
        state[PAUSE_REASON] = float(Guard.SESSION_DRAWDOWN.value)
    elif state[LOSSES] >= max_consecutive_losses:
        state[PAUSE_LEFT] = pause_bars
        state[PAUSE_REASON] = float(Guard.CONSECUTIVE_LOSSES.value)


def blocking_guard(state: State) -> float:
    """Return the code of the first tripped guard, 0 when an entry may go ahead."""
    if state[DAY_TRIPPED] > 0.0:
        return float(Guard.DAILY_LOSS.value)
    if state[WEEK_TRIPPED] > 0.0:
        return float(Guard.WEEKLY_DRAWDOWN.value)
    return state[PAUSE_REASON]


def size(
    equity: float,
    price: float,
    atr: float,
    stop_loss_atr: float,
    risk_per_trade: float,
    max_notional_fraction: float,
) -> float:
    """Return the quantity that loses `risk_per_trade` of equity at the stop, within the cap.

    Both prices are those of the decision's close. 0 when equity leaves nothing to trade with.
    """
    distance = stop_loss_atr * atr
    if not (equity > 0.0 and price > 0.0 and distance > 0.0):
        return 0.0
    return min(equity * risk_per_trade / distance, equity * max_notional_fraction / price)
