import shutil
from pathlib import Path

import pytest
import yaml

from kernel.errors import SettingsError
from kernel.features.registry import FEATURES, GROUPS, feature
from research.feature_sets import load_feature_sets
from research.settings import load_settings
from tests.research.worlds import CONFIGS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CONFIGS, tmp_path / "configs"))


def edit(path: Path, **changes: object) -> None:
    content = yaml.safe_load(path.read_text()) | changes
    kept = {key: value for key, value in content.items() if value is not None}
    path.write_text(yaml.safe_dump(kept))


def test_settings_of_the_repository_load():
    """The files as committed are whole, and the trade is held as it was labelled."""
    settings = load_settings(CONFIGS)
    assert settings.universe.bar_ms == 900_000
    assert settings.universe.history_start_ms == 1_672_531_200_000
    assert settings.trading.horizon_bars == settings.labels.horizon_bars == 48
    assert settings.trading.take_profit_atr == settings.labels.take_profit_atr
    assert len(settings.features) == 31


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        ("labels.yaml", {"horizon": 48}, ["labels.yaml", "unknown key horizon", "horizon_bars"]),
        ("labels.yaml", {"horizon_bars": None}, ["labels.yaml", "missing key horizon_bars"]),
        ("labels.yaml", {"horizon_bars": 4.5}, ["horizon_bars is 4.5", "a whole number"]),
        ("labels.yaml", {"horizon_bars": True}, ["horizon_bars is True", "a whole number"]),
        ("labels.yaml", {"take_profit_atr": "3"}, ["take_profit_atr is '3'", "a number"]),
        ("labels.yaml", {"take_profit_atr": float("nan")}, ["take_profit_atr is nan"]),
        ("labels.yaml", {"stop_loss_atr": -1.0}, ["stop_loss_atr is -1.0", "0.01 to 100"]),
        ("universe.yaml", {"timeframe": "7m"}, ["timeframe is 7m", "15m"]),
        ("universe.yaml", {"symbols": []}, ["symbols is ()", "at least one"]),
        ("universe.yaml", {"market": {}}, ["market is []", "funding"]),
        ("universe.yaml", {"sources": {}}, ["is recorder", "one of []"]),
        ("universe.yaml", {"symbols": ["btc"]}, ["symbols is btc", "BTCUSDT"]),
        ("universe.yaml", {"history_start": "spring"}, ["history_start", "2025-04-01"]),
        ("features.yaml", {"sets": {"core": ["moon"]}}, ["sets.core is moon", "<group>.* of"]),
        ("features.yaml", {"sets": {"core": ["moon.*"]}}, ["sets.core is moon.*", "<group>.* of"]),
        ("features.yaml", {"sets": {"core": ["trend"]}}, ["sets.core is trend", "<group>.* of"]),
        ("features.yaml", {"sets": {"core": ["rsi_14", "momentum.*"]}}, ["rsi_14 twice"]),
        ("features.yaml", {"sets": {"core": []}}, ["sets.core is ()", "at least one feature"]),
        ("features.yaml", {"signal": "moon"}, ["signal is moon", "one of ['core'"]),
        ("features.yaml", {"sets": None}, ["missing key sets"]),
        ("models/xgboost.yaml", {"rounds": None}, ["models/xgboost.yaml", "missing key rounds"]),
        ("models/stack.yaml", {"n_jobs": 0}, ["models/stack.yaml", "n_jobs is 0"]),
        ("trading.yaml", {"horizon_bars": 12}, ["trading.yaml", "horizon_bars", "labels.yaml"]),
        ("trading.yaml", {"min_confidence": 7.0}, ["trading.yaml", "min_confidence", "7.0"]),
    ],
)
def test_settings_refuse_what_they_do_not_know(
    folder: Path, file: str, changes: dict[str, object], words: list[str]
):
    """A wrong key is refused with the file, the key, what was found and what was expected."""
    edit(folder / file, **changes)
    with pytest.raises(SettingsError) as caught:
        load_settings(folder)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_feature_sets_spell_out_groups_in_the_order_of_the_catalogue(folder: Path):
    """`group.*` is the group's features, a name is itself, and `signal` chooses among the sets."""
    sets = {"one": ["rsi_14", "calendar.*"], "all": [f"{group.name}.*" for group in GROUPS]}
    edit(folder / "features.yaml", sets=sets, signal="one")
    found = load_feature_sets(folder / "features.yaml").sets
    calendar = tuple(one.name for one in GROUPS[0].features)
    assert load_settings(folder).features == found["one"] == ("rsi_14", *calendar)
    assert found["all"] == FEATURES


def test_the_sets_of_the_repository_follow_the_catalogue():
    """`everything` is the catalogue, `roadmap` its groups up to the context, as documented."""
    sets = load_feature_sets(CONFIGS / "features.yaml").sets
    assert sets["everything"] == FEATURES
    assert sets["roadmap"] == FEATURES[: len(sets["roadmap"])]
    assert feature(sets["roadmap"][-1]).group == "context"
    assert set(sets["core"]) < set(FEATURES)


def test_a_table_starts_where_it_says_or_with_the_universe(folder: Path):
    """Minute candles may begin later than the rest of the history."""
    universe = yaml.safe_load((folder / "universe.yaml").read_text())
    universe["market"]["minute_candles"]["history_start"] = "2025-11-01"
    edit(folder / "universe.yaml", market=universe["market"])
    found = load_settings(folder).universe
    assert found.table_start_ms("minute_candles") == 1_761_955_200_000
    assert found.table_start_ms("candles") == found.history_start_ms


@pytest.mark.parametrize("text", ["- a list", "a: [", ""])
def test_settings_refuse_a_file_that_is_no_mapping(folder: Path, text: str):
    """A broken file is named."""
    (folder / "gates.yaml").write_text(text)
    with pytest.raises(SettingsError, match=r"gates\.yaml: found"):
        load_settings(folder)


def test_settings_refuse_a_missing_file(folder: Path):
    """A missing file is named."""
    (folder / "gates.yaml").unlink()
    with pytest.raises(SettingsError, match=r"gates\.yaml: found no such file"):
        load_settings(folder)
