"""New raw data has the warehouse rebuilt, once for all symbols."""

import dagster as dg

from jobs.ingest import ingest_job, warehouse_job
from orchestration.resources.attempts import next_attempt
from orchestration.resources.clock import now_ms

FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dg.sensor(
    job=warehouse_job,
    description="Rebuilds the warehouse once after the last of the ingests that run side by side.",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def warehouse_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Rebuild the warehouse after the last of the ingests that run beside one another.

    An ingest that failed or was stopped counts too: what had arrived is in the lake. A rebuild that
    failed is asked for again.
    """
    latest = context.instance.get_run_records(
        dg.RunsFilter(job_name=ingest_job.name, statuses=FINISHED),
        limit=1,
        order_by="update_timestamp",
        ascending=False,
    )
    if not latest:
        return dg.SensorResult(skip_reason="nothing was ingested yet")
    ended = latest[0].dagster_run.run_id
    attempt = next_attempt(context.instance, ended, now_ms() / 1_000)
    if attempt is None or context.cursor == attempt.run_key:
        return dg.SensorResult(skip_reason="the warehouse was rebuilt since, or is tried again")
    running = dg.RunsFilter(job_name=ingest_job.name, statuses=UNDER_WAY)
    if context.instance.get_runs_count(running):
        return dg.SensorResult(skip_reason="an ingest is under way", cursor=context.cursor)
    request = dg.RunRequest(run_key=attempt.run_key, tags=attempt.tags)
    return dg.SensorResult(run_requests=[request], cursor=attempt.run_key)
