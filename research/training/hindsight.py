"""Proof that a fold knows no later label: all that end after it began are drawn anew, and its graph
stays what it was, to the byte.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from kernel.decision import CLASSES
from research.datasets.table import TrainingTable
from research.settings import Settings
from research.training import stack
from research.training.candidate import Candidate


@dataclass(frozen=True, slots=True)
class Hindsight:
    """Which gate fold was made again, how many labels were others, and whether its graph was."""

    fold: int
    scrambled: int
    differs: bool


def look(table: TrainingTable, candidate: Candidate, settings: Settings) -> Hindsight:
    """Return what a scramble of later labels does to one gate fold, chosen by the table's digest.

    Another week asks another fold; each costs what one block of the pass does.
    """
    fold = int(table.digest[:8], 16) % len(candidate.folds)
    model = candidate.folds[fold]
    other = scrambled(table, model.start_ms, settings.bar_ms, np.random.default_rng(fold))
    return Hindsight(
        fold=fold,
        scrambled=int((other.y != table.y).sum()),
        differs=stack.refit(other, candidate, fold, settings) != model.graph,
    )


def scrambled(
    table: TrainingTable, moment_ms: int, bar_ms: int, rng: np.random.Generator
) -> TrainingTable:
    """Return the table with another class and another end for every label that was open or to come
    at the moment, also where none was ever known.
    """
    later = table.closed_ms > moment_ms
    turned = (np.maximum(table.y, 0) + rng.integers(1, len(CLASSES), len(table.y))) % len(CLASSES)
    ahead = np.maximum(table.start_ms, moment_ms) + bar_ms * rng.integers(1, 200, len(table.y))
    return dataclasses.replace(
        table,
        y=np.where(later, turned, table.y).astype(np.int8),
        end_ms=np.where(later, ahead, table.end_ms),
        closed_ms=np.where(later, ahead, table.closed_ms),
    )
