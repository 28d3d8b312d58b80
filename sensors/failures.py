"""A failure reaches a person."""

import json
import textwrap
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._utils.error import SerializableErrorInfo

from orchestration.partitions import dimensions
from orchestration.resources.blocking_checks import GATES
from orchestration.resources.clock import now_ms
from orchestration.resources.notifier import Notifier

FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
KINDS = ("check_failed", "candidate_refused")
LINES_TOLD = 5
CHARACTERS_TOLD = 600
RUNS_PER_TICK = 50
RUNS_REMEMBERED = 200


@dg.run_failure_sensor(
    description="Tells people of every failed run: of what, and why.",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def failed_run_sensor(
    context: dg.RunFailureSensorContext, notifier: dg.ResourceParam[Notifier]
) -> None:
    """Notify of every failed run: of what, and why the step that failed first did."""
    failed = context.get_step_failure_events()
    detail = failed[0].step_failure_data.error if failed else None
    told = reason_of(detail) if detail is not None else context.failure_event.message
    run = context.dagster_run
    partition = run.tags.get("dagster/partition", "")
    subject = " ".join(filter(None, (run.job_name, partition, run.run_id)))
    notifier.notify("run_failed", subject, _short(told or ""), now_ms())


def reason_of(error: SerializableErrorInfo) -> str:
    """Return what an error came down to: the innermost cause, without stack traces.

    A step that a check stopped, or that is told to fail, says so itself.
    """
    while error.cause is not None:
        error = error.cause
    return error.message.strip()


def _short(text: str) -> str:
    lines = text.splitlines()[:LINES_TOLD]
    return textwrap.shorten(" | ".join(lines), CHARACTERS_TOLD, placeholder=" …")


@dg.sensor(
    description="Tells people of every red check, and of every candidate that the gate refused.",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def failed_check_sensor(
    context: dg.SensorEvaluationContext, notifier: dg.ResourceParam[Notifier]
) -> dg.SensorResult:
    """Notify of every failed asset check of a finished run, with its description; what the gate
    refused is told as `candidate_refused`, by symbol and week.

    A portion of the runs that ended is looked at in each tick, oldest first, and the place is kept.
    Without it, as after a reset, the last notification says until when everything was told.
    """
    seen = json.loads(context.cursor) if context.cursor else _from_what_was_told(notifier)
    since = float(seen["since"])
    told = list(seen["told"])
    records = context.instance.get_run_records(
        dg.RunsFilter(statuses=FINISHED, updated_after=datetime.fromtimestamp(since, UTC)),
        limit=RUNS_PER_TICK + len(told),  # those told already never fill a portion by themselves
        order_by="update_timestamp",
        ascending=True,
    )
    known = set(told)
    fresh = [record for record in records if record.dagster_run.run_id not in known]
    fresh = fresh[:RUNS_PER_TICK]
    for record in fresh:
        for check in failed_checks(context.instance, record.dagster_run.run_id):
            kind, subject = _told_as(check)
            notifier.notify(kind, subject, _short(check.description or ""), now_ms())
    if fresh:
        since = fresh[-1].update_timestamp.timestamp() - 1.0  # runs that end within one second
        # A run that is tagged or tried again counts as updated: it is not told as a new one.
        told = [*told, *(record.dagster_run.run_id for record in fresh)][-RUNS_REMEMBERED:]
    cursor = json.dumps({"since": since, "told": told})
    return dg.SensorResult(skip_reason=f"{len(fresh)} finished runs read", cursor=cursor)


def _told_as(check: dg.AssetCheckEvaluation) -> tuple[str, str]:
    """Return the kind and the subject of the notification of a failed check."""
    asset = check.asset_key.to_user_string()
    if asset == GATES and check.partition:
        return "candidate_refused", " ".join(dimensions(check.partition))
    return "check_failed", " ".join(filter(None, (asset, check.check_name, check.partition)))


def _from_what_was_told(notifier: Notifier) -> dict[str, Any]:
    """Return where to go on without a cursor: after the last failed check that was told."""
    return {"since": max(map(notifier.last_told_ms, KINDS)) / 1_000, "told": []}


def failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetCheckEvaluation]:
    """Return the failed check evaluations of one run."""
    logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    events = [entry.dagster_event for entry in logs if entry.dagster_event is not None]
    checks = [event.asset_check_evaluation_data for event in events]
    return [check for check in checks if not check.passed]
