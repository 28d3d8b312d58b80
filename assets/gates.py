"""Gates: may the candidate be put before a person, and if not, for which reasons."""

from typing import Any

import dagster as dg

from orchestration.partitions import symbol, symbol_by_week, week
from orchestration.presentation.metadata import table
from orchestration.presentation.run_logs import gate_log
from orchestration.resources.blocking_checks import require_green
from orchestration.resources.failures import PASSING_FAULTS, failures
from orchestration.resources.research_settings import ResearchSettings
from orchestration.resources.tracking import Tracking, model_name
from research.datasets.files import TrainingSet
from research.gates.accounts import Accounts
from research.gates.evidence import Evaluation
from research.gates.gates import GateReport
from research.training.tracked import TrackedCandidate

GROUP = "gates"
SHOWN = ("gate", "fold", "value", "threshold", "passed", "reason")


@dg.multi_asset(
    group_name=GROUP,
    partitions_def=symbol_by_week,
    outs={
        "report": dg.AssetOut(
            key=[GROUP, "report"], description="Every gate's verdict and reason, as one record."
        ),
        "outcomes": dg.AssetOut(
            key=[GROUP, "outcomes"], description="Every gate's verdict and reason, a row each."
        ),
    },
    ins={
        "tracked": dg.AssetIn(["training", "candidate"]),
        "training_set": dg.AssetIn(["datasets", "training_set"]),
        "evaluation": dg.AssetIn(["evaluation", "report"]),
        "walk": dg.AssetIn(["backtest", "walk_forward"]),
    },
    retry_policy=PASSING_FAULTS,
)
@failures()
def verdict(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[ResearchSettings],
    tracking: dg.ResourceParam[Tracking],
    tracked: TrackedCandidate,
    training_set: TrainingSet,
    evaluation: Evaluation,
    walk: Accounts,
) -> tuple[dg.MaterializeResult[GateReport], dg.MaterializeResult[Any]]:
    """Judge the candidate on what was recorded of it; a refused one is written down as well."""
    from research.gates import gates, judgement

    require_green(context)
    chosen = settings.load()
    candidate = tracked.candidate
    spot = settings.universe().trades_spot
    found = judgement.judge(
        candidate,
        training_set.table,
        evaluation,
        walk,
        chosen,
        without_funding=gates.without_funding(symbol(context), chosen.gates, spot=spot),
    )
    rows = judgement.outcome_table(found, symbol(context), week(context))
    log = gate_log(found)
    model = model_name(symbol(context), chosen.timeframe)
    tracking.add(tracked.tracking_run, log)
    state = "pending" if found.accepted else "rejected"
    version = tracking.register(tracked.tracking_run, model, candidate.signal, state, log.tags)
    shown = {"verdict": log.tags["gate"], "gates": table(rows[list(SHOWN)].to_dict("records"))}
    described = {**shown, "digest": found.digest, "model_version": f"{model} {version}"}
    return (
        dg.MaterializeResult(asset_key=[GROUP, "report"], value=found, metadata=described),
        dg.MaterializeResult(
            asset_key=[GROUP, "outcomes"],
            value=rows,
            metadata={"dagster/row_count": len(rows), **shown},
        ),
    )


@dg.asset_check(asset=[GROUP, "report"], blocking=True, partitions_def=symbol_by_week)
def candidate_passes_every_gate(report: GateReport) -> dg.AssetCheckResult:
    """No gate refuses the candidate; where one does, nothing is bundled or asked."""
    refused = [one for one in report.outcomes if not one.passed]
    return dg.AssetCheckResult(
        passed=report.accepted,
        description="; ".join(report.refusals) or "every gate passed",
        metadata={
            "refused": len(refused),
            "reasons": table({"gate": one.gate, "reason": one.reason} for one in refused),
        },
    )
