"""The instance's settings: storage, queue, and no password on disk."""

from pathlib import Path

import dagster as dg
import yaml
from dagster._core.events import JobFailureData, RunFailureReason
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from orchestration.environments import Environment
from orchestration.local.instance import ensure_instance, mlflow_database, write_instance
from orchestration.queue import queue_settings


@dg.job
def retrain() -> None:
    """Stand for a job."""


URL = "postgresql://ada:secret@db.example:5432/tidegate"


def environment(home: Path, database: str | None = None) -> Environment:
    variables = {"TIDEGATE_HOME": str(home), "TIDEGATE_DATABASE_URL": database or ""}
    return Environment.from_environ(variables)


def test_write_instance_makes_a_home_that_dagster_takes(tmp_path: Path) -> None:
    """Dagster reads the file: two long runs at a time and room beside them, no telemetry."""
    folder = write_instance(environment(tmp_path))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        limits = {one["key"]: one["limit"] for one in queue.tag_concurrency_limits}
        assert limits["tidegate/pace"] == 2
        assert queue.max_concurrent_runs == queue_settings()["max_concurrent_runs"]
        assert instance.run_monitoring_enabled
        assert not instance.telemetry_enabled
    assert (tmp_path / "dagster" / "runs").exists() or (tmp_path / "dagster" / "history").exists()


def test_write_instance_keeps_the_password_out_of_the_file(tmp_path: Path) -> None:
    """The database URL stays in its environment variable; the file only names it."""
    text = (write_instance(environment(tmp_path, URL)) / "dagster.yaml").read_text()
    assert "secret" not in text
    storage = yaml.safe_load(text)["storage"]
    assert storage == {"postgres": {"postgres_url": {"env": "TIDEGATE_DATABASE_URL"}}}


def test_a_slow_start_is_no_failed_start(tmp_path: Path) -> None:
    """Dagster gives runs and code locations half an hour: on a busy machine seconds are minutes."""
    folder = write_instance(environment(tmp_path))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        assert instance.run_monitoring_start_timeout_seconds >= 1_800
        assert instance.code_server_process_startup_timeout >= 1_800


def test_killed_runs_are_resumed_and_refused_ones_are_not(tmp_path: Path) -> None:
    """Only a run whose process died goes on; a run that failed said why and stays failed."""
    folder = ensure_instance(environment(tmp_path))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        died, failed = (
            instance.create_run_for_job(retrain, status=dg.DagsterRunStatus.STARTED)
            for _ in range(2)
        )
        instance.report_run_failed(died)
        instance.report_run_failed(
            failed, job_failure_data=JobFailureData(None, RunFailureReason.STEP_FAILURE)
        )
        tags = [instance.get_run_by_id(one.run_id).tags for one in (died, failed)]
    assert [one.get("dagster/will_retry") for one in tags] == ["true", "false"]


@given(st.sampled_from([URL, f"{URL}?sslmode=require", "postgresql+psycopg2://p:@/x?host=/tmp/pg"]))
def test_mlflow_database_is_the_same_database_with_a_schema_of_its_own(url: str) -> None:
    """User, host, database and options stay; the search path is added."""
    before, after = make_url(url), make_url(mlflow_database(url))
    assert after.query["options"] == "-csearch_path=mlflow"
    assert {**after.query} == {**before.query, "options": "-csearch_path=mlflow"}
    assert (after.host, after.database, after.password) == (
        before.host,
        before.database,
        before.password,
    )
