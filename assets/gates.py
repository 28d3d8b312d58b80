"""Gates: may the candidate be put before a person, and if not, for which reasons."""

from typing import Any

import dagster as dg

from orchestration.partitions import symbol, symbol_by_week, week
from orchestration.presentation.decision import DecisionPage
from orchestration.presentation.metadata import link, short, span, table
from orchestration.presentation.run_logs import gate_log, verdict_tags
from orchestration.resources.blocking_checks import require_green
from orchestration.resources.failures import PASSING_FAULTS, failures
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.research_settings import ResearchSettings
from orchestration.resources.tracking import Tracking, model_name
from research.datasets.files import TrainingSet
from research.gates.accounts import Accounts
from research.gates.evidence import Evaluation
from research.gates.gates import GateReport
from research.training.tracked import TrackedCandidate

GROUP = "gates"
VERDICT = "tidegate/gate"  # the tag by which the list of runs shows what is green and refused
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
    promotion_store: dg.ResourceParam[PromotionStore],
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
    decision = DecisionPage(
        symbol=symbol(context),
        week=week(context),
        report=found,
        accounts=walk,
        before=promotion_store.request_of_champion(symbol(context)),
    )
    log = gate_log(decision, training_set)
    context.log.info(decision.sentence)
    context.instance.add_run_tags(context.run_id, {VERDICT: log.tags["gate"]})
    tracking.add(tracked.tracking_run, log)
    model = model_name(symbol(context), chosen.timeframe)
    version = tracking.register(
        tracked.tracking_run,
        model,
        candidate.signal,
        "pending" if found.accepted else "rejected",
        verdict_tags(found, decision.sentence),
    )
    rows = judgement.outcome_table(found, symbol(context), week(context))
    spans = {str(k): span(one.start_ms, one.end_ms) for k, one in enumerate(candidate.folds)}
    listed = [one | {"span": spans.get(one["fold"], "all folds")} for one in _records(rows)]
    shown = {**decision.metadata(), "gates": table(listed)}
    thresholds = found.thresholds.items()
    described = {
        **shown,
        "digest": short(found.digest),
        "thresholds": table({"in gates.yaml": k, "threshold": v} for k, v in thresholds),
        "thresholds_digest": short(found.thresholds_digest),
        "model_version": f"{model} {version}",
        **link("mlflow", tracking.page(tracked.tracking_run)),
    }
    return (
        dg.MaterializeResult(asset_key=[GROUP, "report"], value=found, metadata=described),
        dg.MaterializeResult(
            asset_key=[GROUP, "outcomes"],
            value=rows,
            metadata={"dagster/row_count": len(rows), **shown},
        ),
    )


def _records(rows: Any) -> list[dict[str, Any]]:
    return rows[list(SHOWN)].to_dict("records")


@dg.asset_check(asset=[GROUP, "report"], blocking=True, partitions_def=symbol_by_week)
def candidate_passes_every_gate(
    context: dg.AssetCheckExecutionContext, report: GateReport
) -> dg.AssetCheckResult:
    """No gate refuses the candidate; where one does, nothing is bundled or asked.

    A refusal is an answer and no fault: it is a warning, so that the run ends green, and the bundle
    that rests on it is not made (`orchestration.resources.blocking_checks`).
    """
    from research.gates import judgement

    refused = [one for one in report.outcomes if not one.passed]
    return dg.AssetCheckResult(
        passed=report.accepted,
        severity=dg.AssetCheckSeverity.WARN,
        description=judgement.sentence(report, symbol(context), week(context)),
        metadata={
            "refused": len(refused),
            "reasons": table({"gate": one.gate, "reason": one.reason} for one in refused),
        },
    )
