"""A candidate's walk-forward backtest, and the champion's account over the same decisions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernel import observation
from kernel.bars import Bars
from kernel.observation import OBSERVATION_FIELDS, Series
from research.backtest.walk_forward import Market, WalkForward, backtest
from research.datasets.matrix import Table, atr, feature_values
from research.evaluation.metrics import Metrics
from research.gates.accounts import Accounts
from research.gates.evidence import champion_metrics
from research.settings import Settings
from research.training.candidate import Candidate, from_files, is_of_todays_catalogue

FUNDING = "funding_rate"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the candidate earned by fold, in one account and under stress, and the champion."""

    walk: WalkForward
    champion: Metrics | None
    without_champion: str

    def accounts(self) -> list[dict[str, Any]]:
        """Return the figures of the whole accounts, one record each."""
        rows = {"candidate": self.walk.whole, "under stress": self.walk.stressed}
        if self.champion is not None:
            rows["champion"] = self.champion
        return [{"account": name, **metrics.to_dict()} for name, metrics in rows.items()]

    def series(self) -> dict[str, float | list[float]]:
        """Return every figure by name: one value per fold, and one for each whole account."""
        names = self.walk.whole.to_dict()
        folds = [fold.to_dict() for fold in self.walk.folds]
        found: dict[str, float | list[float]] = {
            f"fold_{name}": [float(fold[name]) for fold in folds] for name in names
        }
        for account in self.accounts():
            prefix = str(account["account"]).replace(" ", "_")
            found |= {f"{prefix}_{name}": float(account[name]) for name in names}
        return found

    def figures(self, champion_digest: str) -> Accounts:
        """Return what the gates read of the comparison."""
        return Accounts(
            folds=self.walk.folds,
            whole=self.walk.whole,
            stressed=self.walk.stressed,
            champion=self.champion,
            champion_digest=champion_digest,
            without_champion=self.without_champion,
        )


def champion_of(files: Mapping[str, bytes] | None) -> tuple[Candidate | None, str]:
    """Return the champion as it can be traded today, or None and why there is none to compare.

    A champion whose features are of another catalogue cannot be: whatever is computed today under
    their names is not what it was trained on, and no runner of today takes it.
    """
    if not files:
        return None, "no champion to beat"
    if not is_of_todays_catalogue(files):
        return None, "not compared: the champion decides on features of another catalogue"
    return from_files(files), ""


def features_needed(champion: Candidate | None) -> tuple[str, ...]:
    """Return the features that a comparison reads: the ATR, and what the champion decides on."""
    return tuple(dict.fromkeys(("atr_14", *(champion.feature_names if champion else ()))))


def compare(
    bars: Bars,
    series: Mapping[str, Series],
    matrix: Table,
    candidate: Candidate,
    champion: Candidate | None,
    without_champion: str,
    settings: Settings,
) -> Comparison:
    """Trade the candidate's gate folds, and the champion on the decisions of the same bars.

    `matrix` holds, of every bar, `atr_14` and the champion's features; of the series only the
    funding rate is looked at. `without_champion` says why there is none.
    """
    paid = observation.Market(bars, {FUNDING: series[FUNDING]})
    observed = observation.observe(paid, settings.bar_ms)
    market = Market(bars, atr(matrix), observed[:, OBSERVATION_FIELDS.index(FUNDING)])
    walk = backtest(market, candidate.folds, settings)
    if champion is None:
        return Comparison(walk, None, without_champion)
    first_ms = walk.start_ms + settings.bar_ms
    window_ms = (first_ms, first_ms + len(walk.result.equity) * settings.bar_ms)
    own = feature_values(matrix, champion.feature_names).astype(np.float32)
    metrics = champion_metrics(champion, own, market, window_ms, settings)
    return Comparison(walk, metrics, without_champion)
