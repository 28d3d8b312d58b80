"""The dbt warehouse, built for real by dagster-dbt on a small lake."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

import assets.warehouse as warehouse_assets
from orchestration.io_managers import LakeIOManager
from orchestration.partitions import week_key
from orchestration.resources.lake import FOREVER_MS, Lake
from orchestration.resources.warehouse import Warehouse
from research.settings import load_settings
from tests.orchestration.served_venue import BAR_MS, DAY_MS, walk

ROOT = Path(__file__).parents[2]
START_MS = 1_764_547_200_000  # 2025-12-01T00:00Z
HELD = np.r_[0:300, 310:400]


def warehouse_on(lake: Lake, folder: Path) -> Warehouse:
    """Return a warehouse on a lake."""
    path = str(folder / "warehouse" / "tidegate.duckdb")
    return Warehouse(path=path, project_dir=str(warehouse_assets.PROJECT), lake=lake)


def build(
    lake: Lake, folder: Path, selection: dg.AssetSelection | None = None
) -> dg.ExecuteInProcessResult:
    """Build the chosen models (all without a selection) with their checks."""
    definitions = dg.Definitions(
        assets=dg.load_assets_from_modules([warehouse_assets]),
        asset_checks=dg.load_asset_checks_from_modules([warehouse_assets]),
        jobs=[dg.define_asset_job("run", selection=selection or dg.AssetSelection.all())],
        resources={"warehouse": warehouse_on(lake, folder), "lake": lake},
    )
    return definitions.resolve_job_def("run").execute_in_process(
        instance=dg.DagsterInstance.ephemeral(), raise_on_error=False
    )


def candles(symbol: str) -> pd.DataFrame:
    """Return candles of two days and more, with ten bars missing."""
    bars = walk(START_MS, 400, seed=len(symbol))
    times = bars.open_time_ms[HELD]
    values = {
        name: getattr(bars, name)[HELD] for name in ("open", "high", "low", "close", "volume")
    }
    return pd.DataFrame(
        {"event_time_ms": times, "known_at_ms": times + BAR_MS, "source": "a-venue", **values}
    )


def settlements(rates: list[float], shift_ms: int = 0) -> pd.DataFrame:
    """Return funding every eight hours, a few milliseconds off the hour."""
    times = START_MS + 28_800_000 * np.arange(len(rates), dtype=np.int64) + shift_ms
    return pd.DataFrame(
        {
            "event_time_ms": times,
            "known_at_ms": times + 60_000,
            "source": "a-venue",
            "funding_rate": rates,
        }
    )


def outcomes(week: str, passed: bool) -> pd.DataFrame:
    """Return the verdict of two gates."""
    return pd.DataFrame(
        {
            "symbol": "BTCUSDT",
            "week": week,
            "gate": ["win_rate", "calibration"],
            "fold": ["1", "all"],
            "value": [0.6, 0.02],
            "threshold": [0.55, 0.05],
            "passed": [passed, True],
            "reason": ["found 0.6, expected at least 0.55", "found 0.02, expected at most 0.05"],
        }
    )


def live_trades(pnl: list[float]) -> pd.DataFrame:
    """Return closed trades, two a day."""
    exits = START_MS + DAY_MS // 2 * np.arange(len(pnl), dtype=np.int64)
    return pd.DataFrame(
        {
            "symbol": "BTCUSDT",
            "entry_time_ms": exits - BAR_MS,
            "exit_time_ms": exits,
            "side": 1,
            "quantity": 0.1,
            "entry_price": 100.0,
            "exit_price": 101.0,
            "fees": 0.5,
            "funding": 0.25,
            "pnl": pnl,
            "exit_reason": 1,
        }
    )


def store(lake: Lake, key: list[str], frame: pd.DataFrame, week: str) -> None:
    """Store a derived table as its asset would."""
    stored = dg.asset(key=key, partitions_def=warehouse_partitions())(lambda: frame)
    dg.materialize(
        [stored],
        partition_key=week_key("BTCUSDT", week),
        resources={"io_manager": LakeIOManager(root=lake.root)},
    )


def warehouse_partitions() -> dg.MultiPartitionsDefinition:
    """Return the grain of derived assets."""
    from orchestration.partitions import symbol_by_week

    return symbol_by_week


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Lake, Warehouse, dg.ExecuteInProcessResult]]:
    """Build everything once on a lake with a correction, jittered settlements and live trades."""
    folder = tmp_path_factory.mktemp("home")
    lake = Lake(root=str(folder / "lake"))
    for symbol in ("BTCUSDT", "ETHUSDT"):
        lake.append("candles", symbol, candles(symbol), FOREVER_MS)
    corrected = candles("BTCUSDT").head(1).assign(volume=777.0)
    lake.append("candles", "BTCUSDT", corrected, START_MS + 9 * DAY_MS)
    lake.append("funding", "BTCUSDT", settlements([1e-4, 3e-4, 2e-4], shift_ms=-4), FOREVER_MS)
    store(lake, ["gates", "outcomes"], outcomes("2025-11-23", passed=False), "2025-11-23")
    store(lake, ["gates", "outcomes"], outcomes("2025-11-30", passed=True), "2025-11-30")
    store(lake, ["monitoring", "live_trades"], live_trades([5.0, -2.0, 4.0]), "2025-11-30")
    yield lake, warehouse_on(lake, folder), build(lake, folder)


def test_models_are_assets_of_the_warehouse_and_hang_on_the_lake():
    """Every model is warehouse/<name> in its group, and a source is the asset that fills it."""
    graph = dg.Definitions(
        assets=dg.load_assets_from_modules([warehouse_assets]),
        resources={"warehouse": warehouse_on(Lake(root="lake"), Path("home"))},
    ).resolve_asset_graph()
    made = {key.to_user_string() for key in graph.materializable_asset_keys}
    names = ("stg_candles", "stg_funding", "coverage", "universe", "gate_history", "live_pnl")
    assert made == {f"warehouse/{name}" for name in names}
    assert {graph.get(key).group_name for key in graph.materializable_asset_keys} == {"warehouse"}
    parents = {
        name: {
            key.to_user_string() for key in graph.get(dg.AssetKey(["warehouse", name])).parent_keys
        }
        for name in names
    }
    assert parents["stg_candles"] == {"market/candles"}
    assert parents["gate_history"] == {"gates/outcomes"}
    assert parents["live_pnl"] == {"monitoring/live_trades"}
    assert parents["universe"] == {"warehouse/stg_candles", "warehouse/stg_funding"}


def test_build_passes_every_dbt_test_as_a_check(built: Any):
    """dbt's tests show up as checks with the names they were given, and all of them pass."""
    _, _, result = built
    checks = {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
    assert result.success
    assert all(checks.values())
    assert {
        "candles_are_unique_per_open_time",
        "funding_is_settled_once_an_hour_at_most",
        "gates_speak_once_per_week_and_fold",
        "live_wins_are_trades",
        "staging_holds_every_candle_of_the_lake",
    } <= set(checks)


def test_staging_is_what_the_lake_reads(built: Any):
    """SQL deduplicates revisions exactly as the lake's own reader does, number by number."""
    lake, warehouse, _ = built
    rows = warehouse.query(
        "SELECT epoch_ms(opened_at), open, high, low, close, volume FROM stg_candles "
        "WHERE symbol = 'BTCUSDT' ORDER BY opened_at"
    )
    bars = lake.bars("BTCUSDT", FOREVER_MS)
    expected = zip(*(getattr(bars, name).tolist() for name in type(bars).__slots__), strict=True)
    assert rows == list(expected)
    assert rows[0][5] == 777.0


def test_coverage_counts_what_is_missing(built: Any):
    """Ten missing bars of 400 show as 390 of 400, a complete series as 1."""
    _, warehouse, _ = built
    rows = warehouse.query(
        "SELECT series, rows_found, rows_expected, coverage FROM coverage "
        "WHERE symbol = 'BTCUSDT' AND month = DATE '2025-12-01' ORDER BY series"
    )
    assert rows == [("candles", 390, 400, 0.975), ("funding", 3, 3, 1.0)]


def test_universe_describes_each_symbol(built: Any):
    """Span, missing bars and volatility agree with the same figures in pandas."""
    lake, warehouse, _ = built
    rows = warehouse.query(
        "SELECT symbol, bars, missing_bars, last_close, volatility_per_year, "
        "funding_rate_per_year FROM universe ORDER BY symbol"
    )
    frame = lake.as_of("candles", "BTCUSDT", FOREVER_MS)
    returns = np.log(frame["close"] / frame["close"].shift())
    adjacent = frame["event_time_ms"].diff() == BAR_MS
    assert [row[0] for row in rows] == ["BTCUSDT", "ETHUSDT"]
    assert rows[0][1:4] == (390, 10, frame["close"].iloc[-1])
    assert rows[0][4] == pytest.approx(returns[adjacent].std() * np.sqrt(365 * 96), rel=1e-9)
    assert rows[0][5] == pytest.approx(2e-4 * 3 * 365)


def test_gate_history_says_which_candidates_passed(built: Any):
    """One refusing gate makes the week's candidate a refused one."""
    _, warehouse, _ = built
    rows = warehouse.query(
        "SELECT DISTINCT CAST(week AS VARCHAR), candidate_accepted FROM gate_history ORDER BY 1"
    )
    assert rows == [("2025-11-23", False), ("2025-11-30", True)]


def test_live_pnl_adds_up(built: Any):
    """Days sum their trades, and the running total ends at the sum of all."""
    _, warehouse, _ = built
    rows = warehouse.query(
        "SELECT trades, wins, win_rate, pnl, pnl_to_date FROM live_pnl ORDER BY day"
    )
    assert rows == [(2, 1, 0.5, 3.0, 3.0), (1, 1, 1.0, 4.0, 7.0)]


def test_new_lake_builds_with_no_rows(tmp_path: Path):
    """Before anything is ingested every model builds, empty, and every test passes."""
    lake = Lake(root=str(tmp_path / "lake"))
    result = build(lake, tmp_path)
    warehouse = warehouse_on(lake, tmp_path)
    assert result.success
    for name in ("stg_candles", "coverage", "universe", "gate_history", "live_pnl"):
        assert warehouse.query(f"SELECT count(*) FROM {name}") == [(0,)]


def test_failing_dbt_test_fails_the_run(tmp_path: Path):
    """A gate that spoke twice breaks its test: the check is red and the run does not succeed."""
    lake = Lake(root=str(tmp_path / "lake"))
    twice = pd.concat([outcomes("2025-11-30", passed=True)] * 2, ignore_index=True)
    store(lake, ["gates", "outcomes"], twice, "2025-11-30")
    result = build(lake, tmp_path, dg.AssetSelection.assets(["warehouse", "gate_history"]))
    checks = {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
    assert not result.success
    assert checks["gates_speak_once_per_week_and_fold"] is False


def test_warehouse_that_was_never_built_says_so(tmp_path: Path):
    """A query before the first build names the file and what to materialize."""
    warehouse = warehouse_on(Lake(root=str(tmp_path)), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"materialize warehouse/\*"):
        warehouse.query("SELECT 1")


def test_missing_manifest_says_how_to_make_it(tmp_path: Path):
    """Without dbt's manifest the definitions name the command that writes it."""
    with pytest.raises(FileNotFoundError, match="run `make manifest`"):
        warehouse_assets.manifest(tmp_path / "manifest.json")


def test_sql_and_configs_agree_on_the_timeframe():
    """The length of a bar in dbt_project.yml is the timeframe in configs/universe.yaml."""
    import yaml

    project = yaml.safe_load((ROOT / "dbt_project" / "dbt_project.yml").read_text())
    bar_ms = load_settings(ROOT / "configs").universe.bar_ms
    assert project["vars"]["bar_minutes"] * 60_000 == bar_ms


def test_raw_and_warehouse_assets_load_without_heavy_libraries():
    """Loading the definitions imports neither pandas nor a database, an exchange or a suite."""
    heavy = ("pandas", "duckdb", "ccxt", "great_expectations", "mlflow", "sklearn", "matplotlib")
    program = (
        "import sys, assets.market, assets.warehouse, assets.monitoring, orchestration.io_managers;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
