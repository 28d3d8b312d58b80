"""Samples of a slow series, one for each period of calendar time: the last value seen in it.

Bars repeat the value of a series until the next one is known. To count each value once, a window
over days or settlements takes the last value that was present in each period, once a value of a
later period is seen. Periods without any value are absent: they shorten nothing.

What a period's bars see is taken to be published within it. A value known at the very instant at
which its period begins is seen by the bar that closes then, and counts for the period before.
"""

from math import sqrt

from kernel.features.recursions import State
from kernel.features.windows import back, full, push

SAMPLE_SLOTS = 3  # beside the `size` samples: the running period, its latest value, the count
_LARGEST = 1e100

DAY_MS = 86_400_000


def known(x: float) -> bool:
    """Return whether `x` is a value to compute with: not NaN, and its squares can be summed."""
    return -_LARGEST < x < _LARGEST


def positive(x: float) -> bool:
    """Return whether `x` is a known value above zero."""
    return 0.0 < x < _LARGEST


def sample(state: State, at: int, size: int, period: int, x: float) -> bool:
    """Take in a value seen in `period`; return whether that of an earlier period has just entered
    the window.

    Periods are numbered from 0, ascending. The samples are a ring of `size` at `ring(at)`.
    """
    number = period + 1.0
    ended = state[at] > 0.0 and state[at] != number
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
