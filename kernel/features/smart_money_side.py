"""One side of the market: its swing highs, the closes beyond them, and the zones they leave behind.

The other side is the same with every price negated: its highs are the market's lows. All of it
exists from the close of the bar that shows it, is never written back to an earlier one, and ends
`LIFE_BARS` later. Bars are numbered from 1. A side takes `SIDE_SLOTS` slots from `at`.
"""

from kernel.features.recursions import State
from kernel.features.smart_money_zones import (
    ZONES_SLOTS,
    add,
    trade_into,
    trade_through,
)
from kernel.features.windows import back, push

SWING_BARS = 10  # on either side of a swing
SWINGS = 16  # earlier ones that a new swing is compared with
POOL_ATRS = 0.25  # swings within so many ATR14 of each other hold one pool
CANDLE_BARS = 16  # a block's candle is one of so many bars before the break
# A week. Of the bars of BTCUSDT 2023-2025 with a zone within 10 ATR14 when none ever ends, 81 to
# 96 % (by kind and side) keep it, with four weeks 94 to 100 %; price moved no differently at the
# older ones, and each bar more makes the warm-up two bars longer. No break was of a swing or a
# trend older than two days.
LIFE_BARS = 672
_RING_BARS = 2 * SWING_BARS + 1
_PEAKS = 0
_LEVEL = _RING_BARS
_KNOWN = _LEVEL + 1
_CANDLE = _KNOWN + 1
_CANDLE_LOW = _CANDLE + 1
_CANDLE_HIGH = _CANDLE_LOW + 1
_SWINGS = _CANDLE_HIGH + 1
_SWINGS_KNOWN = _SWINGS + 1 + SWINGS
BLOCKS = _SWINGS_KNOWN + 1 + SWINGS
GAPS = BLOCKS + ZONES_SLOTS
POOLS = GAPS + ZONES_SLOTS
SIDE_SLOTS = POOLS + ZONES_SLOTS


def advance(
    state: State, at: int, now: float, close: float, high: float, low: float, atr: float
) -> bool:
    """Take in bar number `now`; return whether its close breaks the last swing high.

    A swing is broken once. `atr` is NaN while there is none, which is before the first swing.
    """
    expired = max(now - LIFE_BARS, 0.0)
    trade_through(state, at + BLOCKS, low, expired)
    trade_into(state, at + GAPS, low, expired)
    trade_through(state, at + POOLS, -high, expired)
    ring = at + _PEAKS
    bar = int(now)
    if bar > 2 and low > state[ring + (bar - 2) % _RING_BARS]:
        add(state, at + GAPS, state[ring + (bar - 2) % _RING_BARS], low, now, 0.0)
    state[ring + bar % _RING_BARS] = high
    if bar > 2 * SWING_BARS and _is_swing(state, ring, bar):
        level = state[ring + (bar - SWING_BARS) % _RING_BARS]
        _confirm(state, at, now, level, POOL_ATRS * atr, expired)
    breaks = close > state[at + _LEVEL] and state[at + _KNOWN] > expired
    if breaks:
        state[at + _KNOWN] = 0.0
    return breaks


def add_block(state: State, at: int, now: float, strength: float) -> None:
    """Make the last falling candle an order block, unless it is one already or too old."""
    if state[at + _CANDLE] > max(now - CANDLE_BARS - 1.0, 0.0):
        state[at + _CANDLE] = 0.0
        low = state[at + _CANDLE_LOW]
        high = state[at + _CANDLE_HIGH]
        add(state, at + BLOCKS, low, high, now, strength)


def remember_falling(state: State, at: int, now: float, low: float, high: float) -> None:
    """Keep the latest falling candle: the next order block, should a swing break."""
    state[at + _CANDLE] = now
    state[at + _CANDLE_LOW] = low
    state[at + _CANDLE_HIGH] = high


def _is_swing(state: State, ring: int, bar: int) -> bool:
    """Return whether the high 10 bars back is above the 10 before it and not below the 10 after."""
    middle = bar - SWING_BARS
    level = state[ring + middle % _RING_BARS]
    for i in range(1, SWING_BARS + 1):
        if (
            state[ring + (middle + i) % _RING_BARS] > level
            or state[ring + (middle - i) % _RING_BARS] >= level
        ):
            return False
    return True


def _confirm(
    state: State, at: int, now: float, level: float, tolerance: float, expired: float
) -> None:
    """Make `level` the swing to break, and a pool with the earlier swings beside it."""
    pool, paired = _pool(state, at, level, tolerance, expired)
    if paired:
        add(state, at + POOLS, -pool, -pool, now, 0.0)
    push(state, at + _SWINGS, SWINGS, level)
    push(state, at + _SWINGS_KNOWN, SWINGS, now)
    state[at + _LEVEL] = level
    state[at + _KNOWN] = now


def _pool(
    state: State, at: int, level: float, tolerance: float, expired: float
) -> tuple[float, bool]:
    """Return the highest of `level` and the earlier swings within `tolerance` of it, and whether
    there are any.

    What came before a higher swing is swept and does not count, nor what was known at bar `expired`
    or before.
    """
    pool = level
    paired = False
    for ago in range(min(int(state[at + _SWINGS]), SWINGS)):
        earlier = back(state, at + _SWINGS, SWINGS, ago)
        if earlier - level > tolerance or back(state, at + _SWINGS_KNOWN, SWINGS, ago) <= expired:
            break
        if level - earlier <= tolerance:
            pool = max(pool, earlier)
            paired = True
    return pool, paired
