"""Trading what the gate folds predicted: fold by fold, in one account, and in a harder world."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from research.backtest.run import BacktestResult, run
from research.evaluation.metrics import Metrics, summarize
from research.settings import Settings
from research.training.candidate import FoldModel


@dataclass(frozen=True, slots=True)
class Market:
    """What a backtest trades on: bars, ATR in price units and funding rate as known at each
    close, float64[n].
    """

    bars: Bars
    atr: NDArray[np.float64]
    funding: NDArray[np.float64]

    def slice(self, start: int, stop: int) -> "Market":
        """Return the rows start..stop-1."""
        return Market(self.bars.slice(start, stop), self.atr[start:stop], self.funding[start:stop])


@dataclass(frozen=True, slots=True)
class WalkForward:
    """Figures of each fold from a fresh account, of one account through all of them, and of that
    under stress.

    `result` is the run of the one account; its rows are the bars from `start_ms` (open of the
    first) on.
    """

    folds: tuple[Metrics, ...]
    whole: Metrics
    stressed: Metrics
    result: BacktestResult
    start_ms: int


def backtest(market: Market, folds: Sequence[FoldModel], settings: Settings) -> WalkForward:
    """Trade each fold's probabilities on its own bars: they were known at the close, orders fill
    at the next open.
    """
    return backtest_stream(
        market,
        [(int(fold.bar[0]), fold.probabilities) for fold in folds],
        settings,
    )


def backtest_stream(
    market: Market,
    parts: Sequence[tuple[int, NDArray[np.float32]]],
    settings: Settings,
) -> WalkForward:
    """Trade consecutive parts, each the index of its first bar and float32[m,3] for its m bars."""
    bar_ms = settings.bar_ms
    figures = tuple(_figures(market, first, p, settings, bar_ms) for first, p in parts)
    first = parts[0][0]
    stop = parts[-1][0] + len(parts[-1][1])
    probabilities = np.full((stop - first, 3), np.nan)
    for begin, p in parts:
        probabilities[begin - first : begin - first + len(p)] = p
    span = market.slice(first, stop)
    result = run(span.bars, span.atr, probabilities, span.funding, settings.trading)
    stressed = run(
        span.bars, span.atr, probabilities, span.funding, settings.trading,
        delay_bars=settings.gates.stress_delay_bars,
        cost_multiplier=settings.gates.stress_cost_multiplier,
    )  # fmt: skip
    return WalkForward(
        folds=figures,
        whole=summarize(result.trades, result.equity, bar_ms),
        stressed=summarize(stressed.trades, stressed.equity, bar_ms),
        result=result,
        start_ms=int(span.bars.open_time_ms[0]),
    )


def _figures(
    market: Market, first: int, p: NDArray[np.float32], settings: Settings, bar_ms: int
) -> Metrics:
    span = market.slice(first, first + len(p))
    result = run(span.bars, span.atr, p.astype(np.float64), span.funding, settings.trading)
    return summarize(result.trades, result.equity, bar_ms)
