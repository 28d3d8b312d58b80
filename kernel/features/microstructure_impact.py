"""How far volume moves price: Kyle's lambda from signed volume, Amihud's ratio from all volume."""

from kernel.features.bounds import NAN
from kernel.features.microstructure_window import (
    RING,
    WINDOW,
    WINDOW_SLOTS,
    bounded_ratio,
    hold,
)
from kernel.features.recursions import (
    BUY_VOLUME,
    CLOSE,
    OPEN,
    SELL_VOLUME,
    VOLUME,
    Observation,
    State,
)
from kernel.features.windows import sliding_total

IMPACT_CAP = 1e6  # the price doubles with each unit of quote
_MILLION = 1e6
_LEAST_VARIATION = 1e-9  # a variance below this share of the mean square is rounding

_X = WINDOW_SLOTS
_Y = _X + RING
_XX = _Y + RING
_XY = _XX + RING
KYLE_SLOTS = _XY + RING
_PREVIOUS_CLOSE = WINDOW_SLOTS
_IMPACTS = _PREVIOUS_CLOSE + 1
_TRADED = _IMPACTS + RING
AMIHUD_SLOTS = _TRADED + RING


def kyle_lambda(state: State, at: int, obs: Observation, known: bool) -> float:
    """Return the slope of the bars' returns on their signed volume."""
    full = hold(state, at, KYLE_SLOTS, known)
    if not known:
        return NAN
    x = (obs[BUY_VOLUME] - obs[SELL_VOLUME]) * obs[CLOSE]
    y = obs[CLOSE] / obs[OPEN] - 1.0
    x_sum = sliding_total(state, at + _X, WINDOW, x)
    y_sum = sliding_total(state, at + _Y, WINDOW, y)
    xx = sliding_total(state, at + _XX, WINDOW, x * x)
    xy = sliding_total(state, at + _XY, WINDOW, x * y)
    variation = xx - x_sum * x_sum / WINDOW
    if not (full and variation > _LEAST_VARIATION * xx):
        return NAN
    return bounded_ratio(_MILLION * (xy - x_sum * y_sum / WINDOW), variation, IMPACT_CAP)


def amihud(state: State, at: int, obs: Observation) -> float:
    """Return the mean of |return| per million of quote volume over the bars that traded."""
    close = obs[CLOSE]
    previous = state[at + _PREVIOUS_CLOSE]
    state[at + _PREVIOUS_CLOSE] = close
    if previous == 0.0:
        return NAN
    full = hold(state, at, AMIHUD_SLOTS, True)
    quote = close * obs[VOLUME]
    move = _MILLION * abs(close / previous - 1.0)
    impact = bounded_ratio(move, quote, IMPACT_CAP) if quote > 0.0 else 0.0
    impacts = sliding_total(state, at + _IMPACTS, WINDOW, impact)
    traded = sliding_total(state, at + _TRADED, WINDOW, 1.0 if quote > 0.0 else 0.0)
    return min(impacts / traded, IMPACT_CAP) if full and traded > 0.0 else NAN
