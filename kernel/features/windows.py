"""Windows over the last values of something: a ring in the state, read oldest first.

A ring of `size` values takes `1 + size` slots from `at`: how many values it was given, then the
values. Sums over a window are taken anew at each bar, in one order, or by `sliding_total`: a
running sum would carry the rounding of every value that it ever held.
"""

from kernel.features.recursions import State


def push(state: State, at: int, size: int, x: float) -> int:
    """Put `x` in the place of the oldest value and return how many the ring was given so far."""
    count = int(state[at])
    state[at + 1 + count % size] = x
    state[at] = count + 1.0
    return count + 1


def full(state: State, at: int, size: int) -> bool:
    """Return whether the ring was given at least `size` values."""
    return state[at] >= size


def back(state: State, at: int, size: int, ago: int) -> float:
    """Return the value that was pushed `ago` values before the latest one, 0 <= ago < size.

    It is 0 where nothing was pushed yet.
    """
    return state[at + 1 + (int(state[at]) - 1 - ago) % size]


def total(state: State, at: int, size: int) -> float:
    """Return the sum of the ring's slots, in the order of the slots."""
    result = 0.0
    for i in range(size):
        result += state[at + 1 + i]
    return result


def sliding_total(state: State, at: int, size: int, x: float) -> float:
    """Put `x` in the place of the oldest value and return the sum of the last `size` values.

    Values before the first count as 0. A ring of its own, of 2 + `size` slots from `at`: the next
    place, the sum of the values of this turn, and the places. One written in this turn holds its
    value, any other the sum from there to the end of the last turn. So a sum takes one addition,
    nothing is ever subtracted, and what has left the window leaves no rounding behind.
    """
    place = int(state[at])
    head = state[at + 1] + x
    state[at + 2 + place] = x
    place += 1
    if place < size:
        state[at] = float(place)
        state[at + 1] = head
        return head + state[at + 2 + place]
    tail = 0.0
    for i in range(at + 1 + size, at + 1, -1):
        tail += state[i]
        state[i] = tail
    state[at] = 0.0
    state[at + 1] = 0.0
    return head
