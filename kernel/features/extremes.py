"""The highest and the lowest value of a window, and how long ago each was seen.

They read the rings of `kernel.features.windows` over their latest values, oldest first.
"""

from kernel.features.recursions import State


def highest(state: State, at: int, size: int) -> float:
    """Return the largest value of a full ring."""
    result = state[at + 1]
    for i in range(1, size):
        result = max(result, state[at + 1 + i])
    return result


def lowest(state: State, at: int, size: int) -> float:
    """Return the smallest value of a full ring."""
    result = state[at + 1]
    for i in range(1, size):
        result = min(result, state[at + 1 + i])
    return result


def bars_since_highest(state: State, at: int, size: int) -> int:
    """Return how many values ago a full ring took its largest one, the latest of equal ones."""
    latest = (int(state[at]) - 1) % size
    best = state[at + 1 + latest]
    ago = 0
    for i in range(1, size):
        value = state[at + 1 + (latest - i) % size]
        if value > best:
            best = value
            ago = i
    return ago


def bars_since_lowest(state: State, at: int, size: int) -> int:
    """Return how many values ago a full ring took its smallest one, the latest of equal ones."""
    latest = (int(state[at]) - 1) % size
    best = state[at + 1 + latest]
    ago = 0
    for i in range(1, size):
        value = state[at + 1 + (latest - i) % size]
        if value < best:
            best = value
            ago = i
    return ago
