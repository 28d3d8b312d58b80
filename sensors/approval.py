"""An approval starts the publication."""

import dagster as dg

from jobs.promotion import publication_config, publish_promotion_job
from kernel.errors import TidegateError
from market_data.window import moment
from orchestration.resources.attempts import next_attempt
from orchestration.resources.clock import now_ms
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.registry import PORTION, PORTION_BESIDE_WORK, follow
from orchestration.resources.tracking import TaggedApproval, Tracking, model_name
from research.promotion.records import Approval, DecisionRefusedError


@dg.sensor(
    job=publish_promotion_job,
    description="Publishes what a person approved, by job, shell or MLflow tag; MLflow follows.",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def approval_sensor(
    context: dg.SensorEvaluationContext,
    promotion_store: dg.ResourceParam[PromotionStore],
    tracking: dg.ResourceParam[Tracking],
) -> dg.SensorResult:
    """Publish what a person approved: by job, on the command line, or by a tag in the MLflow UI.

    MLflow follows the audit log from where the last tick left it; while it is down, approvals on
    record are published all the same. What is wrong with one request is said, and stops no other.
    A publication whose run failed is asked for again, as long as its approval stands.
    """
    for sentence in (
        *promotion_store.damaged(),
        *adopt_tagged_approvals(promotion_store, tracking),
    ):
        context.log.warning(sentence)
    asked: list[dg.RunRequest] = []
    for request, answer in promotion_store.publishable():
        attempt = next_attempt(context.instance, answer.digest, now_ms() / 1_000)
        if attempt is not None:
            config = publication_config(request.id)
            asked.append(
                dg.RunRequest(run_key=attempt.run_key, run_config=config, tags=attempt.tags)
            )
    followed = follow(
        promotion_store.entries(),
        int(context.cursor or 0),
        promotion_store,
        tracking,
        portion=PORTION_BESIDE_WORK if asked else PORTION,
    )
    for sentence in followed.warnings:
        context.log.warning(sentence)
    return dg.SensorResult(
        run_requests=asked,
        skip_reason=None if asked else "nothing approved waits",
        cursor=str(followed.entries),
    )


def adopt_tagged_approvals(promotion_store: PromotionStore, tracking: Tracking) -> list[str]:
    """Turn approvals given by a tag in MLflow into the record that every approval ends in.

    Each tag is answered beside it, in words. Returns a sentence for each that approved nothing.
    """
    waiting = promotion_store.unpublished()
    if not waiting:
        return []
    models = sorted({model_name(one.symbol, one.timeframe) for one in waiting})
    try:
        tagged = tracking.tagged_approvals(models, decided=True)
    except TidegateError as error:
        return [f"approvals by tag are read later: {error}"]
    known = {one.id for one in waiting}
    untaken: list[str] = []
    for one in tagged:
        if one.request_id in known:
            try:
                untaken += _taken(promotion_store, tracking, one)
            except TidegateError as error:
                untaken.append(f"the tag on {one.model} {one.version} is answered later: {error}")
    return untaken


def _taken(
    promotion_store: PromotionStore, tracking: Tracking, tagged: TaggedApproval
) -> list[str]:
    """Record the approval that a tag gives, and answer it; return why it gives none, if so."""
    at_ms = now_ms()
    last = promotion_store.approval(tagged.request_id)
    if last is not None:
        refused = _standing(last, tagged, at_ms, spent=promotion_store.came_to_nothing(last))
        if refused:
            tracking.answer(tagged, refused, done=True)
            return [f"{tagged.request_id}: {refused}"]
    try:
        answer = promotion_store.decide(
            request_id=tagged.request_id,
            decision="approved",
            approver=tagged.approver,
            note="by the tag tidegate.approval in MLflow",
            now_ms=at_ms,
        )
    except DecisionRefusedError as error:
        refused = f"the tag tidegate.approval approves nothing: {error}"
        tracking.answer(tagged, refused, done=False)
        return [refused]
    until = moment(answer.expires_at_ms)
    tracking.answer(tagged, f"approved by {answer.approver} until {until} UTC", done=True)
    return []


def _standing(last: Approval, tagged: TaggedApproval, at_ms: int, *, spent: bool) -> str:
    """Return why a tag is no new approval of a request that was decided before, '' where it is.

    A tag that nobody answered yet may be the one that was decided by: only one that was set after
    an answer is a new act of a person. `spent` says that publishing was refused on the last one.
    """
    if last.decision == "declined":
        return (
            f"not approved: {last.approver} declined it: {last.note}; approve by the job or "
            "`tidegate approve` to decide otherwise"
        )
    until = moment(last.expires_at_ms)
    if at_ms < last.expires_at_ms and not spent:
        return f"approved already by {last.approver}, until {until} UTC"
    if not tagged.answer:
        return (
            f"not approved: the approval by {last.approver}, until {until} UTC, expired or was "
            "refused when it was to be published; set tidegate.approval again to approve anew"
        )
    return ""
