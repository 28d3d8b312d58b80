"""The highest of the last values, and how long ago it was seen."""

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
