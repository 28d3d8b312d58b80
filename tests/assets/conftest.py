"""The market that the tests of raw tables and their checks begin with, and a promise held."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from market_data.storage.lake import Lake
from tests.assets import red
from tests.assets import small_lake as small_lake_of_all
from tests.assets.full_market import fill
from tests.assets.market_stage import Stage, staged
from tests.once import made_once


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the small lake and everything that dbt builds on it, to be read."""
    return made_once(tmp_path_factory, "small_lake", _build)


def _build(folder: Path) -> None:
    lake = Lake(root=str(folder / "lake"))
    small_lake_of_all.fill(lake)
    warehouse = small_lake_of_all.warehouse_on(lake, folder)
    small_lake_of_all.build_and_keep(warehouse, folder / "dagster")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Return a market with every table of BTCUSDT; the clock is the close of the last bar."""
    with staged(tmp_path) as stage:
        fill(stage)
        yield stage


@pytest.fixture(autouse=True)
def shows_red_what_it_promises(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that is marked red for an asset check and did not see it so."""
    red.SEEN.clear()
    yield
    promised = {name for mark in request.node.iter_markers("red") for name in mark.args}
    assert promised <= red.SEEN, f"never red: {sorted(promised - red.SEEN)}"
