"""Which of four states the market is in, switched slowly so that nothing flickers."""

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    CLOSE,
    HIGH,
    LOW,
    Observation,
    Out,
    State,
    average,
    true_range,
)
from kernel.features.windows import push

REGIMES = ("STRONG_TREND", "RANGING", "VOLATILE", "CHOPPY")
STRONG_TREND = 0.0
RANGING = 1.0
VOLATILE = 2.0
CHOPPY = 3.0

# The roadmap has ADX on a scale of 0 to 1: 0.28 and 0.22.
_TREND_ABOVE = 28.0
_TREND_BELOW = 22.0
_VOLATILE_FROM = 0.75
_QUIET_BELOW = 0.40
_BARS_TO_SWITCH = 3.0
_WILDER_BARS = 14
_RANK_BARS = 96

_HIGH = 0
_LOW = 1
_CLOSE = 2
_RANGE = 3
_PLUS = 5
_MINUS = 7
_ADX = 9
# Three switches of two slots each: whether it is on, and for how many bars it should be otherwise.
_TREND = 11
_VOLATILE = 13
_QUIET = 15
_RANKED = 17
_SLOTS = _RANKED + _RANK_BARS


def step(state: State, obs: Observation, out: Out) -> None:
    """Write the regime's place in REGIMES, from Wilder's ADX and the rank of ATR within a day."""
    out[0] = NAN
    high = obs[HIGH]
    low = obs[LOW]
    previous_high = state[_HIGH]
    previous_low = state[_LOW]
    previous_close = state[_CLOSE]
    state[_HIGH] = high
    state[_LOW] = low
    state[_CLOSE] = obs[CLOSE]
    if previous_close == 0.0:
        return
    atr = average(
        state, _RANGE, true_range(high, low, previous_close), _WILDER_BARS, 1.0 / _WILDER_BARS
    )
    adx = _adx(state, high - previous_high, previous_low - low, atr)
    if state[_ADX] >= _WILDER_BARS:
        on = state[_TREND] == 1.0
        _switch(state, _TREND, adx < _TREND_BELOW if on else adx > _TREND_ABOVE)
    if state[_RANGE] < _WILDER_BARS:
        return
    rank = _rank(state, atr)
    if state[_RANKED] < _RANK_BARS:
        return
    _switch(state, _VOLATILE, (rank >= _VOLATILE_FROM) != (state[_VOLATILE] == 1.0))
    _switch(state, _QUIET, (rank < _QUIET_BELOW) != (state[_QUIET] == 1.0))
    if state[_RANKED] - _RANK_BARS >= _BARS_TO_SWITCH - 1.0:
        out[0] = _regime(state)


def _regime(state: State) -> float:
    if state[_VOLATILE] == 1.0:
        return VOLATILE
    if state[_TREND] == 1.0:
        return STRONG_TREND
    if state[_QUIET] == 1.0:
        return RANGING
    return CHOPPY


def _switch(state: State, at: int, otherwise: bool) -> None:
    """Turn the switch over once it should have been otherwise for three bars in a row."""
    state[at + 1] = state[at + 1] + 1.0 if otherwise else 0.0
    if state[at + 1] >= _BARS_TO_SWITCH:
        state[at] = 1.0 - state[at]
        state[at + 1] = 0.0


def _adx(state: State, up: float, down: float, span: float) -> float:
    """Return Wilder's ADX, 0..100, as the trend group has it; `state[_ADX]` counts its values."""
    weight = 1.0 / _WILDER_BARS
    plus = average(state, _PLUS, up if up > down and up > 0.0 else 0.0, _WILDER_BARS, weight)
    minus = average(state, _MINUS, down if down > up and down > 0.0 else 0.0, _WILDER_BARS, weight)
    if state[_RANGE] < _WILDER_BARS:
        return 0.0
    total = plus + minus
    moves = span > 0.0 and total > 0.0
    lead = 100.0 * (abs(plus - minus) / total) if moves else 0.0
    return average(state, _ADX, lead, _WILDER_BARS, weight)


def _rank(state: State, atr: float) -> float:
    """Return the rank of the ATR among its last 96 values with itself, ties averaged, 0..1."""
    halves = 2
    for i in range(_RANK_BARS - 1):
        before = state[_RANKED + 1 + i]
        if before <= atr:
            halves += 2 if before < atr else 1
    push(state, _RANKED, _RANK_BARS - 1, atr)
    return 0.5 * halves / _RANK_BARS


GROUP = Group(
    name="regime",
    step=step,
    state_size=_SLOTS,
    features=(
        Definition(
            name="regime",
            unit="code",
            low=0.0,
            high=3.0,
            formula=(
                "2 (VOLATILE) where the rank of ATR14 among its last 96 values is at least 0.75, "
                "else 0 (STRONG_TREND) where ADX14 is strong, else 1 (RANGING) where the rank is "
                "below 0.40, else 3 (CHOPPY); ADX becomes strong above 28 and weak below 22, and "
                "each of the three conditions changes only after three bars in a row that say so"
            ),
            source=(
                "NOVOSKY roadmap 22.6 (the four states) and 18.3 (hysteresis of 0.28 and 0.22, "
                "three bars), which takes the place of 22.6's 0.25 and 0.20"
            ),
            inputs=("high", "low", "close"),
            warmup_bars=112,
            missing="never",
        ),
    ),
)
