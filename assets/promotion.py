"""Promotion: the question put to a person, and the evidence it rests on."""

import dagster as dg

from orchestration.partitions import cutoff_ms, symbol, symbol_by_week, week
from orchestration.presentation.decision import DecisionPage, bound
from orchestration.presentation.metadata import link, picture, table
from orchestration.presentation.pictures import equities_png
from orchestration.presentation.places import approval_page
from orchestration.resources.blocking_checks import require_green
from orchestration.resources.clock import now_ms
from orchestration.resources.evidence import EvidenceReader
from orchestration.resources.failures import PASSING_FAULTS, failures
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.research_settings import ResearchSettings
from orchestration.resources.tracking import NOTE_TAG, RunLog, Tracking, model_name
from research.bundles.seal import Sealed
from research.gates.accounts import Accounts
from research.gates.gates import GateReport
from research.promotion.records import PromotionRequest

GROUP = "promotion"


@dg.asset(
    key=[GROUP, "request"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    ins={
        "bundle": dg.AssetIn(["bundles", "bundle"]),
        "walk": dg.AssetIn(["backtest", "walk_forward"]),
        "report": dg.AssetIn(["gates", "report"]),
    },
    retry_policy=PASSING_FAULTS,
)
@failures()
def request(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[ResearchSettings],
    promotion_store: dg.ResourceParam[PromotionStore],
    evidence: dg.ResourceParam[EvidenceReader],
    tracking: dg.ResourceParam[Tracking],
    bundle: Sealed,
    walk: Accounts,
    report: GateReport,
) -> dg.MaterializeResult[PromotionRequest]:
    """Hold the filed request: a bundle, and by digest everything a person's approval will bind."""
    require_green(context)
    timeframe = settings.universe().timeframe
    at_ms = now_ms()
    decision = DecisionPage(
        symbol=symbol(context),
        week=week(context),
        report=report,
        accounts=walk,
        before=promotion_store.request_of_champion(symbol(context)),
    )
    asked = PromotionRequest(
        symbol=symbol(context),
        timeframe=timeframe,
        week=week(context),
        bundle_digest=bundle.digest,
        gate_report_digest=bundle.gate_report_digest,
        data_digest=bundle.data_digest,
        as_of_ms=cutoff_ms(context),
        champion_digest=walk.champion_digest,
        created_at_ms=at_ms,
        verdicts=evidence.judged(symbol(context), week(context)),
        thresholds=report.thresholds,
        figures=decision.headline,
    )
    filed = promotion_store.submit(asked, at_ms)
    tags = {"bundle_digest": filed.bundle_digest, "request_id": filed.id}
    tracking.tag_version(model_name(filed.symbol, timeframe), bundle.tracking_run, tags)
    tracking.add(bundle.tracking_run, RunLog("", tags={NOTE_TAG: decision.note(filed.id)}))
    return dg.MaterializeResult(
        value=filed,
        metadata={
            **decision.metadata(),
            "equity": picture(equities_png(walk.curves), "equity of candidate and champion"),
            "approve": dg.MetadataValue.url(approval_page(filed.id)),
            "or_in_a_shell": f'tidegate approve {filed.id} --as "<your name>"',
            **link("mlflow", tracking.page(bundle.tracking_run)),
            "request_id": filed.id,
            "binds": table({"what": k, "value": v} for k, v in bound(filed).items()),
        },
    )


@dg.asset_check(asset=[GROUP, "request"], blocking=True, partitions_def=symbol_by_week)
def request_names_the_evidence_it_rests_on(
    request: PromotionRequest,
    evidence: dg.ResourceParam[EvidenceReader],
    promotion_store: dg.ResourceParam[PromotionStore],
) -> dg.AssetCheckResult:
    """Bundle, gate report, data and champion, derived again, are those that the request names."""
    from research.promotion.rules import broken_by_evidence

    champion = promotion_store.standing(request.symbol).champion
    broken = broken_by_evidence(request, evidence.derive(request), champion)
    return dg.AssetCheckResult(
        passed=not broken,
        description="; ".join(str(one) for one in broken) or "all evidence stands",
        metadata={"request_id": request.id},
    )
