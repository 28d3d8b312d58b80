"""A week of a market that never closes has 672 quarters of an hour; 504 are five days and a bit."""

import numpy as np

from kernel.features.engine import compute
from kernel.features.registry import FEATURES
from tests.kernel.features.worlds import BAR_MS, market

MONDAY_MS = 1_672_617_600_000  # 2023-01-02
WEEK_MS = 7 * 86_400_000
SEED_WEEK = 504
COLUMN = FEATURES.index("w1_ema_bias")


def closed_at(obs: np.ndarray) -> np.ndarray:
    """Return when each bar closes."""
    return obs[:, 0].astype(np.int64) + BAR_MS


def test_the_seeds_week_ends_in_the_middle_of_weeks():
    """Every 504th close is a "week": three of four end on another day than a week does."""
    obs = market(60 * 96, seed=1, start_ms=MONDAY_MS)
    ends = closed_at(obs)[SEED_WEEK - 1 :: SEED_WEEK]
    assert (ends - MONDAY_MS)[0] / WEEK_MS == 0.75
    assert ((ends - MONDAY_MS)[:8] % WEEK_MS == 0).tolist() == [False, False, False, True] * 2


def test_our_week_ends_on_monday_at_midnight_and_nowhere_else():
    """The weekly bias changes with the last of 672 bars, and stands still until the next week."""
    obs = market(14 * 672, seed=1, start_ms=MONDAY_MS)
    bias = compute(obs)[0][:, COLUMN]
    known = np.isfinite(bias)
    changes = np.flatnonzero(known[1:] & (bias[1:] != bias[:-1])) + 1
    assert len(changes) >= 3
    assert ((closed_at(obs)[changes] - MONDAY_MS) % WEEK_MS == 0).all()
    assert set(np.diff(changes)) == {672}
