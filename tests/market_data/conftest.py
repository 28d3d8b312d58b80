"""The two kinds of root that a lake may have: a folder, and a bucket of a real S3 server."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from market_data.storage.lake import Lake
from tests.market_data.object_store import ObjectStore


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """Serve S3 on a free port while the tests of this process run."""
    with ObjectStore.serving() as store:
        yield store


@pytest.fixture
def bucket(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of a lake in an empty bucket, reached as the AWS variables say."""
    for name, value in object_store.variables.items():
        monkeypatch.setenv(name, value)
    name = f"market-{uuid4().hex}"
    object_store.make(name)
    return f"s3://{name}/lake"


@pytest.fixture(params=["folder", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return an empty root, once as a folder and once as a bucket."""
    if request.param == "bucket":
        return request.getfixturevalue("bucket")
    return str(tmp_path / "lake")


@pytest.fixture
def lake(root: str) -> Lake:
    """Return an empty lake, in a folder and in a bucket."""
    return Lake(root=root)


@pytest.fixture
def local(tmp_path: Path) -> Lake:
    """Return an empty lake in a folder, where a behaviour has nothing to do with the storage."""
    return Lake(root=str(tmp_path))
