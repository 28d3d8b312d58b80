"""A candidate's walk-forward backtest, and the champion's account over the same decisions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.features.registry import FEATURES
from kernel.observation import OBSERVATION_FIELDS, Series, observe
from research.candidate import Candidate
from research.evidence import champion_metrics
from research.matrix import Table, atr, feature_values
from research.metrics import Metrics
from research.settings import Settings
from research.walk_forward import Market, WalkForward, backtest


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the candidate earned by fold, in one account and under stress, and the champion."""

    walk: WalkForward
    champion: Metrics | None

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

    def record(self, champion_digest: str) -> dict[str, Any]:
        """Return the comparison, ready for JSON."""
        return {
            "folds": [fold.to_dict() for fold in self.walk.folds],
            "whole": self.walk.whole.to_dict(),
            "stressed": self.walk.stressed.to_dict(),
            "champion": self.champion.to_dict() if self.champion else None,
            "champion_digest": champion_digest,
        }


def compare(
    bars: Bars,
    series: Mapping[str, Series],
    matrix: Table,
    candidate: Candidate,
    champion: Candidate | None,
    settings: Settings,
) -> Comparison:
    """Trade the candidate's gate folds, and the champion on the decisions of the same bars.

    `matrix` holds every registered feature of every bar, as `research.matrix` makes it.
    """
    observed = observe(bars, series, settings.universe.bar_ms)
    funding = observed[:, OBSERVATION_FIELDS.index("funding_rate")]
    market = Market(bars, atr(matrix), funding)
    walk = backtest(market, candidate.folds, settings)
    if champion is None:
        return Comparison(walk, None)
    first_ms = walk.start_ms + settings.universe.bar_ms
    window_ms = (first_ms, first_ms + len(walk.result.equity) * settings.universe.bar_ms)
    own = _columns(feature_values(matrix), champion.feature_names)
    return Comparison(walk, champion_metrics(champion, own, market, window_ms, settings))


def _columns(features: NDArray[np.float64], names: tuple[str, ...]) -> NDArray[np.float32]:
    columns = [FEATURES.index(name) for name in names]
    return np.ascontiguousarray(features[:, columns].astype(np.float32))
