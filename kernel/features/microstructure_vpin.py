"""VPIN: how one-sided the last 50 equal buckets of volume were, on a clock that volume drives."""

from kernel.features.bounds import NAN
from kernel.features.microstructure_window import WINDOW, idle
from kernel.features.recursions import AVERAGE_SLOTS, State, average
from kernel.features.windows import full, push, total

BUCKETS = 50
WARMUP_BARS = 288
_MONTH = 2_880

_SEEN = 0
_IDLE = 1
_VOLUME = 2
_SIZE = _VOLUME + AVERAGE_SLOTS
_FILLED = _SIZE + 1
_SIGNED = _FILLED + 1
_RING = _SIGNED + 1
VPIN_SLOTS = _RING + 1 + BUCKETS


def vpin(state: State, at: int, volume: float, bought: float, sold: float, known: bool) -> float:
    """Return VPIN after a bar, NaN without known sides, before 288 bars or under 50 full buckets.

    `volume` of every bar drives the size of new buckets; `bought` and `sold` fill them, spread over
    the bar in equal shares.
    """
    size = WINDOW * average(state, at + _VOLUME, volume, _MONTH, 1.0 / _MONTH) / BUCKETS
    state[at + _SEEN] = min(state[at + _SEEN] + 1.0, WARMUP_BARS)
    if idle(state, at + _IDLE, known):
        state[at + _RING] = 0.0
        state[at + _SIZE] = 0.0
    if not known:
        return NAN
    if state[at + _SEEN] >= WINDOW and size > 0.0:
        _fill(state, at, size, bought, sold)
    if state[at + _SEEN] < WARMUP_BARS or not full(state, at + _RING, BUCKETS):
        return NAN
    return total(state, at + _RING, BUCKETS) / BUCKETS


def _fill(state: State, at: int, size: float, bought: float, sold: float) -> None:
    rest = bought + sold
    lean = (bought - sold) / rest
    if rest >= BUCKETS * size:
        _fill_all(state, at, lean)
        return
    if state[at + _SIZE] == 0.0:
        _open(state, at, size)
    while rest > 0.0:
        room = state[at + _SIZE] - state[at + _FILLED]
        if rest < room:
            state[at + _FILLED] += rest
            state[at + _SIGNED] += lean * rest
            return
        one_sided = abs(state[at + _SIGNED] + lean * room) / state[at + _SIZE]
        push(state, at + _RING, BUCKETS, min(one_sided, 1.0))
        rest -= room
        _open(state, at, size)


def _open(state: State, at: int, size: float) -> None:
    state[at + _SIZE] = size
    state[at + _FILLED] = 0.0
    state[at + _SIGNED] = 0.0


def _fill_all(state: State, at: int, lean: float) -> None:
    """A bar of 50 buckets or more leaves nothing else: all are as one-sided as it."""
    for _ in range(BUCKETS):
        push(state, at + _RING, BUCKETS, abs(lean))
    state[at + _SIZE] = 0.0
