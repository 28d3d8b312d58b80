"""The wall clock: promotion counts real time, not the market's."""

import time


def now_ms() -> int:
    """Return the present in milliseconds UTC."""
    return time.time_ns() // 1_000_000
