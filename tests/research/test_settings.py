import shutil
from pathlib import Path

import pytest
import yaml

from kernel.errors import SettingsError
from kernel.features.registry import FEATURES, GROUPS, feature
from research.settings import load_feature_sets, load_settings
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
    settings = load_settings(CONFIGS, "15m")
    assert settings.bar_ms == 900_000
    assert settings.trading.horizon_bars == settings.labels.horizon_bars == 48
    assert settings.trading.take_profit_atr == settings.labels.take_profit_atr
    assert len(settings.features) == 33


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        ("labels.yaml", {"horizon": 48}, ["labels.yaml", "unknown key horizon"]),
        ("labels.yaml", {"horizon_bars": None}, ["labels.yaml", "missing key horizon_bars"]),
        ("labels.yaml", {"horizon_bars": 4.5}, ["horizon_bars is 4.5", "integer"]),
        ("labels.yaml", {"horizon_bars": True}, ["horizon_bars is True", "integer"]),
        ("labels.yaml", {"take_profit_atr": "3"}, ["take_profit_atr is '3'", "number"]),
        ("labels.yaml", {"take_profit_atr": float("nan")}, ["take_profit_atr is nan"]),
        ("labels.yaml", {"stop_loss_atr": -1.0}, ["stop_loss_atr is -1.0", "0.01"]),
        ("validation.yaml", {"max_blocks": 3}, ["max_blocks: found 3", "more than the 3"]),
        ("features.yaml", {"sets": {"core": ["moon"]}}, ["core has moon", "<group>.* of"]),
        ("features.yaml", {"sets": {"core": ["moon.*"]}}, ["core has moon.*", "<group>.* of"]),
        ("features.yaml", {"sets": {"core": ["trend"]}}, ["core has trend", "<group>.* of"]),
        ("features.yaml", {"sets": {"core": ["rsi_14", "momentum.*"]}}, ["rsi_14 twice"]),
        ("features.yaml", {"sets": {"core": []}}, ["sets.core is []", "at least 1 item"]),
        ("features.yaml", {"signal": "moon"}, ["signal is moon", "one of ['core'"]),
        ("features.yaml", {"sets": None}, ["missing key sets"]),
        ("models/xgboost.yaml", {"rounds": None}, ["models/xgboost.yaml", "missing key rounds"]),
        ("models/stack.yaml", {"bases": ["moon"]}, ["models/moon.yaml", "research/models/moon.py"]),
        ("models/stack.yaml", {"bases": []}, ["models/stack.yaml", "bases is []"]),
        ("models/stack.yaml", {"bases": ["calendar"] * 2}, ["bases has calendar twice"]),
        ("models/xgboost.yaml", {"monotone": {"moon": 1}}, ["monotone has moon", "catalogue"]),
        ("models/xgboost.yaml", {"monotone": {"rsi_14": 2}}, ["monotone.rsi_14 is 2"]),
        ("models/lightgbm.yaml", {"interactions": [["moon.*"]]}, ["has moon.*", "<group>.* of"]),
        ("models/calendar.yaml", {"slot_hours": 5}, ["slot_hours: found 5", "divisor of 24"]),
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
        load_settings(folder, "15m")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_feature_sets_spell_out_groups_in_the_order_of_the_catalogue(folder: Path):
    """`group.*` is the group's features, a name is itself, and `signal` chooses among the sets."""
    sets = {"one": ["rsi_14", "calendar.*"], "all": [f"{group.name}.*" for group in GROUPS]}
    edit(folder / "features.yaml", sets=sets, signal="one")
    found = load_feature_sets(folder).sets
    calendar = tuple(one.name for one in GROUPS[0].features)
    assert load_settings(folder, "15m").features == found["one"] == ("rsi_14", *calendar)
    assert found["all"] == FEATURES


def test_the_sets_of_the_repository_follow_the_catalogue():
    """`everything` is the catalogue, `roadmap` its groups up to the context, as documented."""
    sets = load_feature_sets(CONFIGS).sets
    assert sets["everything"] == FEATURES
    assert sets["roadmap"] == FEATURES[: len(sets["roadmap"])]
    assert feature(sets["roadmap"][-1]).group == "context"
    assert set(sets["core"]) < set(FEATURES)


@pytest.mark.parametrize("text", ["- a list", "a: [", ""])
def test_settings_refuse_a_file_that_is_no_mapping(folder: Path, text: str):
    """A broken file is named."""
    (folder / "gates.yaml").write_text(text)
    with pytest.raises(SettingsError, match=r"gates\.yaml: found"):
        load_settings(folder, "15m")


def test_settings_refuse_a_missing_file(folder: Path):
    """A missing file is named."""
    (folder / "gates.yaml").unlink()
    with pytest.raises(SettingsError, match=r"gates\.yaml: found no such file"):
        load_settings(folder, "15m")
