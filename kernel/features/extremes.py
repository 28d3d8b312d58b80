"""The highest of the last values, and, where it is asked for, how long ago it was seen."""

from kernel.features.recursions import State

AGO = 1
EXTRA_SLOTS = 3


def highest(state: State, at: int, size: int, x: float) -> float:
    """Put `x` in the place of the oldest value and return the largest of the last `size` values.

    A ring of its own, of `EXTRA_SLOTS` + `size` slots from `at`: how many values it was given, how
    many bars ago the largest came (`AGO`, the latest of equal ones), that value, and the values.
    They are read again only when the largest leaves. The lowest of x is -highest of -x.
    """
    count = int(state[at])
    ago = state[at + AGO] + 1.0
    best = state[at + 2]
    place = count % size
    state[at] = count + 1.0
    state[at + 3 + place] = x
    if x >= best or count == 0:
        ago = 0.0
        best = x
    elif ago >= size:
        ago = 0.0
        best = x
        for i in range(1, size):
            earlier = place - i if place >= i else place - i + size
            if state[at + 3 + earlier] > best:
                best = state[at + 3 + earlier]
                ago = float(i)
    state[at + AGO] = ago
    state[at + 2] = best
    return best


def sliding_highest(state: State, at: int, size: int, x: float) -> float:
    """Put `x` in the place of the oldest value and return the largest of the last `size` values,
    once there are so many.

    A ring of its own, of 2 + `size` slots from `at`: the next place, the largest value of this
    turn, and the places. One written in this turn holds its value, any other the largest from there
    to the end of the last turn, as in `windows.sliding_total`. Nothing is read again, whatever the
    values do.
    """
    place = int(state[at])
    head = state[at + 1]
    if place == 0 or x > head:
        head = x
    state[at + 2 + place] = x
    place += 1
    if place < size:
        state[at] = float(place)
        state[at + 1] = head
        earlier = state[at + 2 + place]
        return earlier if earlier > head else head
    tail = x
    for i in range(at + size, at + 1, -1):
        tail = max(tail, state[i])
        state[i] = tail
    state[at] = 0.0
    return head
