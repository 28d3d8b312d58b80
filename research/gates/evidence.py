"""From a candidate and its market to the evidence that the gates judge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from research.backtest.walk_forward import Market, WalkForward, backtest_stream
from research.datasets.table import TrainingTable
from research.evaluation.metrics import Metrics
from research.evaluation.reliability import Reliability, calibration_mae, disagreement, reliability
from research.gates.accounts import Accounts
from research.gates.gates import Evidence
from research.graphs.export import PROBABILITIES
from research.graphs.runtime import outputs
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
    )


def champion_metrics(
    champion: Candidate,
    features: NDArray[np.float32],
    market: Market,
    window_ms: tuple[int, int],
    settings: Settings,
) -> Metrics:
    """Return one account of the champion over the decisions in [start, end) of `window_ms`.

    `features` float32[n,F'] are the champion's own columns for every bar. What the champion's
    final graph was trained on is judged by its gate folds' graphs, and only what came after its
    cutoff by the final graph: both candidates are compared on rows they had not seen. Decisions
    older than its first gate fold stay out.
    """
    decided_ms = market.bars.open_time_ms + settings.bar_ms
    rows = np.flatnonzero((decided_ms >= window_ms[0]) & (decided_ms < window_ms[1]))
    p = np.full((len(rows), 3), np.nan, np.float32)
    spans = [(fold.graph, fold.start_ms, fold.end_ms) for fold in champion.folds]
    spans.append((champion.signal, champion.training_window_ms[1], window_ms[1]))
    for graph, start, stop in spans:
        at = (decided_ms[rows] >= start) & (decided_ms[rows] < stop)
        if at.any():
            p[at] = outputs(graph, [PROBABILITIES], features[rows[at]])[0]
    return backtest_stream(market, [(int(rows[0]), p)], settings).whole
