"""How fast this machine is at the moment, for tests of what a piece of work may cost."""

import time

import numpy as np


def yardstick_s() -> float:
    """Return the processor time of a fixed piece of work, in numpy and in Python by halves.

    A twentieth of a second or more. A machine that is slower, or whose cores are shared, takes
    longer for it and for what is held against it alike.
    """
    return min(_once() for _ in range(3))


def _once() -> float:
    began = time.process_time()
    drawn = np.random.default_rng(1).normal(size=1_000_000)
    np.sort(drawn)
    total = 0.0
    for value in drawn[:200_000].tolist():
        total += value * value
    assert total > 0.0
    return time.process_time() - began
