"""Recursions that several groups share.

Each keeps its memory in a few slots of the group's state, from slot `at`. Only + - * / and square
root appear, which IEEE 754 defines to the last bit: the same bytes on every machine, compiled or
not. NaN is never an operand and is only ever written as the one constant `NAN`.
"""

from collections.abc import MutableSequence, Sequence
from math import sqrt

from kernel.features.bounds import NAN

State = MutableSequence[float]
Observation = Sequence[float]
Out = MutableSequence[float]

BAR_MS = 900_000

OPEN_TIME = 0
OPEN = 1
HIGH = 2
LOW = 3
CLOSE = 4
VOLUME = 5
FUNDING_RATE = 6
OPEN_INTEREST = 7
FEAR_GREED = 8
EXCHANGE_NET_FLOW = 9
MVRV = 10
ACTIVE_ADDRESSES = 11
TRANSACTIONS = 12
HASH_RATE = 13
FEES = 14
MARK_CLOSE = 15
INDEX_CLOSE = 16
BTC_CLOSE = 17
TRADE_COUNT = 18
BUY_VOLUME = 19
SELL_VOLUME = 20
SIGN_SUM = 21
SIGN_PAIR_SUM = 22
BEST_BID = 23
BEST_ASK = 24
BEST_BID_QUANTITY = 25
BEST_ASK_QUANTITY = 26
BID_QUANTITY_100 = 27
ASK_QUANTITY_100 = 28
ORDER_FLOW = 29
MINUTES = (
    30  # where the 15 one-minute bars begin, oldest first, each (open, high, low, close, volume)
)
MINUTE_WIDTH = 5
MINUTES_IN_BAR = 15
EXCHANGE_NET_FLOW_TIME = 105
MVRV_TIME = 106
ACTIVE_ADDRESSES_TIME = 107
TRANSACTIONS_TIME = 108
HASH_RATE_TIME = 109
FEES_TIME = 110
FUNDING_HOURS_EARLIER = 111  # where the rates of the last 24 full hours begin, latest first

AVERAGE_SLOTS = 2
RSI_SLOTS = 1 + 2 * AVERAGE_SLOTS

_TWO_512 = 1.3407807929942597e154
_SQRT_2 = 1.4142135623730951
_SQRT_HALF = 0.7071067811865476
_LN_2_HIGH = 0.693147180369123816490  # the leading 32 bits of ln 2, so that exponents times it
_LN_2_LOW = 1.90821492927058770002e-10  # are exact, and the rest of it


def average(state: State, at: int, x: float, bars: int, weight: float) -> float:
    """Return the exponential average of `x`, started as the plain mean of its first `bars` values.

    `weight` is that of the newest value: 2 / (n + 1) for an EMA, 1 / n for Wilder's. `state[at]`
    counts the values; the result is warm once it reaches `bars`.
    """
    count = state[at] + 1.0
    value = state[at + 1]
    if count <= bars:
        value += (x - value) / count
    else:
        value += (x - value) * weight
    state[at] = count
    state[at + 1] = value
    return value


def rsi(state: State, at: int, close: float, bars: int) -> float:
    """Return Wilder's relative strength index, 0..100, of the closes; NaN until `bars` changes were
    seen.

    Without any movement it is 50: gains and losses weigh the same.
    """
    previous = state[at]
    state[at] = close
    if previous == 0.0:
        return NAN
    change = close - previous
    gain = average(state, at + 1, change if change > 0.0 else 0.0, bars, 1.0 / bars)
    loss = average(state, at + 3, -change if change < 0.0 else 0.0, bars, 1.0 / bars)
    if state[at + 1] < bars:
        return NAN
    total = gain + loss
    return 100.0 * (gain / total) if total > 0.0 else 50.0


def true_range(high: float, low: float, previous_close: float) -> float:
    """Return Wilder's true range in price units."""
    return max(high, previous_close) - min(low, previous_close)


def clip(x: float, low: float, high: float) -> float:
    """Return `x` held within low..high."""
    return min(max(x, low), high)


def log(x: float) -> float:
    """Return the natural logarithm within 1 unit in the last place; NaN unless 0 < x < 1.7e308.

    A C library's logarithm may differ in the last bit from one processor to the next. `x` is scaled
    by powers of two, which is exact, to m within sqrt(1/2)..sqrt(2); with f = m - 1 and
    s = f / (2 + f), ln m = 2 artanh(s) is the series in s to the 23rd power, summed about f so that
    the last bits of s do not count (Ng's arrangement, fdlibm e_log.c).
    """
    if not 0.0 < x < 1.7e308:
        return NAN
    twos = 0.0
    if not _SQRT_HALF < x < _SQRT_2:
        while x < 1.0:
            x *= _TWO_512
            twos -= 512.0
        factor = _TWO_512
        steps = 512.0
        while steps >= 1.0:
            if x >= factor:
                x /= factor
                twos += steps
            factor = sqrt(factor)
            steps *= 0.5
        if x > _SQRT_2:
            x *= 0.5
            twos += 1.0
    f = x - 1.0
    s = f / (2.0 + f)
    rest = _artanh_rest(s * s)
    half = 0.5 * f * f
    return twos * _LN_2_HIGH - ((half - (s * (half + rest) + twos * _LN_2_LOW)) - f)


def _artanh_rest(z: float) -> float:
    """Return 2 artanh(s) / s - 2 for z = s * s: 2 z / 3 + 2 z^2 / 5 + ... + 2 z^11 / 23."""
    total = 2.0 / 23.0
    total = 2.0 / 21.0 + z * total
    total = 2.0 / 19.0 + z * total
    total = 2.0 / 17.0 + z * total
    total = 2.0 / 15.0 + z * total
    total = 2.0 / 13.0 + z * total
    total = 2.0 / 11.0 + z * total
    total = 2.0 / 9.0 + z * total
    total = 2.0 / 7.0 + z * total
    total = 2.0 / 5.0 + z * total
    total = 2.0 / 3.0 + z * total
    return z * total
