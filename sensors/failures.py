"""A failure reaches a person."""

import dagster as dg

from jobs.promotion import now_ms
from orchestration.resources.notifier import Notifier

EVENTS_PER_TICK = 100


@dg.run_failure_sensor(minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def failed_run_sensor(context: dg.RunFailureSensorContext, notifier: Notifier) -> None:
    """Notify of every failed run, with the error of the step that failed first."""
    failed = context.get_step_failure_events()
    detail = failed[0].step_failure_data.error if failed else None
    told = detail.to_string() if detail is not None else context.failure_event.message
    run = context.dagster_run
    notifier.notify("run_failed", f"{run.job_name} {run.run_id}", told or "", now_ms())


@dg.sensor(minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def failed_check_sensor(context: dg.SensorEvaluationContext, notifier: Notifier) -> dg.SensorResult:
    """Notify of every failed asset check, with its description."""
    records = context.instance.get_event_records(
        dg.EventRecordsFilter(
            event_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION,
            after_cursor=int(context.cursor) if context.cursor else None,
        ),
        limit=EVENTS_PER_TICK,
        ascending=True,
    )
    for record in records:
        event = record.event_log_entry.dagster_event
        check = event.asset_check_evaluation_data if event is not None else None
        if check is not None and not check.passed:
            subject = f"{check.asset_key.to_user_string()} {check.check_name}"
            notifier.notify("check_failed", subject, check.description or "", now_ms())
    cursor = str(records[-1].storage_id) if records else context.cursor
    return dg.SensorResult(skip_reason=f"{len(records)} checks read", cursor=cursor)
