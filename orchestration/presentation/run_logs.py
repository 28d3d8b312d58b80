"""What a retrain shows in MLflow: the parent run and one nested run per base."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from orchestration.resources.tracking import RunLog

if TYPE_CHECKING:
    from research.gates.gates import GateReport
    from research.settings import Settings
    from research.training.candidate import Candidate


def parent_log(
    symbol: str,
    week: str,
    candidate: "Candidate",
    settings: "Settings",
    run: str,
    plots: Mapping[str, bytes],
) -> RunLog:
    """Return the run of a retrain: its settings, and how true its graph is to its parts.

    `run` is the Dagster run that a person or a schedule asked for; with symbol and week it is the
    origin.
    """
    shown = {
        "labels": settings.labels,
        "validation": settings.validation,
        "trading": settings.trading,
        "meta": settings.models.meta,
        "stack": settings.models.stack,
    }
    params = {f"{part}.{key}": value for part, one in shown.items() for key, value in _flat(one)}
    return RunLog(
        name=f"{symbol} {week}",
        params={**params, "features": len(candidate.feature_names)},
        metrics={
            **{f"parity.{key}": value for key, value in _flat(candidate.parity)},
            "inference_cpu_ms": candidate.cost.cpu_ms,
            "inference_wall_p99_ms": candidate.cost.wall_p99_ms,
            "signal_bytes": float(len(candidate.signal)),
        },
        tags={
            "symbol": symbol,
            "week": week,
            "gate": "not judged",
            "dagster_run": run,
            "table_digest": candidate.table_digest,
        },
        files={f"{name}.png": png for name, png in plots.items()},
        origin=f"{run} {symbol} {week}",
    )


def training_figures(candidate: "Candidate") -> dict[str, bytes]:
    """Return what the bases lean on: mean |SHAP| of the boosters, and every base's importances."""
    from research.evaluation.figures import features_png

    return {
        "shap_summary": features_png("Mean |SHAP|", candidate.contributions),
        "importances": features_png("Importances", candidate.importances),
    }


def base_logs(candidate: "Candidate", settings: "Settings", origin: str) -> list[RunLog]:
    """Return a run per base: its settings, and its log-loss and accuracy block by block."""
    return [
        RunLog(
            name=base,
            params=dict(_flat(settings.models.base(base).settings)),
            metrics={
                "log_loss": [one.log_loss for one in candidate.scores if one.base == base],
                "accuracy": [one.accuracy for one in candidate.scores if one.base == base],
            },
            tags={"base": base},
            origin=f"{origin} {base}",
        )
        for base in dict.fromkeys(one.base for one in candidate.scores)
    ]


def gate_log(report: "GateReport") -> RunLog:
    """Return the verdict: each gate's values over the folds, and every reason of a refusal."""
    names = dict.fromkeys(one.gate for one in report.outcomes)
    return RunLog(
        name="",
        metrics={
            f"gate.{name}": [one.value for one in report.outcomes if one.gate == name]
            for name in names
        },
        tags={
            "gate": "accepted" if report.accepted else "refused",
            "gate_reasons": "; ".join(report.refusals) or "every gate passed",
            "gate_report_digest": report.digest,
        },
    )


def _flat(record: Any) -> list[tuple[str, Any]]:
    return list(asdict(record).items())
