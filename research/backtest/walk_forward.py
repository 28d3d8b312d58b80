"""Trading what the gate folds predicted: fold by fold, in one account, and in a harder world."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.decision import Abstain
from kernel.features.registry import warmup_bars
from kernel.holes import let_out
from kernel.observation import Series, settled_by_hour
from research.backtest.run import BacktestResult, run
from research.backtest.scrutiny import Scrutiny, scrutinize
from research.backtest.worlds import AS_ASSUMED, World
from research.datasets.matrix import Table, atr
from research.evaluation.metrics import Metrics, summarize
from research.settings import Settings
from research.training.candidate import FoldModel

FUNDING = "funding_rate"


@dataclass(frozen=True, slots=True)
class TradedMarket:
    """What a backtest trades on: bars, ATR in price units float64[n], and what settled in the hours
    before each close, float64[n, 24].
    """

    bars: Bars
    atr: NDArray[np.float64]
    funding: NDArray[np.float64]

    def slice(self, start: int, stop: int) -> "TradedMarket":
        """Return the rows start..stop-1."""
        return TradedMarket(
            self.bars.slice(start, stop), self.atr[start:stop], self.funding[start:stop]
        )


def market_of(bars: Bars, series: Mapping[str, Series], matrix: Table, bar_ms: int) -> TradedMarket:
    """Return what is traded on: `matrix` holds `atr_14` of every bar, and of the series only the
    funding rate is looked at.
    """
    settled = settled_by_hour(series[FUNDING], bars.open_time_ms + bar_ms)
    return TradedMarket(bars, atr(matrix), settled)


@dataclass(frozen=True, slots=True)
class WalkForward:
    """Figures of each fold from a fresh account, of one account through all of them, and of that
    under stress, in other worlds and by other draws.

    `result` is the run of the one account; its rows are the bars from `start_ms` (open of the
    first) on. `funding_share` is the share of them before whose close a settlement of the last 24
    hours is known: elsewhere results exclude funding.
    """

    folds: tuple[Metrics, ...]
    whole: Metrics
    stressed: Metrics
    result: BacktestResult
    start_ms: int
    funding_share: float
    scrutiny: Scrutiny


def backtest(
    market: TradedMarket,
    folds: Sequence[FoldModel],
    feature_names: Sequence[str],
    settings: Settings,
) -> WalkForward:
    """Trade each fold's probabilities on its own bars: they were known at the close, orders fill
    at the next open.

    `feature_names` are what the folds decide on: after a hole nothing is opened until it is out of
    them, and nothing where a fold's graph abstains, as live.
    """
    parts = [(fold.bar, fold.probabilities) for fold in folds]
    doubt = np.zeros(len(market.bars), np.int64)
    for fold in folds:
        doubt[fold.bar] = fold.abstain
    return backtest_stream(market, parts, feature_names, settings, doubt)


def backtest_stream(
    market: TradedMarket,
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]],
    feature_names: Sequence[str],
    settings: Settings,
    doubt: NDArray[np.int64] | None = None,
) -> WalkForward:
    """Trade consecutive parts, each the indices of its bars, ascending, and float32[m,3] for them.

    Bars between them are traded through without an opinion. `doubt` int64[n] is why a graph
    abstains from each bar of the market, 0 where it does not; a hole is the graver reason.
    """
    gates = settings.gates
    first, stop = _span(parts)
    accounts = _accounts(market, parts, feature_names, settings, doubt)
    result = accounts.trade(first, stop)
    stress = World(
        "under stress",
        fees=gates.stress_cost_multiplier,
        slippage=gates.stress_cost_multiplier,
        funding=gates.stress_cost_multiplier,
        delay_bars=gates.stress_delay_bars,
    )
    return WalkForward(
        folds=tuple(
            accounts.figures(accounts.trade(int(bar[0]), int(bar[-1]) + 1)) for bar, _ in parts
        ),
        whole=accounts.figures(result),
        stressed=accounts.figures(accounts.trade(first, stop, stress)),
        result=result,
        start_ms=int(market.bars.open_time_ms[first]),
        funding_share=float(np.isfinite(market.funding[first:stop]).any(axis=1).mean()),
        scrutiny=scrutinize(
            lambda world: accounts.trade(first, stop, world),
            accounts.figures,
            settings.trading,
            settings.bar_ms,
        ),
    )


def account(
    market: TradedMarket,
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]],
    feature_names: Sequence[str],
    settings: Settings,
) -> BacktestResult:
    """Return the one account of `backtest_stream` alone, without looking at harder worlds."""
    return _accounts(market, parts, feature_names, settings, None).trade(*_span(parts))


def _span(parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]]) -> tuple[int, int]:
    """Return the first bar of the first part, and the one after the last bar of the last."""
    return int(parts[0][0][0]), int(parts[-1][0][-1]) + 1


def _accounts(
    market: TradedMarket,
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]],
    feature_names: Sequence[str],
    settings: Settings,
    doubt: NDArray[np.int64] | None,
) -> "_Accounts":
    """Return what accounts of these parts trade on; arguments as those of `backtest_stream`."""
    probabilities = np.full((len(market.bars), 3), np.nan)
    for bar, p in parts:
        probabilities[bar] = p
    after_hole = let_out(
        open_time_ms=market.bars.open_time_ms,
        bar_ms=settings.bar_ms,
        warmup_bars=warmup_bars(feature_names),
        silent_bars=settings.silent_bars,
    )
    otherwise = np.zeros(len(market.bars)) if doubt is None else doubt.astype(np.float64)
    abstain = np.where(after_hole, float(Abstain.NOT_WARM), otherwise)
    return _Accounts(market, probabilities, abstain, settings)


@dataclass(frozen=True, slots=True)
class _Accounts:
    """What every account of one walk trades on, float64 by the bars of the market."""

    market: TradedMarket
    probabilities: NDArray[np.float64]
    abstain: NDArray[np.float64]
    settings: Settings

    def trade(self, start: int, stop: int, world: World = AS_ASSUMED) -> BacktestResult:
        """Return a fresh account through the bars start..stop-1 of a world."""
        span = self.market.slice(start, stop)
        return run(
            span.bars,
            span.atr,
            self.probabilities[start:stop],
            span.funding,
            self.settings.trading,
            bar_ms=self.settings.bar_ms,
            abstain=self.abstain[start:stop],
            world=world,
        )

    def figures(self, result: BacktestResult) -> Metrics:
        """Return the figures of an account."""
        return summarize(result.trades, result.equity, self.settings.bar_ms)
