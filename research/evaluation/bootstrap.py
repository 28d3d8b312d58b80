# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# arch ships no types for this; what leaves this file is typed.
"""Intervals of figures over rows whose labels overlap: whole stretches are drawn, not rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 300
BLOCK_HORIZONS = 4  # of labels, in a stretch: what follows it is taken to be independent
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure, and the range in which it lies with a stated confidence; None where it has no
    value.
    """

    value: float
    low: float
    high: float


def draws(rows: int, block_rows: int, seed: int, number: int = DRAWS) -> Float64:
    """Return how often each row is drawn, float64[number, rows]: the circular block bootstrap of
    Politis and Romano, 1992.

    Rows `block_rows` apart are taken to be independent, so it must exceed the rows that a label
    spans. Figures that are to be compared are computed on the same draws.
    """
    from arch.bootstrap import CircularBlockBootstrap

    block = max(1, min(block_rows, rows))
    bootstrap: Any = CircularBlockBootstrap(block, np.arange(rows), seed=seed)
    found = np.empty((number, rows))
    for at, (positional, _) in enumerate(bootstrap.bootstrap(number)):
        found[at] = np.bincount(positional[0], minlength=rows)
    return found


def means(values: Float64, drawn: Float64) -> Float64:
    """Return the mean of `values` float64[n] in each draw, float64[number]; NaN where a draw holds
    no row.
    """
    weight = drawn.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (drawn @ values) / weight


def areas(score: Float64, hit: NDArray[np.bool_], drawn: Float64) -> Float64:
    """Return the area under the ROC curve in each draw, float64[number]: the chance that a hit has
    the higher score, ties counting half; NaN where a draw holds only one kind.
    """
    order = np.argsort(score, kind="stable")
    begins = np.flatnonzero(np.diff(score[order], prepend=-np.inf) > 0)
    weight = drawn[:, order]
    hits = np.add.reduceat(weight * hit[order], begins, axis=1)
    misses = np.add.reduceat(weight, begins, axis=1) - hits
    below = np.cumsum(misses, axis=1) - misses
    with np.errstate(invalid="ignore", divide="ignore"):
        won = (hits * (below + 0.5 * misses)).sum(axis=1)
        return won / (hits.sum(axis=1) * misses.sum(axis=1))


def interval(value: float, drawn: Float64, confidence: float = 0.95) -> Interval:
    """Return the figure with the percentiles of its draws, which may be NaN in some."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.nanquantile(drawn, [tail, 1.0 - tail])
    return Interval(value=value, low=float(low), high=float(high))
