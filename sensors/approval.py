"""An approval starts the publication."""

import dagster as dg

from jobs.promotion import publication_config, publish_promotion_job
from orchestration.resources.clock import now_ms
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.tracking import Tracking, TrackingUnreachableError, model_name


@dg.sensor(
    job=publish_promotion_job,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def approval_sensor(
    context: dg.SensorEvaluationContext, promotion_store: PromotionStore, tracking: Tracking
) -> dg.SensorResult | dg.SkipReason:
    """Publish what a person approved: by job, on the command line, or by a tag in the MLflow UI."""
    try:
        adopt_tagged_approvals(promotion_store, tracking)
    except TrackingUnreachableError as error:
        context.log.warning(f"approvals by tag are not seen: {error}")  # recorded ones still count
    requests = [
        dg.RunRequest(run_key=answer.digest, run_config=publication_config(request.id))
        for request, answer in promotion_store.publishable()
    ]
    if not requests:
        return dg.SkipReason("no approved request waits to be published")
    return dg.SensorResult(run_requests=requests)


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
        model = model_name(request.symbol, request.timeframe)
        tracking.set_state(model, request.bundle_digest, "approved")
