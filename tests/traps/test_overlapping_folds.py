"""Folds drawn by row number let labels reach into the rows they are tested on; ours cannot."""

import numpy as np
from sklearn.model_selection import TimeSeriesSplit

from research.validation.folds import walk_forward

BAR_MS = 900_000
BARS = 12_000
HORIZON = 48
START_MS = BAR_MS * np.arange(1, BARS + 1, dtype=np.int64)
END_MS = START_MS + HORIZON * BAR_MS


def met(train: np.ndarray, test: np.ndarray) -> int:
    """Return how many training labels end after the first test row is decided."""
    return int((END_MS[train] > START_MS[test[0]]).sum())


def test_the_seeds_folds_train_on_what_they_predict():
    """`TimeSeriesSplit(n_splits=5)` without a gap: in each fold the last 48 labels look ahead into
    the validation rows, but for the one that ends as they begin.
    """
    folds = list(TimeSeriesSplit(n_splits=5).split(START_MS))
    assert [met(train, test) for train, test in folds] == [HORIZON - 1] * 5


def test_our_folds_never_do():
    """The purge follows from when each label ended; there is no gap to forget."""
    stop_ms = int(START_MS[-1])
    folds = walk_forward(
        START_MS,
        END_MS,
        first_test_ms=stop_ms // 2,
        stop_ms=stop_ms,
        block_ms=stop_ms // 10,
        max_train_ms=stop_ms,
    )
    assert [met(fold.train, fold.test) for fold in folds] == [0] * 5
    assert all(len(fold.train) > 0 for fold in folds)
