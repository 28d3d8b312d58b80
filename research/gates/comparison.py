"""A candidate's walk-forward backtest, and the champion's account over the same decisions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.observation import Series
from research.backtest.run import run
from research.backtest.walk_forward import TradedMarket, WalkForward, backtest, market_of
from research.datasets.matrix import Table, feature_values
from research.evaluation.metrics import Metrics, summarize
from research.gates.accounts import Accounts, Contest, Curves
from research.gates.gates import NO_CHAMPION, NOT_COMPARED
from research.graphs.runtime import answers
from research.settings import Settings
from research.training.candidate import (
    Candidate,
    FoldModel,
    Predecessor,
    as_decided,
    predecessor,
)

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a model is on record to have decided live: float32[n,3] at the closes int64[n]."""

    decided_ms: NDArray[np.int64]
    probabilities: NDArray[np.float32]


NO_DECISIONS = Decisions(np.empty(0, np.int64), np.empty((0, 3), np.float32))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the candidate earned by fold, in one account and under stress; and against whom.

    `contest` is None where there is no champion. `curves` are on the bars that both share, where
    there is one to share them with.
    """

    walk: WalkForward
    contest: Contest | None
    curves: Curves = field(default_factory=Curves)

    @property
    def verdict(self) -> str:
        """Return '' where candidate and champion were compared, else why they were not."""
        if self.contest is None:
            return NO_CHAMPION
        return "" if self.contest.champion else NOT_COMPARED

    def accounts(self) -> list[dict[str, Any]]:
        """Return the figures of the whole accounts, one record each."""
        rows = {"candidate": self.walk.whole, "under stress": self.walk.stressed}
        if self.contest and self.contest.candidate and self.contest.champion:
            rows["candidate on shared bars"] = self.contest.candidate
            rows["champion"] = self.contest.champion
        return [{"account": name, **metrics.to_dict()} for name, metrics in rows.items()]

    def series(self) -> dict[str, Any]:
        """Return every figure by name, each once: a list over the folds as `fold_<name>`, the whole
        account's as they are called, and those of the other accounts behind `stress_`, `champion_`
        and, where not every bar is shared, `shared_`.
        """
        whole = self.walk.whole.to_dict()
        folds = [fold.to_dict() for fold in self.walk.folds]
        others = {"stress": self.walk.stressed}
        if self.contest and self.contest.candidate and self.contest.champion:
            others["champion"] = self.contest.champion
            if self.contest.share < 1.0:
                others["shared"] = self.contest.candidate
        return {
            **{f"fold_{name}": [float(fold[name]) for fold in folds] for name in whole},
            **{name: float(value) for name, value in whole.items()},
            **{
                f"{prefix}_{name}": float(value)
                for prefix, one in others.items()
                for name, value in one.to_dict().items()
            },
        }

    def figures(self, champion_digest: str) -> Accounts:
        """Return what the gates read of the comparison."""
        return Accounts(
            folds=self.walk.folds,
            whole=self.walk.whole,
            stressed=self.walk.stressed,
            contest=self.contest,
            champion_digest=champion_digest,
            funding_share=self.walk.funding_share,
            scrutiny=self.walk.scrutiny,
            curves=self.curves,
        )


def predecessor_of(files: Mapping[str, bytes] | None) -> Predecessor | None:
    """Return what a champion's stored files say of it, None where there is no champion."""
    return predecessor(files) if files else None


def features_needed(champion: Predecessor | None) -> tuple[str, ...]:
    """Return the features that a comparison reads: the ATR, and what the champion decides on."""
    return tuple(dict.fromkeys(("atr_14", *(champion.feature_names if champion else ()))))


def compare(
    *,
    bars: Bars,
    series: Mapping[str, Series],
    matrix: Table,
    candidate: Candidate,
    champion: Predecessor | None,
    live: Decisions,
    settings: Settings,
) -> Comparison:
    """Trade the candidate's gate folds, and both it and the champion on the bars they share.

    `matrix` holds, of every bar, `atr_14` and the champion's features; of the series only the
    funding rate is looked at. `live` are the champion's recorded decisions.
    """
    market = market_of(bars, series, matrix, settings.bar_ms)
    walk = backtest(market, candidate.folds, candidate.feature_names, settings)
    alone = Comparison(
        walk, None, _daily(market, candidate.folds, {"candidate": walk.result.equity})
    )
    if champion is None:
        return alone
    own = feature_values(matrix, champion.feature_names).astype(np.float32)
    decided_ms = bars.open_time_ms + settings.bar_ms
    theirs = known_decisions(champion, decided_ms, own, live)
    found, equity = contest(market, candidate.folds, theirs, settings)
    newer_ms = candidate.training_window_ms[1] - champion.cutoff_ms
    curves = _daily(market, candidate.folds, equity) if equity else alone.curves
    return Comparison(walk, replace(found, days_newer=newer_ms / DAY_MS), curves)


def known_decisions(
    champion: Predecessor,
    decided_ms: NDArray[np.int64],
    features: NDArray[np.float32],
    live: Decisions,
) -> NDArray[np.float32]:
    """Return what the champion says at each close, float32[n,3]; NaN where nobody knows.

    `features` float32[n,F'] are its own columns for every bar, F' = 0 where they are of another
    catalogue. What its final graph was trained on is told by what its gate folds' graphs said then.
    After its cutoff the final graph is asked; where it cannot be, its live decisions are on record.
    All are decisions on bars that the deciding graph had not seen.
    """
    p = np.full((len(decided_ms), 3), np.nan, np.float32)
    _put(p, decided_ms, live.decided_ms, live.probabilities)
    after = decided_ms >= champion.cutoff_ms
    if champion.feature_names and after.any():
        p[after] = as_decided(*answers(champion.signal, features[after]))
    _put(p, decided_ms, champion.decided_ms, champion.probabilities)
    return p


def contest(
    market: TradedMarket,
    folds: tuple[FoldModel, ...],
    champion: NDArray[np.float32],
    settings: Settings,
) -> tuple[Contest, dict[str, NDArray[np.float64]]]:
    """Trade the gate folds and the champion, float32[n,3] for every bar, on the bars they share.

    Both stay out, with what they hold, where only one of them has a decision. Returns also both
    equities, float64 by the bars of the folds, none where no bar is shared.
    """
    first = int(folds[0].bar[0])
    stop = int(folds[-1].bar[-1]) + 1
    ours = np.full((len(market.bars), 3), np.nan, np.float32)
    for fold in folds:
        ours[fold.bar] = fold.decisions
    said = np.isfinite(ours[first:stop]).all(axis=1)
    known = np.isfinite(champion[first:stop]).all(axis=1)
    shared: NDArray[np.bool_] = np.logical_and(said, known)
    if not shared.any():
        return Contest(candidate=None, champion=None, share=0.0), {}
    span = market.slice(first, stop)
    candidates, equity = _account(span, ours[first:stop], shared, settings)
    champions, other = _account(span, champion[first:stop], shared, settings)
    share = float(shared.sum() / said.sum())
    return (
        Contest(candidate=candidates, champion=champions, share=share),
        {"candidate": equity, "champion": other},
    )


def _daily(
    market: TradedMarket, folds: tuple[FoldModel, ...], equity: Mapping[str, NDArray[np.float64]]
) -> Curves:
    """Return equities at the last bar of each day from the first fold to the last."""
    first = int(folds[0].bar[0])
    stop = int(folds[-1].bar[-1]) + 1
    open_ms = market.bars.open_time_ms[first:stop]
    days = open_ms // DAY_MS
    last = np.flatnonzero(np.append(days[1:] != days[:-1], True))
    return Curves(
        at_ms=tuple(open_ms[last].tolist()),
        equity={name: tuple(one[last].tolist()) for name, one in equity.items()},
    )


def _account(
    span: TradedMarket, p: NDArray[np.float32], shared: NDArray[np.bool_], settings: Settings
) -> tuple[Metrics, NDArray[np.float64]]:
    """Return one account's figures over a span, decided on the shared bars only, and its equity."""
    decided = np.where(shared[:, None], p, np.nan).astype(np.float64)
    result = run(
        span.bars, span.atr, decided, span.funding, settings.trading, bar_ms=settings.bar_ms
    )
    return summarize(result.trades, result.equity, settings.bar_ms), result.equity


def _put(
    p: NDArray[np.float32],
    at_ms: NDArray[np.int64],
    decided_ms: NDArray[np.int64],
    probabilities: NDArray[np.float32],
) -> None:
    """Write probabilities into the rows of `p` whose close, ascending in `at_ms`, is theirs."""
    _, rows, said = np.intersect1d(at_ms, decided_ms, assume_unique=True, return_indices=True)
    p[rows] = probabilities[said]
