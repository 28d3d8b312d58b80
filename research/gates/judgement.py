# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pandas ships no types for this; what leaves this file is typed.
"""What evaluation and backtest found, as records that the gates read back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from research.datasets.matrix import Table
from research.datasets.table import TrainingTable
from research.evaluation.metrics import Metrics
from research.gates import gates
from research.gates.evidence import Evaluation
from research.gates.gates import Evidence, GateReport
from research.settings import Settings
from research.training.candidate import Candidate


def evaluation_record(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation, ready for JSON."""
    curves = [
        {
            "class": curve.name,
            "mae": curve.mae,
            "predicted": curve.predicted.tolist(),
            "observed": curve.observed.tolist(),
            "rows": curve.rows.tolist(),
        }
        for curve in evaluation.curves
    ]
    return {
        "calibration_mae": evaluation.calibration_mae,
        "disagreement": evaluation.disagreement,
        "rows": evaluation.rows,
        "curves": curves,
    }


def judge(
    candidate: Candidate,
    table: TrainingTable,
    evaluation: Mapping[str, Any],
    walk: Mapping[str, Any],
    settings: Settings,
) -> GateReport:
    """Return the gates' report on what was recorded of a candidate."""
    evidence = Evidence(
        folds=tuple(Metrics(**fold) for fold in walk["folds"]),
        whole=Metrics(**walk["whole"]),
        stressed=Metrics(**walk["stressed"]),
        calibration_mae=evaluation["calibration_mae"],
        parity=candidate.parity,
        coverage={name: table.coverage[name] for name in candidate.feature_names},
        min_coverage=settings.validation.min_coverage,
        inference_cpu_ms=candidate.cost.cpu_ms,
        bundle_bytes=len(candidate.signal),
    )
    champion = Metrics(**walk["champion"]) if walk["champion"] else None
    return gates.evaluate(evidence, champion, settings.gates, walk["without_champion"])


def outcome_table(report: GateReport, symbol: str, week: str) -> Table:
    """Return a row per outcome; `fold` is a text, "all" for a gate over all folds.

    A threshold is NaN where there was nothing to compare.
    """
    import pandas as pd

    rows = [
        {
            "symbol": symbol,
            "week": week,
            **asdict(outcome),
            "fold": "all" if outcome.fold is None else str(outcome.fold),
        }
        for outcome in report.outcomes
    ]
    return pd.DataFrame(rows).astype({"value": "float64", "threshold": "float64"})
