"""The warehouse is rebuilt once after the ingests that ran beside one another."""

import time

import dagster as dg
import pytest

from jobs.ingest import ingest_job, warehouse_job
from orchestration.resources.attempts import FIRST_WAIT_S, next_attempt
from sensors.warehouse import warehouse_sensor


def ticked(instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    """Return what one tick of the sensor asks for."""
    result = warehouse_sensor(dg.build_sensor_context(instance=instance, cursor=cursor))
    assert isinstance(result, dg.SensorResult)
    return result


def ingest(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> str:
    """Put a run of the ingest on record and return its id."""

    @dg.job(name=ingest_job.name)
    def standing_in() -> None:
        """Do nothing."""

    return instance.create_run_for_job(standing_in, status=status).run_id


@pytest.mark.parametrize("end", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE])
def test_the_warehouse_follows_an_ingest_once(end: dg.DagsterRunStatus) -> None:
    """After an ingest, passed or failed, one run is asked for, and none at the next tick."""
    with dg.DagsterInstance.ephemeral() as instance:
        assert not ticked(instance).run_requests
        run = ingest(instance, end)
        first = ticked(instance)
        again = ticked(instance, first.cursor)
    assert [request.run_key for request in first.run_requests or ()] == [run]
    assert not again.run_requests


def test_the_warehouse_waits_for_the_last_of_several_ingests() -> None:
    """While a symbol is still under way or queued nothing is built; then all are in it at once."""
    with dg.DagsterInstance.ephemeral() as instance:
        ingest(instance, dg.DagsterRunStatus.SUCCESS)
        queued = ingest(instance, dg.DagsterRunStatus.STARTED)
        waiting = ticked(instance)
        run = instance.get_run_by_id(queued)
        assert run is not None
        instance.report_run_canceled(run)
        done = ticked(instance, waiting.cursor)
    assert not waiting.run_requests
    assert len(done.run_requests or ()) == 1


def test_a_rebuild_that_failed_is_asked_for_again() -> None:
    """A failed rebuild does not use up the ingest that it was for; its next attempt waits."""
    with dg.DagsterInstance.ephemeral() as instance:
        ended = ingest(instance, dg.DagsterRunStatus.SUCCESS)
        first = ticked(instance)
        (request,) = first.run_requests or ()

        @dg.job(name=warehouse_job.name)
        def standing_in() -> None:
            """Do nothing."""

        failed = instance.create_run_for_job(
            standing_in, status=dg.DagsterRunStatus.FAILURE, tags=request.tags
        )
        waiting = ticked(instance, first.cursor)
        later = next_attempt(instance, ended, time.time() + FIRST_WAIT_S)
    assert not waiting.run_requests
    assert later is not None
    assert failed.run_id in later.run_key
