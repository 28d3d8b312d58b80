"""What the parts of the microstructure group share: a window of a day and a bounded ratio."""

from kernel.features.recursions import State, clip

WINDOW = 96
RING = 2 + WINDOW  # of windows.sliding_total
LARGEST = 1e30

_HELD = 1
WINDOW_SLOTS = 2


def hold(state: State, at: int, slots: int, present: bool) -> bool:
    """Count a bar with or without data; return whether the window is full of bars with data.

    The first two of the window's `slots` count bars without and with data; the others hold its
    rings, and are emptied when as many bars in a row had no data as the window holds.
    """
    if present:
        state[at] = 0.0
        state[at + _HELD] = min(state[at + _HELD] + 1.0, float(WINDOW))
        return state[at + _HELD] >= WINDOW
    state[at] = min(state[at] + 1.0, float(WINDOW))
    if state[at] >= WINDOW and state[at + _HELD] > 0.0:
        for slot in range(at + _HELD, at + slots):
            state[slot] = 0.0
    return False


def are_quantities(one: float, other: float) -> bool:
    """Return whether two quantities are known and not both nothing."""
    return 0.0 <= one < LARGEST and 0.0 <= other < LARGEST and one + other > 0.0


def bounded_ratio(x: float, y: float, cap: float) -> float:
    """Return x / y held within +-cap, for y >= 0; 0 / 0 is 0."""
    if abs(x) < y * cap:
        return clip(x / y, -cap, cap)
    return cap if x > 0.0 else -cap if x < 0.0 else 0.0
