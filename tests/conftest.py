"""One small retrained installation for all tests; those that change it work on a copy."""

import ctypes
import gc
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import HealthCheck, settings

from tests.installation import Installation, fill_lake, install, installed, partition
from tests.once import made_once

# A law holds or not, however busy the machine is: no example is judged by how long it took.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

ROOM_BYTES = 256 << 20
_least_bytes = 1 << 62


LONGEST = {"test_every_step.py", "test_up.py", "test_stack.py", "test_pipeline.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the files that take longest first, so that no worker is left alone with one of them."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_runtest_logfinish() -> None:
    """Give memory back after a test that left a lot of it behind.

    Python counts objects, not their bytes, before it looks for cycles: a served market, an instance
    or a report that refers to itself keeps its arrays for hundreds of tests, and what is freed late
    stays in the allocator. A look at every test costs microseconds, a collection half a second.
    """
    global _least_bytes  # noqa: PLW0603  # of this process, as its memory is
    if _resident_bytes() > _least_bytes + ROOM_BYTES:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        _least_bytes = _resident_bytes()
    _least_bytes = min(_least_bytes, _resident_bytes())


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.fixture(scope="session")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Retrain the generated market with gates that let everything pass; nobody has approved yet."""
    return installed(made_once(tmp_path_factory, "retrained", _retrain))


def _retrain(home: Path) -> None:
    installation = install(home)
    fill_lake(installation.lake)
    installation.make_features()
    installation.job("retrain_job").execute_in_process(
        partition_key=partition(), instance=dg.DagsterInstance.ephemeral()
    )


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
