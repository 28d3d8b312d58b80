# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# scipy and arch ship no types for this; what leaves this file is typed.
"""How much of a record may be luck: other draws of its trades, of its bars, and of their order."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from research.evaluation.metrics import max_drawdown, sharpe

DRAWS = 1_000
LEAST_TRADES = 10
LEVELS = (0.05, 0.5, 0.95)
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Luck:
    """What other draws of the same record would have shown.

    `mean_trade` and `sharpe` are 90 % intervals, of the mean return of a trade and of the yearly
    Sharpe ratio of the bars; `p_value` is how often a mean trade of nothing would come out as high.
    `drawdown` are the 5th, 50th and 95th percentile of the deepest fall over orders of the trades.
    `block_bars` is the mean length of the stretches of bars that were drawn.
    """

    trades: int
    mean_trade: tuple[float, float]
    p_value: float
    drawdown: tuple[float, float, float]
    sharpe: tuple[float, float]
    block_bars: int

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Self:
        """Return the record that `to_dict` wrote."""
        low, middle, high = raw["drawdown"]
        least, most = raw["mean_trade"]
        from_ratio, to_ratio = raw["sharpe"]
        return cls(
            trades=raw["trades"],
            mean_trade=(least, most),
            p_value=raw["p_value"],
            drawdown=(low, middle, high),
            sharpe=(from_ratio, to_ratio),
            block_bars=raw["block_bars"],
        )


def luck(
    pnl: Float64, bar_returns: Float64, *, initial_equity: float, bars_per_year: float, seed: int
) -> Luck | None:
    """Return what luck may have to do with trades of `pnl` float64[m] and bar returns float64[n].

    The trades are drawn with replacement (scipy's percentile bootstrap), put in other orders, and
    the bars drawn in stretches (the stationary bootstrap of Politis and Romano, 1994, with the
    automatic length of Politis and White, 2004, and Patton, 2009): a position is held for many
    bars, so single ones would look independent that are not. With few trades that interval is too
    short all the same: it held the true ratio in 79 % of 120 records of 60 trades, whatever the
    length. None below 10 trades, which say nothing either way, and where no two differ.
    """
    from arch.bootstrap import StationaryBootstrap, optimal_block_length
    from scipy.stats import bootstrap, ttest_1samp

    if len(pnl) < LEAST_TRADES or float(np.ptp(pnl)) == 0.0:
        return None
    returns = pnl / initial_equity
    drawn: Any = bootstrap(
        (returns,),
        np.mean,
        n_resamples=DRAWS,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    interval = drawn.confidence_interval
    found: Any = optimal_block_length(bar_returns)
    block = max(math.ceil(float(found["stationary"].iloc[0])), 1)
    stretches = StationaryBootstrap(block, bar_returns, seed=seed)

    def ratio(drawn_bars: Float64) -> Float64:
        return np.array([sharpe(drawn_bars, bars_per_year)])

    ratios = stretches.apply(ratio, DRAWS)
    tested: Any = ttest_1samp(returns, 0.0, alternative="greater")
    low, middle, high = np.quantile(_drawdowns(pnl, initial_equity, seed), LEVELS).tolist()
    return Luck(
        trades=len(pnl),
        mean_trade=(float(interval.low), float(interval.high)),
        p_value=float(tested.pvalue),
        drawdown=(low, middle, high),
        sharpe=(float(np.quantile(ratios, LEVELS[0])), float(np.quantile(ratios, LEVELS[-1]))),
        block_bars=block,
    )


def _drawdowns(pnl: Float64, initial_equity: float, seed: int) -> Float64:
    """Return the deepest fall of each of DRAWS orders of the trades, float64[DRAWS]."""
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(pnl, (DRAWS, 1)), axis=1)
    equity = initial_equity + np.cumsum(orders, axis=1)
    started = np.column_stack([np.full(DRAWS, initial_equity), equity])
    return np.array([max_drawdown(one) for one in started])
