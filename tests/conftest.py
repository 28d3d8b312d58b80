"""One small retrained installation per test process; tests that change it work on a copy."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.installation import Installation, fill_lake, install, partition


@pytest.fixture(scope="session")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Retrain the generated market with gates that let everything pass; nobody has approved yet."""
    installation = install(tmp_path_factory.mktemp("retrained"))
    fill_lake(installation.lake)
    installation.make_features()
    installation.job("retrain_job").execute_in_process(
        partition_key=partition(), instance=dg.DagsterInstance.ephemeral()
    )
    return installation


@pytest.fixture
def copied(retrained: Installation, tmp_path: Path) -> Installation:
    """Return a copy of the retrained installation that a test may change."""
    home = tmp_path / "home"
    shutil.copytree(retrained.home, home)
    return retrained.moved_to(home)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Return a Dagster instance with storage of its own."""
    with dg.instance_for_test() as one:
        yield one
