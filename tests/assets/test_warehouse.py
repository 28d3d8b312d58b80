"""The dbt warehouse, built for real by dagster-dbt on a small lake."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pytest

import assets.warehouse as warehouse_assets
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.tables import TABLES
from orchestration.resources.warehouse import Warehouse
from tests.assets.shown import shown
from tests.assets.small_lake import (
    START_MS,
    KeptRun,
    build,
    candles,
    checks,
    minutes,
    outcomes,
    store,
    warehouse_on,
)
from tests.market_data.served_venue import BAR_MS, DAY_MS

ROOT = Path(__file__).parents[2]
MARTS = (
    "candles_from_minutes",
    "coverage",
    "cross_venue_divergence",
    "funding_paid",
    "gate_history",
    "live_pnl",
    "publication_lag",
    "restatements",
    "universe",
)


@pytest.fixture(scope="module")
def built(small_lake: Path) -> tuple[Lake, Warehouse, KeptRun]:
    """Return the small lake, what was built on it, and the run that did."""
    lake = Lake(root=str(small_lake / "lake"))
    return lake, warehouse_on(lake, small_lake), KeptRun(small_lake / "dagster")


def test_models_are_assets_of_the_warehouse_and_hang_on_the_lake():
    """Every model is warehouse/<name> in its group, and a source is the asset that fills it."""
    graph = dg.Definitions(
        assets=dg.load_assets_from_modules([warehouse_assets]),
        resources={"warehouse": warehouse_on(Lake(root="lake"), Path("build"))},
    ).resolve_asset_graph()
    made = {key.to_user_string() for key in graph.materializable_asset_keys}
    staging = {f"warehouse/stg_{table}" for table in TABLES}
    assert made == staging | {f"warehouse/{name}" for name in (*MARTS, "documentation")}
    assert {graph.get(key).group_name for key in graph.materializable_asset_keys} == {"warehouse"}
    parents = {
        key.path[1]: {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.materializable_asset_keys
    }
    filled_by = {table: {f"market/{table}"} for table in TABLES} | {
        "quarantine": {"market/candles"}
    }
    assert {table: parents[f"stg_{table}"] for table in TABLES} == filled_by
    assert parents["gate_history"] == {"gates/outcomes"}
    assert parents["live_pnl"] == {"monitoring/live_trades"}
    assert parents["universe"] == {
        "warehouse/coverage",
        "warehouse/stg_candles",
        "warehouse/stg_funding",
    }
    assert parents["documentation"] == made - {"warehouse/documentation"}


def test_build_passes_every_dbt_test_as_a_check(built: Any):
    """Dbt's tests show up as checks with the names they were given, and all of them pass."""
    _, _, result = built
    found = checks(result)
    assert result.success
    assert [name for name, one in found.items() if not one.passed] == [
        "configured_lags_cover_99_of_100_arrivals"  # 3 of 100 came after 70 s: a warning
    ]
    assert {
        "candles_resampled_from_minutes_equal_the_venues_own",
        "onchain_metrics_are_known_after_their_day",
        "funding_is_settled_once_an_hour_at_most",
        "gates_speak_once_per_week_and_fold",
        "staging_holds_every_candle_of_the_lake",
    } <= set(found)


def test_tables_come_with_their_first_rows_and_broken_tests_with_theirs(built: Any):
    """What a person looks at stands beside the table and the check in Dagster."""
    _, warehouse, result = built
    made = {
        event.asset_key.path[1]: event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    assert made["universe"]["rows"].value == 2
    assert "| 1 | BTCUSDT |" in shown(made["universe"]["first rows"])
    assert "first rows" not in made["stg_candles"]
    broken = checks(result)["configured_lags_cover_99_of_100_arrivals"]
    assert broken.severity == dg.AssetCheckSeverity.WARN
    assert "| recorder | funding | BTCUSDT | 100 |" in shown(broken.metadata["rows that break it"])
    page = Path(str(made["documentation"]["page"].value))
    assert page.parent == Path(warehouse.path).parent


def test_documentation_is_one_page_that_is_made_anew_only_when_it_must(built: Any):
    """The page holds models, columns and their descriptions, and calls nothing home."""
    _, warehouse, _ = built
    page = warehouse.document()
    text = page.read_text()
    made_at = page.stat().st_mtime_ns
    assert "What one coin held long has paid in funding" in text
    assert "USD that flowed to exchanges less what left them." in text
    assert '"send_anonymous_usage_stats": false' in text
    assert warehouse.document().stat().st_mtime_ns == made_at


def test_staging_is_what_the_lake_reads(built: Any):
    """SQL deduplicates revisions exactly as the lake's own reader does, number by number."""
    lake, warehouse, _ = built
    found = warehouse.query(
        "SELECT epoch_ms(opened_at), open, high, low, close, volume FROM stg_candles "
        "WHERE symbol = 'BTCUSDT' ORDER BY opened_at"
    )
    bars = lake.bars("BTCUSDT", FOREVER_MS)
    expected = zip(*(getattr(bars, name).tolist() for name in type(bars).__slots__), strict=True)
    assert found == list(expected)
    assert found[200][5] == 777.0


def test_the_source_that_comes_first_wins(built: Any):
    """A candle that the fallback saw differently, later, stays the primary's."""
    lake, warehouse, _ = built
    opened = START_MS + 3 * BAR_MS
    found = warehouse.query(
        "SELECT volume, source, revision FROM stg_candles "
        f"WHERE symbol = 'ETHUSDT' AND epoch_ms(opened_at) = {opened}"
    )
    assert found == [(candles("ETHUSDT")["volume"][3], "binance", 0)]
    latest = lake.as_of("candles", "ETHUSDT", FOREVER_MS)
    assert latest["source"][3] == "archive"


def test_staging_has_every_row_and_no_number_for_none(built: Any):
    """Each raw table has its rows in SQL; what a source does not have is NULL."""
    lake, warehouse, _ = built
    for table in TABLES:
        found = warehouse.query(f"SELECT count(*) FROM stg_{table}")[0][0]
        held = [len(lake.as_of(table, symbol, FOREVER_MS)) for symbol in lake.symbols(table)]
        assert found == sum(held) > 0, table
    assert warehouse.query("SELECT exchange_net_flow, fees FROM stg_onchain ORDER BY day") == [
        (1.5, None),
        (None, None),
        (-2.5, None),
    ]
    assert warehouse.query("SELECT DISTINCT taker_side FROM stg_trades") == [("sell",)]
    spread = warehouse.query("SELECT max(spread_bps) FROM stg_depth")[0][0]
    assert spread == pytest.approx(5 / 50_002.5 * 1e4)


def test_staging_of_two_revisions_of_trades_keeps_trades_of_one_moment_apart(tmp_path: Path):
    """Two trades in one millisecond are two rows; a correction of one replaces it alone."""
    lake = Lake(root=str(tmp_path / "lake"))
    both = pd.DataFrame(
        {
            "event_time_ms": START_MS,
            "known_at_ms": START_MS + 5,
            "source": "recorder",
            "trade_id": [1, 2],
            "price": [10.0, 11.0],
            "quantity": 1.0,
            "side": 1.0,
        }
    )
    lake.append("trades", "BTCUSDT", both, FOREVER_MS)
    lake.append("trades", "BTCUSDT", both.tail(1).assign(price=12.0), START_MS + DAY_MS)
    warehouse = warehouse_on(lake, tmp_path)
    assert build(warehouse, "stg_trades").success
    found = warehouse.query("SELECT trade_id, price, revision FROM stg_trades ORDER BY trade_id")
    assert found == [(1, 10.0, 0), (2, 12.0, 1)]


def test_new_lake_builds_with_no_rows(tmp_path: Path):
    """Before anything is ingested every model builds, empty, and every test passes."""
    warehouse = warehouse_on(Lake(root=str(tmp_path / "lake")), tmp_path)
    result = build(warehouse)
    assert result.success
    assert all(one.passed for one in checks(result).values())
    assert {name: warehouse.query(f"SELECT count(*) FROM {name}") for name in MARTS} == {
        name: [(0,)] for name in MARTS
    }


def test_minutes_that_do_not_add_up_make_the_check_red_and_show_both_rows(tmp_path: Path):
    """One wrong price and one wrong volume: both bars stand beside the venue's in the check."""
    lake = Lake(root=str(tmp_path / "lake"))
    bars = candles("BTCUSDT").head(20)
    bars.loc[3, "high"] += 0.01
    bars.loc[7, "volume"] += 0.001
    lake.append("candles", "BTCUSDT", bars, FOREVER_MS)
    lake.append("minute_candles", "BTCUSDT", minutes("BTCUSDT").head(20 * 15), FOREVER_MS)
    warehouse = warehouse_on(lake, tmp_path)
    result = build(warehouse, "stg_candles", "stg_minute_candles", "candles_from_minutes")
    check = checks(result)["candles_resampled_from_minutes_equal_the_venues_own"]
    assert not result.success
    assert not check.passed
    found = str(shown(check.metadata["rows that break it"]))
    assert [line.split("|")[-2].strip() for line in found.splitlines()[2:]] == ["high", "volume"]
    assert "venue_high" in found.splitlines()[0]


def test_failing_dbt_test_fails_the_run(tmp_path: Path):
    """A gate that spoke twice breaks its test: the check is red and the run does not succeed."""
    lake = Lake(root=str(tmp_path / "lake"))
    twice = pd.concat([outcomes("2025-11-30", passed=True)] * 2, ignore_index=True)
    store(lake, ["gates", "outcomes"], twice, "2025-11-30")
    result = build(warehouse_on(lake, tmp_path), "gate_history")
    assert not result.success
    assert not checks(result)["gates_speak_once_per_week_and_fold"].passed


def test_metrics_known_on_their_own_day_make_the_check_red(tmp_path: Path):
    """A lag that is set too short by a day shows before anything is trained on it."""
    lake = Lake(root=str(tmp_path / "lake"))
    day = pd.DataFrame({"event_time_ms": [START_MS], "known_at_ms": START_MS + 7_200_000})
    values = dict.fromkeys(TABLES["onchain"].columns, 1.0)
    lake.append("onchain", "BTCUSDT", day.assign(source="chain", **values), FOREVER_MS)
    result = build(warehouse_on(lake, tmp_path), "stg_onchain")
    assert not result.success
    assert not checks(result)["onchain_metrics_are_known_after_their_day"].passed


def test_builds_wait_for_each_other(built: Any, tmp_path: Path):
    """Two builds of one warehouse at once both succeed: DuckDB takes one writer."""
    lake, _, _ = built
    warehouse = warehouse_on(Lake(root=shutil.copytree(lake.root, f"{tmp_path}/lake")), tmp_path)
    results: list[bool] = []
    runs = [
        threading.Thread(target=lambda: results.append(build(warehouse, "live_pnl").success))
        for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert results == [True, True]


def test_query_cannot_change_the_warehouse(built: Any):
    """The connection that answers questions is read-only."""
    _, warehouse, _ = built
    with pytest.raises(duckdb.InvalidInputException, match="read-only"):
        warehouse.query("DELETE FROM universe")


def test_warehouse_that_was_never_built_says_so(tmp_path: Path):
    """A query before the first build names the file and what to materialize."""
    warehouse = warehouse_on(Lake(root=str(tmp_path)), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"materialize warehouse/\*"):
        warehouse.query("SELECT 1")


def test_missing_manifest_says_how_to_make_it(tmp_path: Path):
    """Without dbt's manifest the definitions name the command that writes it."""
    with pytest.raises(FileNotFoundError, match="run `make manifest`"):
        warehouse_assets.manifest(tmp_path / "manifest.json")


def test_raw_and_warehouse_assets_load_without_heavy_libraries():
    """Loading the definitions imports neither pandas nor a database, an exchange or a suite."""
    heavy = ("pandas", "duckdb", "ccxt", "great_expectations", "mlflow", "sklearn", "psycopg2")
    program = (
        "import sys, assets.market, assets.warehouse, assets.monitoring, orchestration.io_managers;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
