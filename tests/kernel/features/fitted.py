"""The state before the first bar with a fitted GARCH(1,1), for tests of the whole catalogue."""

import numpy as np
from numpy.typing import NDArray

from kernel.features import volatility_models
from kernel.features.engine import initial_state
from kernel.features.registry import GROUPS
from kernel.features.volatility_models import GARCH_SLOTS


def fitted_state() -> NDArray[np.float64]:
    """Return that state, with parameters that could be BTC's."""
    state = initial_state()
    before = GROUPS[: GROUPS.index(volatility_models.GROUP)]
    first = sum(group.state_size for group in before) + GARCH_SLOTS
    state[first : first + 3] = (2e-7, 0.08, 0.9)
    return state
