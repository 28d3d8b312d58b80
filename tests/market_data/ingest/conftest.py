"""The lake of the tests of an ingest."""

from pathlib import Path

import pytest

from market_data.storage.lake import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return an empty lake in a folder, with room beside it for another one."""
    return Lake(root=str(tmp_path / "lake"))
