"""What a retrain shows in MLflow: the parent run and one nested run per base."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg

from market_data.window import moment
from orchestration.presentation.metadata import DIGEST, span
from orchestration.resources.clock import now_ms
from orchestration.resources.tracking import NOTE_TAG, DatasetLog, RunLog
from research.bundles.revision import git_commit, source_revision
from research.gates.thresholds import thresholds_digest, thresholds_of

if TYPE_CHECKING:
    from orchestration.presentation.decision import DecisionPage
    from research.datasets.files import TrainingSet
    from research.gates.comparison import Comparison
    from research.gates.gates import GateReport
    from research.settings import Settings
    from research.training.candidate import Candidate


def parent_log(
    *,
    symbol: str,
    week: str,
    candidate: "Candidate",
    settings: "Settings",
    feature_set: str,
    run: str,
    started_ms: int,
    plots: Mapping[str, bytes],
) -> RunLog:
    """Return the run of a retrain: its settings, and how true its graph is to its parts.

    `run` is the Dagster run that a person or a schedule asked for, begun at `started_ms`; with
    symbol and week it is the origin.
    """
    shown = {
        "labels": settings.labels,
        "validation": settings.validation,
        "trading": settings.trading,
        "meta": settings.models.meta,
        "stack": settings.models.stack,
        "gates": settings.gates,
    }
    params = {f"{part}.{key}": value for part, one in shown.items() for key, value in _flat(one)}
    first_ms, last_ms = candidate.training_window_ms
    return RunLog(
        name=f"{symbol} {week}",
        params={
            **params,
            "features": len(candidate.feature_names),
            "feature_set": feature_set,
            "bases": ", ".join(candidate.bases),
            "span": span(first_ms, last_ms),
            "cutoff": moment(last_ms),
            "thresholds_digest": thresholds_digest(thresholds_of(settings.gates)),
            "git": git_commit() or "none",
            "code": source_revision()[:DIGEST],
        },
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
        started_ms=started_ms,
    )


def started_ms(context: dg.AssetExecutionContext) -> int:
    """Return when the run of a step began, milliseconds UTC."""
    record = context.instance.get_run_record_by_id(context.run_id)
    if record is None or record.start_time is None:
        return now_ms()
    return int(record.start_time * 1_000)


def training_figures(candidate: "Candidate") -> dict[str, bytes]:
    """Return what the bases lean on: mean |SHAP| of the boosters, and every base's importances."""
    from research.evaluation.figures import features_png

    return {
        "shap_summary": features_png("Mean |SHAP|", candidate.contributions),
        "importances": features_png("Importances", candidate.importances),
    }


def base_logs(candidate: "Candidate", settings: "Settings", parent: RunLog) -> list[RunLog]:
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
            origin=f"{parent.origin} {base}",
            started_ms=parent.started_ms,
        )
        for base in dict.fromkeys(one.base for one in candidate.scores)
    ]


def accounts_log(found: "Comparison", picture: bytes) -> RunLog:
    """Return what the folds earned: a series over the folds, its worst value, and each account.

    The whole account's figures carry no prefix: they are the candidate's own. On the bars that it
    shares with a champion it has others only where not every bar is shared.
    """
    series = found.series()
    worst = {
        f"worst_fold_{name}": min(series[f"fold_{name}"])
        for name in ("profit_factor", "win_rate", "trades", "total_return")
    }
    worst["worst_fold_max_drawdown"] = max(series["fold_max_drawdown"])
    return RunLog("", metrics={**series, **worst}, files={"equity.png": picture})


def gate_log(decision: "DecisionPage", training_set: "TrainingSet") -> RunLog:
    """Return the verdict, what it was trained on, and the page of the decision.

    What the other stages logged of the candidate is not repeated.
    """
    report = decision.report
    learned = training_set.table
    compared = {n: one for n, one in decision.headline.items() if n == "score_delta"}
    return RunLog(
        name="",
        params={"rows": len(learned.y)},
        metrics={"refused": float(not report.accepted), **compared},
        tags={**verdict_tags(report, decision.sentence), NOTE_TAG: decision.note()},
        dataset=DatasetLog(
            name=f"{decision.symbol} training set",
            source=f"datasets/training_set {decision.symbol} {decision.week}",
            digest=learned.digest,
            rows=len(learned.y),
            features=len(learned.feature_names),
        ),
    )


def verdict_tags(report: "GateReport", sentence: str) -> dict[str, str]:
    """Return the tags that say, on a run and on its model's version, what the gates decided."""
    return {
        "gate": "accepted" if report.accepted else "refused",
        "verdict": sentence,
        "gate_report_digest": report.digest,
    }


def _flat(record: Any) -> list[tuple[str, Any]]:
    return list(asdict(record).items())
