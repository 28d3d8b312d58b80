"""A buffer filled up with zeros feeds a model what it never saw; ours starts from a state."""

from collections import deque

import numpy as np

from kernel.features.engine import compute
from kernel.features.registry import FEATURES
from tests.kernel.features.worlds import market

BUFFER = 48
NAMES = ("rsi_14", "atr_14", "ema_stack")
COLUMNS = [FEATURES.index(name) for name in NAMES]


class SeedBuffer:
    """The last 48 rows of features, zeros at its head until there are as many."""

    def __init__(self, width: int) -> None:
        self._rows: deque[np.ndarray] = deque(maxlen=BUFFER)
        self._width = width

    def push(self, row: np.ndarray) -> np.ndarray:
        """Return the window that the seed's model is run on."""
        self._rows.append(row)
        missing = BUFFER - len(self._rows)
        return np.vstack([np.zeros((missing, self._width)), *self._rows])


def test_the_seeds_model_is_run_on_zeros_after_each_restart():
    """For 47 bars after a restart the window is not the market's, yet an answer is given."""
    rows = compute(market(1_200, seed=3))[0][-200:, COLUMNS]
    running = SeedBuffer(len(NAMES))
    restarted = SeedBuffer(len(NAMES))
    wrong = 0
    for at, row in enumerate(rows):
        expected = running.push(row)
        if at >= 100:
            wrong += not np.array_equal(restarted.push(row), expected)
    assert wrong == BUFFER - 1


def test_our_restart_continues_from_the_stored_state_to_the_byte():
    """A bundle brings the state at its cutoff: the first bar after it is what it would have been,
    and without a state a feature has no value rather than a zero.
    """
    obs = market(1_200, seed=3)
    whole, _ = compute(obs)
    _, state = compute(obs[:1_000])
    resumed, _ = compute(obs[1_000:], state)
    assert resumed.tobytes() == whole[1_000:].tobytes()
    cold, _ = compute(obs[1_000:])
    assert np.isnan(cold[0, COLUMNS]).all()
