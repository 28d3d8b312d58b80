"""The example universes are whole: each can be put in place of universe.yaml as it is."""

import shutil
from pathlib import Path

import pytest

from market_data.sources.catalogue import Sources
from market_data.tables import INGESTED
from market_data.universe import load_universe

EXAMPLES = Path(__file__).parents[3] / "configs/examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_example_is_a_universe_whose_sources_have_its_tables(tmp_path: Path, path: Path):
    """Every source can be made, and has the tables that it is named for."""
    shutil.copy(path, tmp_path / "universe.yaml")
    universe = load_universe(tmp_path)
    sources = Sources(folder=str(tmp_path), venue_url="http://127.0.0.1:1", recordings="recorded")
    assert set(universe.market) <= set(INGESTED)
    for table, settings in universe.market.items():
        for name in filter(None, (settings.source, settings.fallback)):
            assert table in sources.source(name).tables, (table, name)
