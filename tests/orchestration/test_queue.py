"""Dagster's own queue, with our settings: what people wait for does not wait for long work."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)

from jobs.ingest import ingest_job, warehouse_job
from jobs.monitor import monitor_job
from jobs.promotion import (
    approve_promotion_job,
    decline_promotion_job,
    publish_promotion_job,
    rollback_job,
)
from jobs.retrain import retrain_job
from orchestration.environments import Environment
from orchestration.local.instance import write_instance
from orchestration.queue import BACKFILL, LONG_RUNS, RETRAINED

LONG_JOBS = (retrain_job, ingest_job, warehouse_job, monitor_job)
URGENT_JOBS = (
    publish_promotion_job,
    rollback_job,
    approve_promotion_job,
    decline_promotion_job,
)
ORIGIN = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("tidegate"), "__repository__")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Return an instance with the settings of an installation."""
    environment = Environment.from_environ({"TIDEGATE_HOME": str(tmp_path)})
    with dg.DagsterInstance.from_config(str(write_instance(environment))) as one:
        yield one


def queue(instance: dg.DagsterInstance, name: str, tags: dict[str, str]) -> str:
    """Put a run into the queue and return its id."""

    @dg.job(name=name)
    def standing_in() -> None:
        """Do nothing."""

    run = instance.create_run_for_job(
        standing_in,
        tags=tags,
        status=dg.DagsterRunStatus.QUEUED,
        remote_job_origin=RemoteJobOrigin(ORIGIN, name),
    )
    return run.run_id


def dequeued(instance: dg.DagsterInstance) -> list[str]:
    """Let the queue choose once, start what it chose, and return the ids in order."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    config = instance.get_concurrency_config()
    chosen = daemon._get_runs_to_dequeue(instance, config, fixed_iteration_time=None)
    for run in chosen:
        started = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name)
        instance.report_dagster_event(started, run.run_id)
    return [run.run_id for run in chosen]


@pytest.mark.parametrize("job", URGENT_JOBS, ids=lambda job: job.name)
@pytest.mark.parametrize("backfill", [True, False], ids=["backfill", "schedule"])
def test_what_people_wait_for_starts_beside_a_heap_of_retrains(
    instance: dg.DagsterInstance, job: dg.JobDefinition, backfill: bool
) -> None:
    """A slot is free for it at once, however many retrains run and wait."""
    tags = dict(retrain_job.tags or {}) | ({BACKFILL: "abcdef"} if backfill else {})
    for _ in range(12):
        queue(instance, "retrain_job", tags)
    assert len(dequeued(instance)) == LONG_RUNS
    assert dequeued(instance) == []
    urgent = queue(instance, job.name, dict(job.tags))
    assert dequeued(instance) == [urgent]


def test_a_backfill_of_assets_and_long_jobs_together_leave_a_slot(
    instance: dg.DagsterInstance,
) -> None:
    """Assets that a person chose carry no tag of a job, and are held back as a backfill."""
    for _ in range(12):
        queue(instance, "__ASSET_JOB", {BACKFILL: "abcdef"})
        queue(instance, "ingest_job", dict(ingest_job.tags or {}))
    dequeued(instance)
    urgent = queue(instance, "rollback_job", dict(rollback_job.tags))
    assert dequeued(instance) == [urgent]


def test_what_people_wait_for_is_taken_first(instance: dg.DagsterInstance) -> None:
    """Queued last, it starts first."""
    queue(instance, "retrain_job", dict(retrain_job.tags or {}))
    urgent = queue(instance, "rollback_job", dict(rollback_job.tags))
    assert dequeued(instance)[0] == urgent


def test_the_weeks_of_a_symbol_are_retrained_one_after_the_other(
    instance: dg.DagsterInstance,
) -> None:
    """A week is compared with the champion that the week before it left."""
    tags = dict(retrain_job.tags or {})
    first = queue(instance, "retrain_job", {**tags, RETRAINED: "BTCUSDT"})
    queue(instance, "retrain_job", {**tags, RETRAINED: "BTCUSDT"})
    other = queue(instance, "retrain_job", {**tags, RETRAINED: "ETHUSDT"})
    assert dequeued(instance) == [first, other]


def test_every_long_job_shares_the_slots_of_long_work() -> None:
    """No job that takes minutes goes past the limit."""
    assert {job.name: dict(job.tags or {}) for job in LONG_JOBS} == {
        job.name: {"tidegate/pace": "long"} for job in LONG_JOBS
    }
