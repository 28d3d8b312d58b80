"""Failed runs and failed checks reach the notifier, each once."""

import json
from pathlib import Path

import dagster as dg
import pytest

from orchestration.resources.notifier import Notifier
from sensors.failures import RUNS_PER_TICK, failed_check_sensor, failed_run_sensor


@dg.op
def divide() -> float:
    return 1 / 0


@dg.job
def broken_job() -> None:
    divide()


@dg.asset
def candle() -> int:
    return 1


@dg.asset_check(asset=candle)
def candle_is_green() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, description="found a red one")


@dg.asset_check(asset=candle)
def candle_is_there() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@pytest.fixture
def notifier(tmp_path: Path) -> Notifier:
    return Notifier(path=str(tmp_path / "logs" / "notifications.jsonl"))


def told(notifier: Notifier) -> list[dict[str, object]]:
    path = Path(notifier.path)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_failed_run_sensor_names_the_job_and_the_error(notifier: Notifier) -> None:
    """A person reads which job failed and with what, without opening the UI."""
    with dg.instance_for_test() as instance:
        result = broken_job.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="failed_run_sensor",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_failure_event(),
            resources={"notifier": notifier},
        ).for_run_failure()
        failed_run_sensor(context)
    assert [one["kind"] for one in told(notifier)] == ["run_failed"]
    assert str(told(notifier)[0]["subject"]).startswith("broken_job ")
    assert told(notifier)[0]["detail"] == "ZeroDivisionError: division by zero"


def test_failed_check_sensor_tells_each_failed_check_once(notifier: Notifier) -> None:
    """Passed checks are silent; a failed one is told once and not again at the next tick."""
    with dg.instance_for_test() as instance:
        dg.materialize(
            [candle, candle_is_green, candle_is_there], instance=instance, raise_on_error=False
        )
        cursor = None
        for _ in range(2):
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, resources={"notifier": notifier}
            )
            result = failed_check_sensor(context)
            assert isinstance(result, dg.SensorResult)
            cursor = result.cursor
    assert [(one["subject"], one["detail"]) for one in told(notifier)] == [
        ("candle candle_is_green", "found a red one")
    ]


def ticked(instance: dg.DagsterInstance, notifier: Notifier, cursor: str | None) -> str | None:
    """Evaluate the sensor of checks once and return its cursor."""
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"notifier": notifier}
    )
    result = failed_check_sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result.cursor


def fail_once(instance: dg.DagsterInstance) -> str:
    """Let a check fail in a run of its own; return the run's id."""
    result = dg.materialize([candle, candle_is_green], instance=instance, raise_on_error=False)
    return result.run_id


def test_old_failures_are_not_told_again_after_a_lost_cursor(notifier: Notifier) -> None:
    """A reset sensor goes on after what was told last, and misses nothing that failed since."""
    with dg.instance_for_test() as instance:
        fail_once(instance)
        ticked(instance, notifier, None)
        ticked(instance, notifier, None)
        assert len(told(notifier)) == 1
        fail_once(instance)
        ticked(instance, notifier, None)
    assert len(told(notifier)) == 2


def test_a_run_that_changes_after_its_end_is_not_told_again(notifier: Notifier) -> None:
    """A tag on an old run, as a person or a retry sets it, makes no new alarm."""
    with dg.instance_for_test() as instance:
        first = fail_once(instance)
        cursor = ticked(instance, notifier, None)
        fail_once(instance)
        cursor = ticked(instance, notifier, cursor)
        instance.add_run_tags(first, {"looked": "at"})
        ticked(instance, notifier, cursor)
    assert len(told(notifier)) == 2


def test_a_backlog_is_told_in_portions_that_keep_their_place(notifier: Notifier) -> None:
    """More runs than a tick takes, ended in one moment, are all told, each once."""
    with dg.instance_for_test() as instance:
        failed = fail_once(instance)
        log = instance.all_logs(failed, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        runs = RUNS_PER_TICK + 5

        @dg.job
        def standing_in() -> None:
            """Do nothing."""

        for _ in range(runs):
            run = instance.create_run_for_job(standing_in, status=dg.DagsterRunStatus.SUCCESS)
            event = log[0].dagster_event
            assert event is not None
            instance.report_dagster_event(event, run.run_id)
        cursor = None
        counts: list[int] = []
        for _ in range(3):
            cursor = ticked(instance, notifier, cursor)
            counts.append(len(told(notifier)))
    assert counts == [RUNS_PER_TICK, runs + 1, runs + 1]
