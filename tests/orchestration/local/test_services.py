"""What the services of a local Tidegate are started with."""

from dataclasses import replace
from pathlib import Path

import yaml

from live_runner.settings import load_settings as load_runner_settings
from market_data.universe import (
    InstrumentSettings,
    TableSettings,
    UniverseSettings,
    load_universe,
)
from orchestration.cli.playbill import _market_of
from orchestration.environments import Environment
from orchestration.local.services import (
    Ports,
    VenueMarket,
    child_environment,
    held_symbols,
    write_runner_config,
)
from research.settings import load_settings
from tests.live_runner.holding import leave_open

HOUR_MS = 3_600_000


def test_services_work_on_the_installation_of_the_command(tmp_path: Path) -> None:
    """The command's choice counts, not what the shell it was typed in happens to name."""
    shell = {"TIDEGATE_HOME": str(tmp_path), "TIDEGATE_LAKE_URL": "s3://team/lake"}
    team = Environment.from_environ(shell)
    assert child_environment(team, Ports())["TIDEGATE_LAKE_URL"] == "s3://team/lake"
    alone = child_environment(replace(team, home=tmp_path / "demo", lake_url=""), Ports())
    assert Environment.from_environ(alone).lake_root == str(tmp_path / "demo" / "lake")
    assert Environment.from_environ(alone).config_dir == team.config_dir.resolve()


def with_onchain_lag(universe: UniverseSettings, lag_ms: int) -> UniverseSettings:
    """Return the universe with another publication lag of on-chain days."""
    onchain = TableSettings(universe.market["onchain"].source, lag_ms)
    return replace(universe, market={**universe.market, "onchain": onchain})


def test_runner_knows_a_row_no_earlier_than_the_lake(tmp_path: Path) -> None:
    """A lag shorter than the day that a row describes makes it known when the day is over."""
    environment = Environment.from_environ({"TIDEGATE_HOME": str(tmp_path)})
    universe = load_universe(environment.config_dir)
    trading = load_settings(environment.config_dir, universe.timeframe).trading
    market = VenueMarket("generated", ("BTCUSDT",), "now", 1.0)
    known_after_ms = []
    for lag_hours in (2, 26):
        lagged = with_onchain_lag(universe, lag_hours * HOUR_MS)
        path = write_runner_config(environment, lagged, trading, Ports(), market)
        known_after_ms.append(yaml.safe_load(path.read_text())["lags_ms"]["mvrv"])
    assert known_after_ms == [24 * HOUR_MS, 26 * HOUR_MS]


def test_a_market_is_not_called_like_its_coin(tmp_path: Path) -> None:
    """The runner asks for the coin's on-chain metrics, under the name that their source has."""
    environment = Environment.from_environ({"TIDEGATE_HOME": str(tmp_path)})
    written = load_universe(environment.config_dir)
    universe = replace(
        written, instruments={"ETHUSDT": InstrumentSettings(names={"coinmetrics": "eth_cl"})}
    )
    trading = load_settings(environment.config_dir, universe.timeframe).trading
    market = VenueMarket("generated", ("1000SHIBUSDT", "ETHUSDT"), "now", 1.0)
    path = write_runner_config(environment, universe, trading, Ports(), market)
    coins = yaml.safe_load(path.read_text())["coins"]
    assert coins == {"1000SHIBUSDT": "shib", "ETHUSDT": "eth_cl"}


def test_a_symbol_that_is_held_is_found_in_the_journal(tmp_path: Path) -> None:
    """A journal that is not there, or new, holds nothing; an open position names its symbol."""
    journal = tmp_path / "runner" / "journal.sqlite"
    assert held_symbols(journal) == []
    leave_open(journal, "ETHUSDT")
    assert held_symbols(journal) == ["ETHUSDT"]


def test_up_keeps_a_symbol_without_a_setting_for_its_exits(tmp_path: Path) -> None:
    """What is held is watched by the runner, and marked as not to be opened again."""
    environment = Environment.from_environ({"TIDEGATE_HOME": str(tmp_path)})
    leave_open(environment.journal_file, "SOLUSDT")
    universe = load_universe(environment.config_dir)
    trading = load_settings(environment.config_dir, universe.timeframe).trading
    market = _market_of(environment, None, 1.0)
    path = write_runner_config(environment, universe, trading, Ports(), market)
    written = yaml.safe_load(path.read_text())
    assert written["symbols"] == [*universe.symbols, "SOLUSDT"]
    assert written["exits_only"] == ["SOLUSDT"]
    assert load_runner_settings(path).exits_only == ("SOLUSDT",)
