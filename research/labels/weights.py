"""What a row is worth in independent labels, by what was known at a moment: neighbours' labels
overlap.
"""

import numpy as np
from numpy.typing import NDArray

from research.labels.triple_barrier import UNRESOLVED_MS
from research.settings import WEEK_MS
from research.validation.folds import resolved_before

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


def as_of(
    until_ms: int, start_ms: Int64, end_ms: Int64, closed_ms: Int64, half_life_weeks: float
) -> Float64:
    """Return what each row was worth at `until_ms`, float64[n]: recency × mean uniqueness, 0 where
    its label was not known.

    No later label has a part in it: what was open at that moment is open, whatever became of it.
    `closed_ms` is when a label stopped to count against its neighbours: its end, a hole that cut it
    off, or its own start where it is never learned from. The mean is over the labels known then,
    and not the uniqueness of the row itself, which depends on the outcome: a HOLD spans the whole
    horizon and would weigh half of a quick BUY, so that models would learn HOLD to be rarer than it
    is (found 5.5 % for 8.5 %).
    """
    known = resolved_before(end_ms, until_ms)
    begun = start_ms < until_ms
    closed = np.where(closed_ms <= until_ms, closed_ms, UNRESOLVED_MS)
    own = uniqueness(start_ms[begun], closed[begun])[known[begun]]
    worth = float(own.mean()) if len(own) else 0.0
    return np.where(known, worth * recency(start_ms, until_ms, half_life_weeks), 0.0)


def uniqueness(start_ms: Int64, closed_ms: Int64) -> Float64:
    """Return each label's mean share of the bars it spans, 0 for an open label.

    A bar spanned by c labels counts 1/c for each (López de Prado, Advances in Financial Machine
    Learning, 4.4). `start_ms` ascends by decision; a label's bars are the decisions in [start,
    closed). Labels that are open at some time count there whatever becomes of them, so the value of
    a label knows nothing after its own end.
    """
    first = np.arange(len(start_ms))
    last = np.searchsorted(start_ms, closed_ms, side="left")
    change = np.zeros(len(start_ms) + 1)
    np.add.at(change, first, 1.0)
    np.add.at(change, last, -1.0)
    share = 1.0 / np.maximum(np.cumsum(change[:-1]), 1.0)
    total = np.concatenate([[0.0], np.cumsum(share)])
    mean = (total[last] - total[first]) / np.maximum(last - first, 1)
    return np.where(closed_ms < UNRESOLVED_MS, mean, 0.0)


def recency(start_ms: Int64, until_ms: int, half_life_weeks: float) -> Float64:
    """Return weights that halve with every half-life before `until_ms`, when it is 1."""
    age_weeks = (until_ms - start_ms) / WEEK_MS
    return np.exp2(-age_weeks / half_life_weeks)
