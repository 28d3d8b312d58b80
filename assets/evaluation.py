"""Evaluation: how true the candidate's probabilities were on rows that it had not seen."""

import dagster as dg

from orchestration.partitions import symbol, symbol_by_week
from orchestration.presentation.metadata import figures as numbers
from orchestration.presentation.metadata import picture, table
from orchestration.resources.blocking_checks import require_green
from orchestration.resources.bundle_store import BundleStore
from orchestration.resources.failures import PASSING_FAULTS, failures
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.research_settings import ResearchSettings
from orchestration.resources.tracking import RunLog, Tracking
from research.gates.evidence import Evaluation
from research.training.tracked import TrackedCandidate

GROUP = "evaluation"


@dg.asset(
    key=[GROUP, "report"],
    group_name=GROUP,
    partitions_def=symbol_by_week,
    ins={"tracked": dg.AssetIn(["training", "candidate"])},
    retry_policy=PASSING_FAULTS,
)
@failures()
def report(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[ResearchSettings],
    promotion_store: dg.ResourceParam[PromotionStore],
    bundles: dg.ResourceParam[BundleStore],
    tracking: dg.ResourceParam[Tracking],
    tracked: TrackedCandidate,
) -> dg.MaterializeResult[Evaluation]:
    """Hold how true the gate folds' probabilities were, and every model's skill beside the class
    prior, the calendar, persistence, the rules and the champion.
    """
    from research.evaluation import figures
    from research.gates import evidence
    from research.gates.comparison import predecessor_of

    require_green(context)
    champion = promotion_store.standing(symbol(context)).champion
    held = predecessor_of(bundles.candidate(champion))
    found = evidence.evaluate(tracked.candidate, settings.load(), held)
    plot = figures.reliability_png(found.curves)
    skill = found.skill
    skills = figures.skill_png(skill) if skill else b""
    over_prior = skill.stack.over_prior if skill else None
    figures_of = {
        "calibration_mae": found.calibration_mae,
        "disagreement": found.disagreement,
        **({"skill": over_prior.value} if over_prior else {}),
    }
    plots = {"reliability.png": plot} | ({"skill.png": skills} if skill else {})
    log = RunLog("", metrics=figures_of, files=plots)
    tracking.add(tracked.tracking_run, log)
    return dg.MaterializeResult(
        value=found,
        metadata={
            "dagster/row_count": found.rows,
            **({"knows": skill.sentence, "skill_table": table(skill.table())} if skill else {}),
            **({"skill_figure": picture(skills, "skill")} if skill else {}),
            **numbers(figures_of),
            "classes": table({"class": c.name, "mae": c.mae} for c in found.curves),
            "reliability": picture(plot, "reliability"),
        },
    )


@dg.asset_check(asset=[GROUP, "report"], blocking=True, partitions_def=symbol_by_week)
def every_class_was_predicted_on_unseen_rows(report: Evaluation) -> dg.AssetCheckResult:
    """Each class has a reliability curve over all gate rows, with shares that are shares."""
    rows = {curve.name: int(curve.rows.sum()) for curve in report.curves}
    shares = [value for curve in report.curves for value in curve.observed.tolist()]
    sound = len(rows) == 3 and min(rows.values()) > 0 and all(0 <= value <= 1 for value in shares)
    return dg.AssetCheckResult(
        passed=sound,
        description=f"found labelled rows {rows}, expected three classes with rows each",
        metadata=numbers({"rows": report.rows, "calibration_mae": report.calibration_mae}),
    )
