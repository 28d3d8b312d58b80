"""Price zones of one kind that lie below price, and how price takes them away.

What lies above price is kept with its prices negated: one routine serves both sides. A list takes
`ZONES_SLOTS` slots from `at`: how many zones, the highest lower edge, the highest upper edge, then
the zones, oldest first. Most bars reach no zone and outlive none, and cost two comparisons.
"""

from kernel.features.recursions import State

ZONES = 16  # at most so many of a kind are kept; the oldest leaves
HIGHEST_LOWER = 1
HIGHEST_UPPER = 2
_FIRST = 3
_LOWER = 0
_UPPER = 1
_BORN = 2
_STRENGTH = 3
_WIDTH = 4
_OLDEST = _FIRST + _BORN
ZONES_SLOTS = _FIRST + _WIDTH * ZONES


def add(state: State, at: int, lower: float, upper: float, born: float, strength: float) -> None:
    """Add a zone; of too many, the oldest leaves."""
    count = int(state[at])
    if count == ZONES:
        for i in range(at + _FIRST, at + ZONES_SLOTS - _WIDTH):
            state[i] = state[i + _WIDTH]
        count -= 1
    zone = _zone(at, count)
    state[zone + _LOWER] = lower
    state[zone + _UPPER] = upper
    state[zone + _BORN] = born
    state[zone + _STRENGTH] = strength
    _recount(state, at, count + 1)


def trade_through(state: State, at: int, price: float, expired: float) -> None:
    """Drop every zone whose lower edge is above `price`, the lowest price of a bar, and those born
    at bar `expired` or before.
    """
    if state[at] == 0.0 or (price >= state[at + HIGHEST_LOWER] and state[at + _OLDEST] > expired):
        return
    kept = 0
    for i in range(int(state[at])):
        zone = _zone(at, i)
        if state[zone + _LOWER] <= price and state[zone + _BORN] > expired:
            _move(state, zone, _zone(at, kept))
            kept += 1
    _recount(state, at, kept)


def trade_into(state: State, at: int, price: float, expired: float) -> None:
    """Cut off every zone what is above `price`, the lowest price of a bar; drop what is empty and
    what was born at bar `expired` or before.
    """
    if state[at] == 0.0 or (price >= state[at + HIGHEST_UPPER] and state[at + _OLDEST] > expired):
        return
    kept = 0
    for i in range(int(state[at])):
        zone = _zone(at, i)
        if state[zone + _LOWER] < price and state[zone + _BORN] > expired:
            _move(state, zone, _zone(at, kept))
            upper = _zone(at, kept) + _UPPER
            state[upper] = min(state[upper], price)
            kept += 1
    _recount(state, at, kept)


def born(state: State, at: int) -> float:
    """Return the bar of the newest zone; 0 where there is none."""
    count = int(state[at])
    return state[_zone(at, count - 1) + _BORN] if count > 0 else 0.0


def strength(state: State, at: int) -> float:
    """Return the strength of the newest zone; there is one."""
    return state[_zone(at, int(state[at]) - 1) + _STRENGTH]


def _zone(at: int, i: int) -> int:
    return at + _FIRST + _WIDTH * i


def _move(state: State, source: int, target: int) -> None:
    for i in range(_WIDTH):
        state[target + i] = state[source + i]


def _recount(state: State, at: int, count: int) -> None:
    state[at] = count
    if count == 0:
        return
    lower = state[at + _FIRST + _LOWER]
    upper = state[at + _FIRST + _UPPER]
    for i in range(1, count):
        lower = max(lower, state[_zone(at, i) + _LOWER])
        upper = max(upper, state[_zone(at, i) + _UPPER])
    state[at + HIGHEST_LOWER] = lower
    state[at + HIGHEST_UPPER] = upper
