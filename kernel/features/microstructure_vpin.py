"""VPIN: how one-sided the last 50 equal buckets of volume were, on a clock that volume drives.

Volume may stop, so no number of bars ensures 50 full buckets. Over every start within the recorded
years (BTC and ETH, 2023 to 2025, where the sides do not matter) the 50th was full after 104 to 393
bars; the stated warm-up of five days lies beyond.
"""

from kernel.features.bounds import NAN
from kernel.features.microstructure_window import WINDOW, WINDOW_SLOTS, hold
from kernel.features.recursions import AVERAGE_SLOTS, State, average
from kernel.features.windows import sliding_total

BUCKETS = 50
WARMUP_BARS = 480
_MONTH = 2_880

_VOLUME = 0
_CLOCK = _VOLUME + AVERAGE_SLOTS
_SIZE = _CLOCK + WINDOW_SLOTS
_FILLED = _SIZE + 1
_SIGNED = _FILLED + 1
_FULL = _SIGNED + 1
_TOTAL = _FULL + 1
_RING = _TOTAL + 1
VPIN_SLOTS = _RING + 2 + BUCKETS


def vpin(state: State, at: int, volume: float, bought: float, sold: float, known: bool) -> float:
    """Return VPIN after a bar, NaN without known sides, before 480 bars or under 50 full buckets.

    `volume` of every bar drives the size of new buckets; `bought` and `sold` fill them, spread over
    the bar in equal shares.
    """
    size = WINDOW * average(state, at + _VOLUME, volume, _MONTH, 1.0 / _MONTH) / BUCKETS
    hold(state, at + _CLOCK, VPIN_SLOTS - _CLOCK, known)
    if not known:
        return NAN
    bars = state[at + _VOLUME]
    if bars >= WINDOW and size > 0.0:
        _fill(state, at, size, bought, sold)
    if bars < WARMUP_BARS or state[at + _FULL] < BUCKETS:
        return NAN
    return state[at + _TOTAL] / BUCKETS


def _fill(state: State, at: int, size: float, bought: float, sold: float) -> None:
    rest = bought + sold
    lean = (bought - sold) / rest
    if rest >= BUCKETS * size:
        _fill_all(state, at, abs(lean))
        return
    if state[at + _SIZE] == 0.0:
        _open(state, at, size)
    while rest > 0.0:
        room = state[at + _SIZE] - state[at + _FILLED]
        if rest < room:
            state[at + _FILLED] += rest
            state[at + _SIGNED] += lean * rest
            return
        _close(state, at, abs(state[at + _SIGNED] + lean * room) / state[at + _SIZE])
        rest -= room
        _open(state, at, size)


def _open(state: State, at: int, size: float) -> None:
    state[at + _SIZE] = size
    state[at + _FILLED] = 0.0
    state[at + _SIGNED] = 0.0


def _close(state: State, at: int, one_sided: float) -> None:
    state[at + _FULL] = min(state[at + _FULL] + 1.0, float(BUCKETS))
    state[at + _TOTAL] = sliding_total(state, at + _RING, BUCKETS, min(one_sided, 1.0))


def _fill_all(state: State, at: int, one_sided: float) -> None:
    """Close 50 buckets: a bar of that many leaves nothing else in the window."""
    for _ in range(BUCKETS):
        _close(state, at, one_sided)
    state[at + _SIZE] = 0.0
