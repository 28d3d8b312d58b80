"""The universe is read strictly: what is wrong in it is named."""

import shutil
from pathlib import Path

import pytest
import yaml

from kernel.errors import SettingsError
from market_data.universe import load_universe
from tests.research.worlds import CONFIGS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CONFIGS, tmp_path / "configs"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def test_the_universe_of_the_repository_loads():
    """The file as committed is whole."""
    universe = load_universe(CONFIGS)
    assert universe.bar_ms == 900_000
    assert universe.history_start_ms == 1_672_531_200_000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"timeframe": "7m"}, ["timeframe is '7m'", "15m"]),
        ({"symbols": []}, ["symbols is []", "at least 1 item"]),
        ({"sources": {}}, ["found source", "one of []"]),
        ({"symbols": ["btc"]}, ["symbols.0 is 'btc'"]),
        ({"history_start": "spring"}, ["history_start is 'spring'", "2025-04-01"]),
        ({"horizon": 1}, ["unknown key horizon"]),
    ],
)
def test_the_universe_refuses_what_it_does_not_know(
    folder: Path, changes: dict[str, object], words: list[str]
):
    """A wrong key is refused with the file, the key, what was found and what was expected."""
    edit(folder / "universe.yaml", **changes)
    with pytest.raises(SettingsError) as caught:
        load_universe(folder)
    assert all(word in str(caught.value) for word in ["universe.yaml", *words]), str(caught.value)


def test_a_day_may_stand_without_quotes(folder: Path):
    """YAML makes a date of 2025-04-01; it is the same day."""
    path = folder / "universe.yaml"
    path.write_text(path.read_text().replace('"2023-01-01"', "2023-01-01"))
    assert load_universe(folder).history_start_ms == 1_672_531_200_000


def test_a_table_starts_where_it_says_or_with_the_universe(folder: Path):
    """Minute candles may begin later than the rest of the history."""
    universe = yaml.safe_load((folder / "universe.yaml").read_text())
    universe["market"]["minute_candles"]["history_start"] = "2025-11-01"
    edit(folder / "universe.yaml", market=universe["market"])
    found = load_universe(folder)
    assert found.table_start_ms("minute_candles") == 1_761_955_200_000
    assert found.table_start_ms("candles") == found.history_start_ms
