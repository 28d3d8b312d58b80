"""An approval starts the publication."""

import dagster as dg

from jobs.promotion import publication_config, publish_promotion_job
from kernel.errors import TidegateError
from orchestration.resources.attempts import next_attempt
from orchestration.resources.clock import now_ms
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.registry import PORTION, PORTION_BESIDE_WORK, follow
from orchestration.resources.tracking import TaggedApproval, Tracking, model_name


@dg.sensor(
    job=publish_promotion_job,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def approval_sensor(
    context: dg.SensorEvaluationContext, promotion_store: PromotionStore, tracking: Tracking
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

    Returns a sentence for each that could not be adopted, which stays as it is.
    """
    pending = {request.id: request for request in promotion_store.pending()}
    if not pending:
        return []
    models = sorted({model_name(one.symbol, one.timeframe) for one in pending.values()})
    try:
        tagged = tracking.tagged_approvals(models)
    except TidegateError as error:
        return [f"approvals by tag are read later: {error}"]
    adopted = [_adopted(promotion_store, one) for one in tagged if one.request_id in pending]
    return [sentence for sentence in adopted if sentence]


def _adopted(promotion_store: PromotionStore, tagged: TaggedApproval) -> str:
    """Record the approval that a tag gives; return '' or why it is none."""
    try:
        promotion_store.decide(
            request_id=tagged.request_id,
            decision="approved",
            approver=tagged.approver,
            note="by the tag tidegate.approval in MLflow",
            now_ms=now_ms(),
        )
    except TidegateError as error:
        return f"the tag tidegate.approval approves nothing: {error}"
    return ""
