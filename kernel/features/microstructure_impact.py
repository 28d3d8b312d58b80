"""How far volume moves price: Kyle's lambda from signed volume, Amihud's ratio from all volume."""

from kernel.features.bounds import NAN
from kernel.features.microstructure_window import RING, WINDOW, bounded_ratio, idle
from kernel.features.recursions import (
    BUY_VOLUME,
    CLOSE,
    OPEN,
    SELL_VOLUME,
    VOLUME,
    Observation,
    State,
)
from kernel.features.windows import full, push

IMPACT_CAP = 1e6  # the price doubles with each unit of quote
_MILLION = 1e6
_LEAST_VARIATION = 1e-9  # a variance below this share of the mean square is rounding

_RETURNS = 1
_SIGNED = _RETURNS + RING
KYLE_SLOTS = _SIGNED + RING
_IMPACTS = 1
AMIHUD_SLOTS = _IMPACTS + RING


def kyle_lambda(state: State, at: int, obs: Observation, known: bool) -> float:
    """Return the slope of the bars' returns on their signed volume."""
    if idle(state, at, known):
        state[at + _RETURNS] = 0.0
        state[at + _SIGNED] = 0.0
    if not known:
        return NAN
    push(state, at + _RETURNS, WINDOW, obs[CLOSE] / obs[OPEN] - 1.0)
    push(state, at + _SIGNED, WINDOW, (obs[BUY_VOLUME] - obs[SELL_VOLUME]) * obs[CLOSE])
    return _slope(state, at) if full(state, at + _SIGNED, WINDOW) else NAN


def _slope(state: State, at: int) -> float:
    returns = state[at + _RETURNS + 1 : at + _RETURNS + RING]
    signed = state[at + _SIGNED + 1 : at + _SIGNED + RING]
    x_sum = y_sum = xx = xy = 0.0
    for i in range(WINDOW):
        x = signed[i]
        y = returns[i]
        x_sum += x
        y_sum += y
        xx += x * x
        xy += x * y
    variation = xx - x_sum * x_sum / WINDOW
    if not variation > _LEAST_VARIATION * xx:
        return NAN
    return bounded_ratio(_MILLION * (xy - x_sum * y_sum / WINDOW), variation, IMPACT_CAP)


def amihud(state: State, at: int, obs: Observation) -> float:
    """Return the mean of |return| per million of quote volume over the bars that traded."""
    close = obs[CLOSE]
    previous = state[at]
    state[at] = close
    if previous == 0.0:
        return NAN
    quote = close * obs[VOLUME]
    move = _MILLION * abs(close / previous - 1.0)
    impact = bounded_ratio(move, quote, IMPACT_CAP) if quote > 0.0 else -1.0
    push(state, at + _IMPACTS, WINDOW, impact)
    return _mean_impact(state, at) if full(state, at + _IMPACTS, WINDOW) else NAN


def _mean_impact(state: State, at: int) -> float:
    """Return the mean of the impacts; -1 stands for a bar without volume."""
    impacts = state[at + _IMPACTS + 1 : at + _IMPACTS + RING]
    traded = 0
    result = 0.0
    for i in range(WINDOW):
        if impacts[i] >= 0.0:
            result += impacts[i]
            traded += 1
    return min(result / traded, IMPACT_CAP) if traded > 0 else NAN
