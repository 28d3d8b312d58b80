"""A failure reaches a person."""

import json
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from orchestration.resources.clock import now_ms
from orchestration.resources.notifier import Notifier

FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
RUNS_PER_TICK = 50


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
    """Notify of every failed asset check of a finished run, with its description."""
    seen: dict[str, Any] = json.loads(context.cursor or "{}")
    since = float(seen.get("since", 0.0))
    told = set(seen.get("told", ()))
    records = context.instance.get_run_records(
        dg.RunsFilter(statuses=FINISHED, updated_after=datetime.fromtimestamp(since, UTC)),
        limit=RUNS_PER_TICK,
        order_by="update_timestamp",
        ascending=True,
    )
    fresh = [record for record in records if record.dagster_run.run_id not in told]
    for record in fresh:
        for check in failed_checks(context.instance, record.dagster_run.run_id):
            subject = f"{check.asset_key.to_user_string()} {check.check_name}"
            notifier.notify("check_failed", subject, check.description or "", now_ms())
    if fresh:
        since = fresh[-1].update_timestamp.timestamp() - 1.0  # runs that end within one second
        recent = [one for one in records if one.update_timestamp.timestamp() >= since]
        told = {record.dagster_run.run_id for record in recent}
    cursor = json.dumps({"since": since, "told": sorted(told)})
    return dg.SensorResult(skip_reason=f"{len(fresh)} finished runs read", cursor=cursor)


def failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetCheckEvaluation]:
    """Return the failed check evaluations of one run."""
    logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    events = [entry.dagster_event for entry in logs if entry.dagster_event is not None]
    checks = [event.asset_check_evaluation_data for event in events]
    return [check for check in checks if not check.passed]
