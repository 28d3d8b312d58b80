"""What the parts of the microstructure group share: a window of a day and a bounded ratio."""

from kernel.features.recursions import State, clip

WINDOW = 96
RING = 1 + WINDOW
LARGEST = 1e30


def idle(state: State, at: int, present: bool) -> bool:
    """Count the bars since data were last there; return whether they are a whole window."""
    state[at] = 0.0 if present else min(state[at] + 1.0, float(WINDOW))
    return state[at] >= WINDOW


def are_quantities(one: float, other: float) -> bool:
    """Return whether two quantities are known and not both nothing."""
    return 0.0 <= one < LARGEST and 0.0 <= other < LARGEST and one + other > 0.0


def bounded_ratio(x: float, y: float, cap: float) -> float:
    """Return x / y held within +-cap, for y >= 0; 0 / 0 is 0."""
    if abs(x) < y * cap:
        return clip(x / y, -cap, cap)
    return cap if x > 0.0 else -cap if x < 0.0 else 0.0
