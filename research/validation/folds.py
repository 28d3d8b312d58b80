"""Walk-forward folds drawn from label spans: what a fold may learn from is decided by when each
label ended.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows to learn from and rows to predict.

    Every row of `train` (indices) has its label resolved at or before `test_start_ms`; every row
    of `test` is decided in [test_start_ms, test_end_ms).
    """

    train: NDArray[np.intp]
    test: NDArray[np.intp]
    test_start_ms: int
    test_end_ms: int


def walk_forward(
    start_ms: NDArray[np.int64],
    end_ms: NDArray[np.int64],
    *,
    first_test_ms: int,
    stop_ms: int,
    block_ms: int,
    max_train_ms: int,
) -> list[Fold]:
    """Return the blocks of `block_ms` that end at `stop_ms` and do not start before
    `first_test_ms`, oldest first.

    `start_ms` and `end_ms` (int64[n]) are the label spans [start, end): the decision time and the
    close of the bar that resolved the label. There is no gap to choose: a row whose label ends
    after a block begins is not in that block's training rows. Rows decided more than
    `max_train_ms` before the block are left out.
    """
    if len(start_ms) != len(end_ms) or np.any(end_ms <= start_ms):
        raise ValueError(
            "label spans: found an end at or before its start, expected end_ms > start_ms"
        )
    if block_ms <= 0:
        raise ValueError(f"block_ms: found {block_ms}, expected above 0")
    count = max(0, (stop_ms - first_test_ms) // block_ms)
    begins = [stop_ms - (count - j) * block_ms for j in range(count)]
    return [_fold(start_ms, end_ms, begin, begin + block_ms, max_train_ms) for begin in begins]


def _fold(
    start_ms: NDArray[np.int64], end_ms: NDArray[np.int64], begin: int, stop: int, max_train_ms: int
) -> Fold:
    train = resolved_before(end_ms, begin) & (start_ms >= begin - max_train_ms)
    test = (start_ms >= begin) & (start_ms < stop)
    return Fold(np.flatnonzero(train), np.flatnonzero(test), begin, stop)


def resolved_before(end_ms: NDArray[np.int64], time_ms: int) -> NDArray[np.bool_]:
    """Return which labels are known at `time_ms`: those whose span ended at or before it."""
    return end_ms <= time_ms


def split_in_time(
    start_ms: NDArray[np.int64], end_ms: NDArray[np.int64], rows: NDArray[np.intp], share: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split `rows` (ascending in time) into about the earlier `share` and the rest; no span
    crosses the border.

    Rows of the earlier part whose label ends after the later part begins are dropped.
    """
    if len(rows) < 2:
        raise ValueError(f"rows to split: found {len(rows)}, expected at least 2")
    cut = min(len(rows) - 1, max(1, int(len(rows) * share)))
    border = int(start_ms[rows[cut]])
    earlier = rows[resolved_before(end_ms[rows], border)]
    later = rows[start_ms[rows] >= border]
    return earlier, later
