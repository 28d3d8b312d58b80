"""States with a fitted GARCH(1,1), for tests of the whole catalogue."""

import functools

import numpy as np
from numpy.typing import NDArray

from kernel.features import volatility_models
from kernel.features.engine import compute, initial_state
from kernel.features.registry import GROUPS
from kernel.features.volatility_models import GARCH_SLOTS
from tests.kernel.features.worlds import market

EARLIER_MS = 1_640_995_200_000  # 2022-01-01, so that the worlds of 2023 come after


def fitted_state() -> NDArray[np.float64]:
    """Return the state before the first bar, with parameters that could be BTC's."""
    state = initial_state()
    before = GROUPS[: GROUPS.index(volatility_models.GROUP)]
    first = sum(group.state_size for group in before) + GARCH_SLOTS
    state[first : first + 3] = (2e-7, 0.08, 0.9)
    return state


@functools.cache
def warm_state() -> NDArray[np.float64]:
    """Return the state after 10,500 ordinary bars: every feature has a value from the first on."""
    return compute(market(10_500, seed=1, start_ms=EARLIER_MS), fitted_state())[1]
