"""The market that the tests of raw tables and their checks begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.assets.full_market import fill
from tests.assets.market_stage import Stage, staged


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Return a market with every table of BTCUSDT; the clock is the close of the last bar."""
    with staged(tmp_path) as stage:
        fill(stage)
        yield stage
