"""The warehouse on a lake in an object store: the same tables as on the same lake in a folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from market_data.storage.lake import Lake
from orchestration.resources.warehouse import Warehouse
from tests.assets.small_lake import build, fill, warehouse_on
from tests.market_data.object_store import ObjectStore

NAMES = ("stg_candles", "stg_funding", "stg_onchain", "coverage", "universe", "live_pnl")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Warehouse, Warehouse]]:
    """Build the small lake's warehouse from a folder and from a bucket."""
    home = tmp_path_factory.mktemp("home")
    with ObjectStore.serving() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.variables.items():
            patch.setenv(name, value)
        store.make("warehouse-lake")
        roots = {"folder": str(home / "lake"), "bucket": "s3://warehouse-lake/lake"}
        warehouses = {}
        for place, root in roots.items():
            lake = Lake(root=root)
            fill(lake)
            warehouses[place] = warehouse_on(lake, home / place)
            assert build(warehouses[place], *NAMES).success
        yield warehouses["folder"], warehouses["bucket"]


@pytest.mark.parametrize("name", NAMES)
def test_a_bucket_gives_the_same_tables(both: Any, name: str):
    """DuckDB reads the bucket in place, in the build and in a query of a staging view."""
    folder, bucket = both
    rows = f"SELECT * FROM {name} ORDER BY ALL"
    assert bucket.query(rows) == folder.query(rows) != []


def test_a_bucket_is_nowhere_copied(both: Any):
    """No file of the lake lies beside the warehouse."""
    _, bucket = both
    assert list(Path(bucket.path).parent.rglob("*.parquet")) == []
