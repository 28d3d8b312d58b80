"""Barriers so near that next to nothing ends in HOLD still train a stack of three classes."""

import dataclasses

import numpy as np
import pytest

from kernel.decision import CLASSES
from research.datasets.table import TrainingTable
from research.graphs.export import PROBABILITIES
from research.graphs.runtime import outputs
from research.labels.triple_barrier import HOLD
from research.pipeline import prepare
from research.settings import Settings
from research.training import stack
from research.training.candidate import Candidate
from tests.research.worlds import world

WEEKS = 17


@pytest.fixture(scope="module")
def near(small: Settings) -> Settings:
    """Return settings with the barriers of the documents: 0.8 ATR to gain, 1.5 ATR to lose."""
    labels = dataclasses.replace(small.labels, take_profit_atr=0.8, stop_loss_atr=1.5)
    return dataclasses.replace(small, labels=labels)


@pytest.fixture(scope="module")
def table(near: Settings) -> TrainingTable:
    return prepare(world(3, 0.3, near, WEEKS), near).table


@pytest.fixture(scope="module")
def candidate(table: TrainingTable, near: Settings) -> Candidate:
    return stack.train(table, near)


def test_near_barriers_leave_less_than_a_hundredth_to_hold(table: TrainingTable) -> None:
    """Both sides are well filled, and HOLD is a class of a few rows: the trap is set."""
    known = table.y[table.y >= 0]
    shares = [float((known == label).mean()) for label in range(len(CLASSES))]
    assert shares[HOLD] < 0.01
    assert min(shares[0], shares[2]) > 0.2


def test_a_rare_hold_is_a_small_probability_and_not_a_failure(candidate: Candidate) -> None:
    """Every gate fold gives three finite probabilities that add up, with HOLD near its share."""
    p = np.concatenate([fold.probabilities for fold in candidate.folds])
    assert np.isfinite(p).all()
    assert np.abs(p.sum(axis=1) - 1).max() < 1e-5
    assert p[:, HOLD].mean() < 0.05
    assert candidate.parity.flipped_decisions == 0


def test_no_hold_at_all_trains_too(table: TrainingTable, near: Settings) -> None:
    """With every HOLD called a side the third column stays, and stays small."""
    none = dataclasses.replace(table, y=np.where(table.y == HOLD, 2, table.y).astype(np.int8))
    found = stack.train(none, near)
    p = outputs(found.signal, [PROBABILITIES], none.x[-200:])[0]
    assert p.shape == (200, 3)
    assert np.isfinite(p).all()
    assert p[:, HOLD].max() < 0.05
