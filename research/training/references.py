"""What stands beside every model on the same rows and has no vote: what it takes to be worth more
than doing nothing.
"""

import numpy as np
from numpy.typing import NDArray

from kernel.decision import CLASSES, rules_probabilities
from research.datasets.table import TrainingTable
from research.models.calendar import WEEKEND, hold_table
from research.training.sides import with_even_sides
from research.validation.folds import Fold

PRIOR = "class prior"
CALENDAR = "calendar table"
PERSISTENCE = "persistence"
RULES = "rules"
RULES_READ = ("ema_stack", "rsi_14", "adx_14")
SLOT_MS = 2 * 3_600_000
SLOTS = 12
CALENDAR_PRIOR_ROWS = 200.0
DAY_MS = 86_400_000
FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


def references(table: TrainingTable, fold: Fold, half_life_weeks: float) -> dict[str, Float32]:
    """Return what each reference says of the fold's test rows, float32[m,3] by name.

    The class prior is HOLD's share and a coin for the side. All rest on labels resolved when the
    fold began, except that persistence also hears of each label in its fold once it is resolved, as
    it would live. The rules are left out where the table lacks a feature that they read.
    """
    worth = table.worth(fold.test_start_ms, half_life_weeks)[fold.train]
    y = table.y[fold.train]
    # Which side won more often in a few months is luck: a prior that leaned to it would be easy to
    # beat by leaning to neither.
    even = with_even_sides(worth, y)
    prior = np.bincount(y, even, len(CLASSES)) / even.sum()
    found = {
        PRIOR: np.tile(prior, (len(fold.test), 1)),
        CALENDAR: _calendar(table, fold, worth),
        PERSISTENCE: _persistence(table, fold, worth, prior),
    }
    if set(RULES_READ) <= set(table.feature_names):
        columns = [table.feature_names.index(name) for name in RULES_READ]
        read: list[list[float]] = table.x[fold.test][:, columns].astype(np.float64).tolist()
        found[RULES] = np.array([rules_probabilities(*values) for values in read])
    return {name: p.astype(np.float32) for name, p in found.items()}


def _calendar(table: TrainingTable, fold: Fold, worth: Float64) -> Float64:
    cell = calendar_cells(table.start_ms)
    y = table.y[fold.train]
    weights = with_even_sides(worth / worth.mean(), y)
    cells = hold_table(cell[fold.train], y, weights, 2 * SLOTS, CALENDAR_PRIOR_ROWS)
    return cells[cell[fold.test]].astype(np.float64)


def calendar_cells(decided_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return twice the two-hour slot of each close, and one more at a weekend: 24 cells, UTC."""
    slot = decided_ms % DAY_MS // SLOT_MS
    return 2 * slot + WEEKEND[(decided_ms // DAY_MS + FIRST_WEEKDAY) % 7]


def _persistence(table: TrainingTable, fold: Fold, worth: Float64, prior: Float64) -> Float64:
    """Return how often each class followed the last class that was known, one label drawn to the
    prior.
    """
    labelled = np.flatnonzero(table.y >= 0)
    by_end = labelled[np.argsort(table.end_ms[labelled], kind="stable")]
    ends = table.end_ms[by_end]

    def before(rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the class resolved last when each row was decided, -1 before the first."""
        at = np.searchsorted(ends, table.start_ms[rows], side="right") - 1
        return np.where(at >= 0, table.y[by_end[np.maximum(at, 0)]], -1).astype(np.int64)

    last = before(fold.train)
    there = last >= 0
    cell = len(CLASSES) * last[there] + table.y[fold.train][there]
    counts = np.bincount(cell, worth[there], len(CLASSES) ** 2).reshape(-1, len(CLASSES)) + prior
    shares = counts / counts.sum(axis=1, keepdims=True)
    return shares[before(fold.test)]
