# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# scipy ships no types for this; what leaves this file is typed.
"""Whether the best of many trials was chosen for what it is, or for what it happened to do."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCKS = 16
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Overfitting:
    """What combinatorially symmetric cross-validation found, one entry per combination of blocks.

    `logits` float64[C] place the chosen trial among all on the other half: below 0 it fell into the
    worse half. `chosen` and `held` float64[C] are its Sharpe ratios per bar where it was chosen and
    on the other half.
    """

    logits: Float64
    chosen: Float64
    held: Float64

    @property
    def probability(self) -> float:
        """Return PBO: how often the trial that was best fell into the worse half elsewhere."""
        return float(np.mean(self.logits <= 0.0))

    @property
    def loss(self) -> float:
        """Return how often the chosen trial lost money on the other half."""
        return float(np.mean(self.held < 0.0))

    @property
    def degradation(self) -> float:
        """Return the slope of the ratio held on the ratio chosen: below 0, the better it looked the
        worse it did. 0 where all chosen ratios are one.
        """
        from scipy.stats import linregress

        if float(np.ptp(self.chosen)) <= 1e-12:
            return 0.0
        fitted: Any = linregress(self.chosen, self.held)
        return float(fitted.slope)


def cross_validate(returns: Float64, blocks: int = BLOCKS) -> Overfitting:
    """Choose the best trial on every half of the blocks of time, and look at it on the other half.

    `returns` float64[bars, trials] are bar returns on one grid; the oldest bars beyond a multiple
    of `blocks` are left out. CSCV with the Sharpe ratio (Bailey, Borwein, López de Prado and
    Zhu, The Probability of Backtest Overfitting, 2017); ties take the mean of their ranks.
    Blocks are long beside a trade, so one that spans a border weighs nothing. Raises ValueError
    for fewer than two trials, fewer than two bars a block, an odd number of blocks, or what is
    not finite.
    """
    bars, trials = returns.shape
    if blocks < 2 or blocks % 2 or trials < 2 or bars < 2 * blocks:
        raise ValueError(
            f"trials: found {trials} of {bars} bars in {blocks} blocks, expected at least 2 "
            "trials, an even number of blocks, and at least 2 bars a block"
        )
    if not np.isfinite(returns).all():
        raise ValueError("trials: found returns that are not finite, expected all to be")
    length = bars // blocks
    cut = returns[bars - length * blocks :].reshape(blocks, length, trials)
    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    inside = np.zeros((len(halves), blocks))
    np.put_along_axis(inside, halves, 1.0, axis=1)
    seen = _ratios(inside, cut)
    other = _ratios(1.0 - inside, cut)
    best = seen.argmax(axis=1)
    rows = np.arange(len(halves))
    held = other[rows, best]
    below = (other < held[:, None]).sum(axis=1)
    ties = (other == held[:, None]).sum(axis=1)
    place = (below + (ties + 1.0) / 2.0) / (trials + 1.0)
    return Overfitting(logits=np.log(place / (1.0 - place)), chosen=seen[rows, best], held=held)


def _ratios(inside: Float64, cut: Float64) -> Float64:
    """Return each trial's Sharpe ratio float64[C, N] over the blocks that `inside` marks.

    Sums and squares per block are enough, so that thousands of halves cost two products.
    """
    bars = inside.sum(axis=1, keepdims=True) * cut.shape[1]
    mean = inside @ cut.sum(axis=1) / bars
    # About the trial's own mean: the difference of large sums would lose the digits that count.
    centre = cut.mean(axis=(0, 1))
    squares = inside @ np.square(cut - centre).sum(axis=1) / bars - np.square(mean - centre)
    deviation = np.sqrt(np.maximum(squares, 0.0) * bars / (bars - 1.0))
    moves = deviation > 1e-15
    return np.where(moves, mean / np.where(moves, deviation, 1.0), 0.0)
