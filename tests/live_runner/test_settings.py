"""The settings file is read strictly."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from kernel.errors import SettingsError
from live_runner.settings import load_settings
from tests.live_runner.bundles import TRADING
from tests.live_runner.stage import LAGS_MS, RunnerProcess


def _write(home: Path, changes: dict[str, Any]) -> Path:
    body = {**RunnerProcess(home, "http://127.0.0.1:1").settings(8_800), **changes}
    path = home / "runner.yaml"
    path.write_text(yaml.safe_dump({name: one for name, one in body.items() if one != "absent"}))
    return path


def test_settings_round_trip(tmp_path: Path) -> None:
    """A complete file gives typed settings."""
    settings = load_settings(_write(tmp_path, {}))
    assert (settings.symbols, settings.bar_ms) == (("BTCUSDT", "ETHUSDT"), 900_000)
    assert settings.trading == TRADING
    assert settings.journal == tmp_path / "journal.sqlite"
    assert settings.lags_ms == LAGS_MS


def test_a_series_that_the_lake_lacks_has_no_lag(tmp_path: Path) -> None:
    """Null says that nothing is asked for; the key may not simply be left out."""
    lags = {**LAGS_MS, "mark_close": None}
    assert load_settings(_write(tmp_path, {"lags_ms": lags})).lags_ms["mark_close"] is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"port": "8800"}, "'8800'"),
        ({"port": 70_000}, "70000"),
        ({"port": "absent"}, "missing key port"),
        ({"reports": "x"}, "unknown key reports"),
        ({"timeframe": "7m"}, "'7m'"),
        ({"symbols": []}, "symbols"),
        ({"symbols": ["BTCUSDT", "BTCUSDT"]}, "different symbols"),
        ({"symbols": ["../etc"]}, "'../etc'"),
        ({"symbols": [1]}, "symbols.0 is 1"),
        ({"lags_ms": {"mvrv": 1}}, "lags_ms"),
        ({"lags_ms": {**LAGS_MS, "minutes": -1}}, "lags_ms.minutes is -1"),
        ({"trading": {}}, "missing"),
        ({"history_bars": True}, "True"),
        ({"journal": ""}, "journal is ''"),
        ({"host": ""}, "host is ''"),
        ({"health": {"latency_ms": 500}}, "health.api_errors_a_minute"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    """Each wrong key says what was found, in which file."""
    path = _write(tmp_path, changes)
    with pytest.raises(SettingsError) as error:
        load_settings(path)
    assert named in str(error.value)
    assert str(path) in str(error.value)
