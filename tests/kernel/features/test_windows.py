"""The sum over a window that neither starts anew at each bar nor subtracts."""

import math

import numpy as np
import pandas as pd
import pytest

from kernel.features.windows import sliding_total


@pytest.mark.parametrize("size", [1, 2, 7, 96])
def test_sliding_total_is_the_sum_of_the_last_values(size: int) -> None:
    """At every bar it is the exact sum of the last values, within rounding of one window."""
    x = np.random.default_rng(1).normal(0.0, 1.0, 500)
    state = [0.0] * (3 + 2 + size)
    found = [sliding_total(state, 3, size, one) for one in x.tolist()]
    for i in range(len(x)):
        expected = math.fsum(x[max(i + 1 - size, 0) : i + 1])
        assert found[i] == pytest.approx(expected, rel=0.0, abs=1e-13)
    assert state[:3] == [0.0, 0.0, 0.0]


def test_sliding_total_forgets_a_giant_that_has_left_the_window() -> None:
    """A value of 1e300 leaves nothing behind, where a running sum has lost all small values."""
    x = np.ones(400)
    x[100] = 1e300
    state = [0.0] * (2 + 32)
    found = [sliding_total(state, 0, 32, one) for one in x.tolist()]
    assert found[132:] == [32.0] * (400 - 132)
    running = pd.Series(x).cumsum()
    assert (running - running.shift(32)).iloc[132] != 32.0


def test_sliding_total_keeps_zero_where_everything_was_zero() -> None:
    """An all-zero window after ordinary values sums to exactly 0."""
    x = [*np.random.default_rng(2).normal(0.0, 1.0, 50).tolist(), *[0.0] * 50]
    state = [0.0] * (2 + 20)
    found = [sliding_total(state, 0, 20, one) for one in x]
    assert found[69:] == [0.0] * 31
