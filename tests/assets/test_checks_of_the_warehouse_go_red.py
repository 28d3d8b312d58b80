"""Each dbt test, in the SQL that dbt compiled, finds the row that it was written against."""

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

import assets.warehouse as warehouse_assets
from assets.warehouse import MANIFEST
from market_data.storage.lake import FOREVER_MS, Lake
from tests.assets import red
from tests.assets.small_lake import candles, warehouse_on
from tests.market_data.served_venue import BAR_MS

STAGED = "staging_holds_every_candle_of_the_lake"
CANDLE = "close = high + 1"
AT_CLOSE = "known_at = opened_at"
BREAKS = {  # what makes a condition untrue, by the check that holds it
    "candles_are_known_at_their_close_or_later": AT_CLOSE,
    "candles_are_never_more_than_the_grid": "series = 'candles', rows_found = rows_expected + 1",
    "candles_lie_between_their_low_and_high": CANDLE,
    "candles_resampled_from_minutes_equal_the_venues_own": "differs_in = 'high'",
    "configured_lags_cover_99_of_100_arrivals": "arrivals = 20, configured_covers_p99 = false",
    "divergent_bars_are_compared_bars": "bars_beyond_limit = bars_compared + 1",
    "fear_and_greed_lies_between_0_and_100": "fear_greed = 101",
    "index_candles_lie_between_their_low_and_high": CANDLE,
    "live_wins_are_trades": "wins = trades + 1",
    "mark_candles_lie_between_their_low_and_high": CANDLE,
    "minute_candles_are_known_at_their_close_or_later": AT_CLOSE,
    "minute_candles_lie_between_their_low_and_high": CANDLE,
    "missing_bars_are_counted_from_0": "missing_bars = -1",
    "onchain_metrics_are_known_after_their_day": "known_at = day",
    "open_interest_is_positive": "open_interest = 0",
    "reference_candles_lie_between_their_low_and_high": CANDLE,
    "restated_events_have_revisions": "events_restated = revisions + 1",
    "restatements_come_after_their_event": "longest_hours_late = -1",
    "rows_arrive_after_they_can_be_known": "lag_ms = -1",
    "settlements_have_a_price": "settlements_priced = settlements - 1",
}


def dbt_tests() -> dict[str, dict[str, Any]]:
    """Return the tests that the manifest knows, by the name that their asset check has."""
    nodes = json.loads(MANIFEST.read_text())["nodes"].values()
    return {one["name"]: one for one in nodes if one["resource_type"] == "test"}


def breaking(test: dict[str, Any]) -> str:
    """Return the statement that puts the row into a table which the test is there to find."""
    kind = test["test_metadata"]["name"]
    column = test["test_metadata"]["kwargs"].get("column_name")
    table = test["attached_node"].split(".")[-1]
    if kind.startswith("unique"):
        return f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1"
    changes = {
        "not_null": f"{column} = NULL",
        "accepted_values": f"{column} = 'weather'",
        "relationships": f"{column} = 'NOBODY'",
    }
    return f"UPDATE {table} SET {changes.get(kind) or BREAKS[test['name']]}"


@pytest.mark.red(STAGED)
def test_a_candle_that_staging_does_not_show_turns_the_check_red(small_lake: Path, tmp_path: Path):
    """The lake has one candle more than SQL has read."""
    lake = Lake(root=str(small_lake / "lake"))
    longer = Lake(root=str(shutil.copytree(lake.root, tmp_path / "lake")))
    later = candles("ETHUSDT").tail(1)
    later = later.assign(event_time_ms=later["event_time_ms"] + BAR_MS)
    later["known_at_ms"] += BAR_MS
    longer.append("candles", "ETHUSDT", later.reset_index(drop=True), FOREVER_MS)
    warehouse = warehouse_on(lake, small_lake)
    sound, missing = (
        warehouse_assets.staging_holds_every_candle_of_the_lake(warehouse=warehouse, lake=one)
        for one in (lake, longer)
    )
    assert sound.passed
    assert not red.answered(STAGED, missing).passed


@pytest.fixture(scope="module")
def compiled(small_lake: Path) -> dict[str, str]:
    """Return the SQL that dbt ran of each test; it returns the rows that break it."""
    results = json.loads((small_lake / "warehouse/target/run_results.json").read_text())["results"]
    return {one["unique_id"].split(".")[2]: one["compiled_code"] for one in results}


@pytest.fixture(scope="module")
def tables(small_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the warehouse in which every model is a table that can be changed."""
    path = tmp_path_factory.mktemp("warehouse") / "tidegate.duckdb"
    shutil.copy(small_lake / "warehouse/tidegate.duckdb", path)
    with duckdb.connect(str(path)) as warehouse:
        views = warehouse.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal")
        for (name,) in views.fetchall():
            warehouse.execute(f"CREATE TABLE of_{name} AS SELECT * FROM {name}")
            warehouse.execute(f"DROP VIEW {name}")
            warehouse.execute(f"ALTER TABLE of_{name} RENAME TO {name}")
    return path


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.red(name)) for name in dbt_tests()]
)
def test_a_row_that_breaks_it_turns_the_check_red(
    tables: Path, compiled: dict[str, str], name: str
):
    """Green on the small lake (but for the lag that was set too short), red with one such row."""
    with duckdb.connect(str(tables)) as warehouse:
        before = len(warehouse.execute(compiled[name]).fetchall())
        warehouse.execute("BEGIN")
        changed = warehouse.execute(breaking(dbt_tests()[name])).fetchall()
        after = len(warehouse.execute(compiled[name]).fetchall())
        warehouse.execute("ROLLBACK")
    assert before == (name == "configured_lags_cover_99_of_100_arrivals")
    assert changed[0][0] > 0
    assert after > 0
    red.SEEN.add(name)
