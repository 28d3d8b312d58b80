"""The Dagster instance of an installation: storage, queue, monitoring."""

from pathlib import Path
from typing import Any

from market_data.storage.locks import only_one
from market_data.storage.parquet import replace_file
from orchestration.environments import Environment
from orchestration.queue import queue_settings
from orchestration.resources.postgres import in_schema, made_schema

MLFLOW_SCHEMA = "mlflow"
SKIPPED_TICKS_DAYS = 3  # sensors tick every 5 seconds
RESUMED_TIMES = 3
LONGEST_RUN_S = 12 * 3600  # a run of which nobody hears any more gives its slot back after this


def write_instance(environment: Environment) -> Path:
    """Write `<home>/dagster/dagster.yaml` and return its folder, the DAGSTER_HOME."""
    import yaml

    folder = (environment.home / "dagster").resolve()
    text = yaml.safe_dump(instance_settings(environment), sort_keys=False)
    replace_file(folder / "dagster.yaml", text.encode())
    return folder


def ensure_instance(environment: Environment) -> Path:
    """Write the instance's settings and make its tables; return its folder, the DAGSTER_HOME.

    Dagster makes its SQLite tables on first use without a lock, and two processes at once break
    each other: so they are made here, before anything is started.
    """
    import dagster as dg

    with only_one(environment.home.resolve() / "dagster" / ".lock"):
        folder = write_instance(environment)
        dg.DagsterInstance.from_config(str(folder)).dispose()
    return folder


def instance_settings(environment: Environment) -> dict[str, Any]:
    """Return the instance's settings; the database URL stays in its variable, not in the file."""
    storage: dict[str, Any] = {
        "sqlite": {"base_dir": str((environment.home / "dagster").resolve())}
    }
    if environment.database_url is not None:
        storage = {"postgres": {"postgres_url": {"env": "TIDEGATE_DATABASE_URL"}}}
    return {
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "storage": storage,
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": queue_settings(),
        },
        "run_monitoring": {
            "enabled": True,
            # Two runs that import the code location on one busy core are slow, not dead.
            "start_timeout_seconds": 1_800,
            "max_runtime_seconds": LONGEST_RUN_S,
            "poll_interval_seconds": 10,
        },
        # A run whose process died goes on from the steps that had not ended. A step that failed
        # has been tried again within the run where that could help, and said why.
        "run_retries": {
            "enabled": True,
            "max_retries": RESUMED_TIMES,
            "retry_on_asset_or_op_failure": False,
        },
        "sensors": {"use_threads": True, "num_workers": 4},
        "schedules": {"use_threads": True, "num_workers": 2},
        # Loading the definitions takes seconds of CPU, which on a busy machine are minutes.
        "code_servers": {"local_startup_timeout": 1_800},
        "retention": {
            "sensor": {"purge_after_days": {"skipped": SKIPPED_TICKS_DAYS, "failure": 30}},
            "schedule": {"purge_after_days": 90},
        },
    }


def mlflow_database(database_url: str) -> str:
    """Return the database URL for MLflow: the same database, tables in a schema of their own."""
    return in_schema(database_url, MLFLOW_SCHEMA)


def ensure_mlflow_schema(database_url: str) -> None:
    """Create MLflow's schema where it is absent."""
    made_schema(database_url, MLFLOW_SCHEMA)
