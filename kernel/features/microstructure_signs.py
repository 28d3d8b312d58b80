"""Whether a buyer follows a buyer: the lag-1 autocorrelation of trade signs over a day of bars."""

from kernel.features.bounds import NAN
from kernel.features.microstructure_window import RING, WINDOW, WINDOW_SLOTS, hold
from kernel.features.recursions import (
    SIGN_PAIR_SUM,
    SIGN_SUM,
    TRADE_COUNT,
    Observation,
    State,
    clip,
)
from kernel.features.windows import sliding_total

_MOST_TRADES = 1e12  # 96 such counts add up to less than 2^53: their totals are exact

_COUNTS = WINDOW_SLOTS
_SIGNS = _COUNTS + RING
_PAIRS = _SIGNS + RING
SIGN_SLOTS = _PAIRS + RING


def signs_known(obs: Observation) -> bool:
    """Return whether the bar's counts of signs are whole numbers that can be."""
    count = obs[TRADE_COUNT]
    return (
        1.0 <= count < _MOST_TRADES
        and abs(obs[SIGN_SUM]) <= count
        and abs(obs[SIGN_PAIR_SUM]) <= count - 1.0
        and count == int(count)
        and obs[SIGN_SUM] == int(obs[SIGN_SUM])
        and obs[SIGN_PAIR_SUM] == int(obs[SIGN_PAIR_SUM])
    )


def sign_autocorrelation(state: State, at: int, obs: Observation, known: bool) -> float:
    """Return the correlation of a trade's sign with that of the one before it in the same bar."""
    full = hold(state, at, SIGN_SLOTS, known)
    if not known:
        return NAN
    count = sliding_total(state, at + _COUNTS, WINDOW, obs[TRADE_COUNT])
    signs = sliding_total(state, at + _SIGNS, WINDOW, obs[SIGN_SUM])
    pairs = sliding_total(state, at + _PAIRS, WINDOW, obs[SIGN_PAIR_SUM])
    mean = signs / count
    variance = 1.0 - mean * mean
    if not (full and count > WINDOW and variance > 0.0):
        return NAN
    return clip((pairs / (count - WINDOW) - mean * mean) / variance, -1.0, 1.0)
