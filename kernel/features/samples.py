"""Samples of a slow series, one for each period of calendar time: the last value known of it.

Bars repeat the value of a series until the next one is known. To count each value once, a window
over days or settlements takes the last value that was known of each period, once a value of a later
period is seen. A value belongs to the period that it describes, whenever it is published: its event
time says which. Periods without any value are absent: they shorten nothing.
"""

from math import sqrt

from kernel.features.recursions import State
from kernel.features.windows import back, full, push

SAMPLE_SLOTS = 3  # beside the `size` samples: the running period, its latest value, the count
_LARGEST = 1e100
_END_OF_TIME_MS = 1e15

DAY_MS = 86_400_000


def known(x: float) -> bool:
    """Return whether `x` is a value to compute with: not NaN, and its squares can be summed."""
    return -_LARGEST < x < _LARGEST


def positive(x: float) -> bool:
    """Return whether `x` is a known value above zero."""
    return 0.0 < x < _LARGEST


def sample(state: State, at: int, size: int, period_ms: int, event_ms: float, x: float) -> bool:
    """Take in a value of the period of `period_ms` in which `event_ms` lies; return whether that of
    an earlier period has just entered the window.

    A value without a time, or of a period before the running one, is not taken in: it was. The
    samples are a ring of `size` at `ring(at)`.
    """
    if not 0.0 <= event_ms < _END_OF_TIME_MS:
        return False
    number = int(event_ms) // period_ms + 1.0
    if number < state[at]:
        return False
    ended = 0.0 < state[at] < number
    if ended:
        push(state, ring(at), size, state[at + 1])
    state[at] = number
    state[at + 1] = x
    return ended


def ring(at: int) -> int:
    """Return the slot at which the ring of the samples begins."""
    return at + 2


def complete(state: State, at: int, size: int) -> bool:
    """Return whether as many periods have ended as the window holds."""
    return full(state, ring(at), size)


def newest_total(state: State, at: int, size: int, first: int, stop: int) -> float:
    """Return the sum of the samples that are first..stop-1 periods old, newest first; the latest
    is 0 old.
    """
    result = 0.0
    for ago in range(first, stop):
        result += back(state, ring(at), size, ago)
    return result


def measure(state: State, at: int, size: int, into: int) -> None:
    """Write mean and population deviation of the `size` samples into two slots.

    Taken about one of them, so that samples that are all the same deviate by exactly 0.
    """
    first = ring(at) + 1
    origin = state[first]
    shift = 0.0
    for i in range(size):
        shift += state[first + i] - origin
    shift /= size
    squares = 0.0
    for i in range(size):
        gap = state[first + i] - origin - shift
        squares += gap * gap
    state[into] = origin + shift
    state[into + 1] = sqrt(squares / size)
