"""Combinatorial purged cross-validation: many histories of one model, drawn from label spans."""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from research.validation.folds import resolved_before


@dataclass(frozen=True, slots=True)
class Split:
    """Rows (indices) to learn from and to predict; `groups` are the groups of time predicted.

    No label span of `train` meets a span of `test`: what a row of one tells of is over before a row
    of the other is decided, or begins after it is resolved.
    """

    train: NDArray[np.intp]
    test: NDArray[np.intp]
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Paths:
    """Every split, and how they are put together.

    `group` int64[n] is each row's group of time. `splits_of` int64[paths, groups] says which split
    predicts a group on a path: a path covers each row once, by models of several splits.
    """

    splits: tuple[Split, ...]
    group: NDArray[np.int64]
    splits_of: NDArray[np.int64]


def combinatorial(
    start_ms: NDArray[np.int64],
    end_ms: NDArray[np.int64],
    *,
    groups: int,
    test_groups: int,
    known_ms: int,
) -> Paths:
    """Return the splits that predict every choice of `test_groups` of `groups` stretches of time.

    `start_ms` (ascending) and `end_ms` (int64[n]) are the label spans [start, end); nothing is
    learnt from labels that are not resolved by `known_ms`. Groups hold about as many rows each.
    There is no gap to choose: what is purged follows from the spans, before a test group and
    after it. C(groups, test_groups) splits give that many · test_groups / groups paths (López
    de Prado, Advances in Financial Machine Learning, 2018, ch. 12). Models of later data
    predict earlier rows here, so the paths say how a result varies, never what it would have
    been. Raises ValueError for spans that do not ascend or are empty, and for impossible
    numbers of groups.
    """
    n = len(start_ms)
    if len(end_ms) != n or np.any(end_ms <= start_ms) or np.any(np.diff(start_ms) < 0):
        raise ValueError(
            "label spans: found an end at or before its start, or starts out of order, expected "
            "end_ms > start_ms and starts that ascend"
        )
    if not 1 <= test_groups < groups <= n:
        raise ValueError(
            f"groups: found {test_groups} of {groups} to test on {n} rows, expected at least 1, "
            "fewer than all, and a row in each"
        )
    group = np.arange(n) * groups // n
    known = resolved_before(end_ms, known_ms)
    chosen = list(combinations(range(groups), test_groups))
    splits = tuple(
        Split(
            train=np.flatnonzero(known & ~_meets(start_ms, end_ms, np.isin(group, one))),
            test=np.flatnonzero(np.isin(group, one)),
            groups=one,
        )
        for one in chosen
    )
    count = comb(groups, test_groups) * test_groups // groups
    splits_of = np.array(
        [[j for j, one in enumerate(chosen) if g in one] for g in range(groups)], np.int64
    ).T
    return Paths(splits=splits, group=group, splits_of=splits_of.reshape(count, groups))


def _meets(
    start_ms: NDArray[np.int64], end_ms: NDArray[np.int64], test: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which spans share a moment with a span of `test`.

    A span [s, e) meets one that starts in it, or one that started before s and ends after it. The
    test's starts ascend, so the latest end of those that started by s answers the second.
    """
    starts = start_ms[test]
    latest_end = np.maximum.accumulate(end_ms[test])
    before = np.searchsorted(starts, start_ms, side="right")
    runs_on = np.where(before > 0, latest_end[np.maximum(before, 1) - 1], np.iinfo(np.int64).min)
    begins_inside = np.searchsorted(starts, end_ms, side="left") > before
    return (runs_on > start_ms) | begins_inside
