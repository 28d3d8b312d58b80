"""From a candidate and its market to the evidence that the gates judge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from research.backtest.walk_forward import WalkForward
from research.datasets.table import TrainingTable
from research.evaluation.reliability import Reliability, calibration_mae, disagreement, reliability
from research.gates.accounts import Accounts
from research.gates.gates import Evidence
from research.settings import Settings
from research.training.candidate import Candidate


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Calibration of the gate folds, pooled, and how often the bases disagree on their rows."""

    calibration_mae: float
    curves: tuple[Reliability, ...]
    disagreement: float
    rows: int

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation, ready for JSON."""
        curves = [
            {
                "class": curve.name,
                "mae": curve.mae,
                "predicted": curve.predicted.tolist(),
                "observed": curve.observed.tolist(),
                "rows": curve.rows.tolist(),
            }
            for curve in self.curves
        ]
        return {
            "calibration_mae": self.calibration_mae,
            "disagreement": self.disagreement,
            "rows": self.rows,
            "curves": curves,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Return the evaluation that `to_dict` wrote."""
        curves = (
            Reliability(
                name=curve["class"],
                predicted=np.array(curve["predicted"], np.float64),
                observed=np.array(curve["observed"], np.float64),
                rows=np.array(curve["rows"], np.int64),
            )
            for curve in raw["curves"]
        )
        return cls(
            calibration_mae=raw["calibration_mae"],
            curves=tuple(curves),
            disagreement=raw["disagreement"],
            rows=raw["rows"],
        )


def evaluate_calibration(candidate: Candidate) -> Evaluation:
    """Return how true the gate folds' probabilities were."""
    rows = np.concatenate([fold.rows for fold in candidate.folds])
    p = np.concatenate([fold.probabilities for fold in candidate.folds])
    at = np.searchsorted(candidate.oof.rows, rows)
    y = candidate.oof.y[at]
    return Evaluation(
        calibration_mae(p, y), reliability(p, y), disagreement(candidate.oof.votes[at]), len(rows)
    )


def gather(
    candidate: Candidate,
    table: TrainingTable,
    walk: WalkForward | Accounts,
    evaluation: Evaluation,
    settings: Settings,
    *,
    without_funding: str,
) -> Evidence:
    """Return the evidence of a candidate trained on `table` and traded as in `walk`."""
    return Evidence(
        folds=walk.folds,
        whole=walk.whole,
        stressed=walk.stressed,
        calibration_mae=evaluation.calibration_mae,
        parity=candidate.parity,
        coverage={name: table.coverage[name] for name in candidate.feature_names},
        min_coverage=settings.validation.min_coverage,
        inference_cpu_ms=candidate.cost.cpu_ms,
        bundle_bytes=len(candidate.signal),
        funding_share=walk.funding_share,
        without_funding=without_funding,
    )
