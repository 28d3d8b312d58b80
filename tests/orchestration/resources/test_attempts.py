"""What a sensor asked for is asked for again after a failure, and only then."""

import time

import dagster as dg
import pytest

from orchestration.resources.attempts import ASKED_FOR, FIRST_WAIT_S, next_attempt

WANTED = "an approval's digest"


@dg.job
def standing_in() -> None:
    """Do nothing."""


def run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    return instance.create_run_for_job(standing_in, status=status, tags={ASKED_FOR: WANTED})


def test_a_failed_attempt_is_followed_by_another_under_a_key_of_its_own() -> None:
    """The first is due at once; after a failure the next is, but not before its wait is over."""
    with dg.DagsterInstance.ephemeral() as instance:
        first = next_attempt(instance, WANTED, time.time())
        run(instance, dg.DagsterRunStatus.FAILURE)
        early = next_attempt(instance, WANTED, time.time())
        second = next_attempt(instance, WANTED, time.time() + FIRST_WAIT_S)
        run(instance, dg.DagsterRunStatus.FAILURE)
        patient = next_attempt(instance, WANTED, time.time() + FIRST_WAIT_S)
        third = next_attempt(instance, WANTED, time.time() + 2 * FIRST_WAIT_S)
    assert first is not None
    assert second is not None
    assert third is not None
    assert early is None
    assert patient is None
    assert len({first.run_key, second.run_key, third.run_key}) == 3


@pytest.mark.parametrize(
    "status",
    [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.CANCELED,
    ],
)
def test_what_is_under_way_done_or_stopped_is_not_asked_for_again(
    status: dg.DagsterRunStatus,
) -> None:
    """Nothing is done twice, and what a person stopped stays stopped."""
    with dg.DagsterInstance.ephemeral() as instance:
        run(instance, dg.DagsterRunStatus.FAILURE)
        run(instance, status)
        assert next_attempt(instance, WANTED, time.time() + 1e6) is None
