"""Whether a buyer follows a buyer: the lag-1 autocorrelation of trade signs over a day of bars."""

from kernel.features.bounds import NAN
from kernel.features.microstructure_window import RING, WINDOW, idle
from kernel.features.recursions import (
    SIGN_PAIR_SUM,
    SIGN_SUM,
    TRADE_COUNT,
    Observation,
    State,
    clip,
)
from kernel.features.windows import full, push

_MOST_TRADES = 1e12  # 96 such counts add up to less than 2^53: their totals are exact

_COUNTS = 1
_SUMS = _COUNTS + RING
_PAIRS = _SUMS + RING
_COUNT_TOTAL = _PAIRS + RING
_SUM_TOTAL = _COUNT_TOTAL + 1
_PAIR_TOTAL = _SUM_TOTAL + 1
SIGN_SLOTS = _PAIR_TOTAL + 1


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
    """Return the correlation of a trade's sign with that of the one before it in the same bar.

    All that is added up are whole numbers: the running totals are exact.
    """
    if idle(state, at, known):
        _start_anew(state, at)
    if not known:
        return NAN
    _replace(state, at + _COUNT_TOTAL, at + _COUNTS, obs[TRADE_COUNT])
    _replace(state, at + _SUM_TOTAL, at + _SUMS, obs[SIGN_SUM])
    _replace(state, at + _PAIR_TOTAL, at + _PAIRS, obs[SIGN_PAIR_SUM])
    pairs = state[at + _COUNT_TOTAL] - WINDOW
    mean = state[at + _SUM_TOTAL] / state[at + _COUNT_TOTAL]
    variance = 1.0 - mean * mean
    if not (full(state, at + _COUNTS, WINDOW) and pairs > 0.0 and variance > 0.0):
        return NAN
    return clip((state[at + _PAIR_TOTAL] / pairs - mean * mean) / variance, -1.0, 1.0)


def _start_anew(state: State, at: int) -> None:
    for slot in (_COUNTS, _SUMS, _PAIRS, _COUNT_TOTAL, _SUM_TOTAL, _PAIR_TOTAL):
        state[at + slot] = 0.0


def _replace(state: State, total: int, ring: int, x: float) -> None:
    """Put `x` in the place of the oldest value, in the ring and in its running total."""
    if full(state, ring, WINDOW):
        state[total] -= state[ring + 1 + int(state[ring]) % WINDOW]
    state[total] += x
    push(state, ring, WINDOW, x)
