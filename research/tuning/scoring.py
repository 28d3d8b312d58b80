"""What a base is worth on the inner folds: log-loss of rows it had not seen, and what they earned.

Nothing here sees a gate fold: rows, folds and bars end where the first of them begins.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kernel.digest import canonical_json
from research.backtest.walk_forward import TradedMarket, account
from research.datasets.table import TrainingTable
from research.evaluation.metrics import YEAR_MS, sharpe
from research.models.base import Base
from research.settings import Settings
from research.training import selection
from research.training.selection import Inner
from research.tuning.ledger import BarReturns
from research.tuning.spaces import TuningSettings
from research.validation.folds import Fold

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ground:
    """What trials are judged on: inner rows and folds, the bars under them, and the settings.

    The bars end at `data.until_ms`; `settings` trade as trials are traded.
    """

    symbol: str
    week: str
    data: Inner
    market: TradedMarket
    settings: Settings

    @property
    def digest(self) -> str:
        """Return the digest of the rows that trials learn from and are judged on."""
        data = self.data
        digest = hashlib.sha256(canonical_json([list(data.names), data.until_ms]))
        for array in (data.x, data.y, data.start_ms):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @property
    def span_ms(self) -> tuple[int, int]:
        """Return the first decision and the end of what is looked at."""
        return int(self.data.start_ms[0]), self.data.until_ms


@dataclass(frozen=True, slots=True)
class FoldScore:
    """What one fold's model came to: −ln p of what happened, float64[m] of its test rows, and the
    Sharpe ratio of its account after costs.
    """

    bar: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    losses: Float64
    sharpe: float


def ground(
    *,
    symbol: str,
    week: str,
    table: TrainingTable,
    market: TradedMarket,
    settings: Settings,
    tuning: TuningSettings,
) -> Ground:
    """Return the inner part of a table and a market; raise ValueError where there is no such fold.

    `market` holds every bar that the table's `bar` counts.
    """
    data = selection.inner(table, settings.validation)
    open_time_ms = market.bars.open_time_ms
    stop = int(np.searchsorted(open_time_ms, data.until_ms - settings.bar_ms, side="right"))
    return Ground(
        symbol=symbol,
        week=week,
        data=data,
        market=market.slice(0, stop),
        settings=replace(settings, trading=tuning.traded(settings.trading)),
    )


def scored(ground: Ground, base: Base) -> Iterator[FoldScore]:
    """Yield the score of each inner fold in turn, so that a trial may end before the last."""
    stack = ground.settings.models.stack
    for place, fold in enumerate(ground.data.folds):
        p = selection.probabilities(ground.data, place, base, seed=stack.seed, n_jobs=stack.n_jobs)
        yield _fold_score(ground, fold, p)


def _fold_score(ground: Ground, fold: Fold, p: Float64) -> FoldScore:
    bar = bars_of(ground, ground.data.start_ms[fold.test])
    probabilities = p.astype(np.float32)
    earned = _earned(ground, [(bar, probabilities)]).returns
    return FoldScore(
        bar=bar,
        probabilities=probabilities,
        losses=selection.log_losses(p, ground.data.y[fold.test]),
        sharpe=sharpe(earned, YEAR_MS / ground.settings.bar_ms),
    )


def bars_of(ground: Ground, decided_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index int64[m] of the bars that closed at these decisions."""
    open_time_ms = ground.market.bars.open_time_ms
    return np.searchsorted(open_time_ms, decided_ms - ground.settings.bar_ms).astype(np.int64)


def stream(ground: Ground, folds: Sequence[FoldScore]) -> BarReturns:
    """Return what one account through these folds earned, bar by bar, after costs."""
    return _earned(ground, [(one.bar, one.probabilities) for one in folds])


def _earned(
    ground: Ground, parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]]
) -> BarReturns:
    return BarReturns.of_account(account(ground.market, parts, ground.data.names, ground.settings))
