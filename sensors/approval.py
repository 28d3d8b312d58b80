"""An approval starts the publication."""

import dagster as dg

from jobs.promotion import publication_config, publish_promotion_job
from orchestration.resources.clock import now_ms
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.registry import follow
from orchestration.resources.tracking import Tracking, TrackingUnreachableError, model_name


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
    record are published all the same.
    """
    followed = int(context.cursor or 0)
    try:
        adopt_tagged_approvals(promotion_store, tracking)
        entries = promotion_store.entries()
        for sentence in follow(entries[followed:], promotion_store, tracking):
            context.log.warning(sentence)
        followed = len(entries)
    except TrackingUnreachableError as error:
        context.log.warning(f"MLflow does not follow: {error}")
    asked = [
        dg.RunRequest(run_key=answer.digest, run_config=publication_config(request.id))
        for request, answer in promotion_store.publishable()
    ]
    if not asked:
        return dg.SensorResult(skip_reason="nothing approved waits", cursor=str(followed))
    return dg.SensorResult(run_requests=asked, cursor=str(followed))


def adopt_tagged_approvals(promotion_store: PromotionStore, tracking: Tracking) -> None:
    """Turn approvals given by a tag in MLflow into the record that every approval ends in."""
    pending = {request.id: request for request in promotion_store.pending()}
    if not pending:
        return
    models = sorted({model_name(one.symbol, one.timeframe) for one in pending.values()})
    for tagged in tracking.tagged_approvals(models):
        request = pending.get(tagged.request_id)
        if request is None:
            continue
        note = "by the tag tidegate.approval in MLflow"
        promotion_store.decide(request.id, "approved", tagged.approver, note, now_ms())
