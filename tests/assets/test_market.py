"""Raw tables from a source into the lake, and what their assets show."""

from pathlib import Path

import dagster as dg
import pytest

import assets.market as market_assets
from market_data.storage.lake import FOREVER_MS
from market_data.tables import INGESTED, TABLES
from orchestration.partitions import month_key
from tests.assets.full_market import corrected
from tests.assets.market_stage import (
    DAY_MS,
    DECEMBER,
    DECEMBER_MS,
    NOW_MS,
    VENUE,
    Stage,
    failed,
    materialized,
    metadata_of,
)


def test_one_run_ingests_every_table_and_all_checks_pass(stage: Stage):
    """Both symbols and months of twelve tables come in, and what stands on them runs."""
    result = stage.run()
    assert failed(result) == set()
    assert result.success
    assert materialized(result) == {f"market/{name}" for name in INGESTED} | {"downstream"}
    for symbol in ("BTCUSDT", "ETHUSDT"):
        held = stage.market.rows[VENUE, "candles", symbol]
        stored = stage.lake.bars(symbol, FOREVER_MS)
        assert stored.close.tobytes() == held["close"].to_numpy().tobytes()
    assert len(stage.lake.as_of("trades", "BTCUSDT", FOREVER_MS)) == 400
    assert stage.lake.series("BTCUSDT", FOREVER_MS)["fear_greed"].value.tolist() == [20, 30, 40]


def test_each_table_has_one_asset_and_a_few_blocking_checks():
    """Assets and checks follow from the descriptions: no table is forgotten, and none floods."""
    keys = {asset.key.to_user_string() for asset in market_assets.raw_tables}
    assert keys == {f"market/{name}" for name in INGESTED}
    for name in INGESTED:
        specs = [
            spec for check in market_assets.raw_checks for spec in check.check_specs
            if spec.asset_key == dg.AssetKey(["market", name])
        ]  # fmt: skip
        assert 2 <= len(specs) <= 4
        assert all(spec.blocking and spec.description for spec in specs)
    described = market_assets.raw_tables[0].specs_by_key[dg.AssetKey(["market", "candles"])]
    assert described.description.startswith(TABLES["candles"].summary)
    assert "| `volume` | base | yes |" in described.description


def test_materialization_shows_what_a_person_looks_at(stage: Stage):
    """Rows, span, digest, what was read where, coverage, a picture and the data docs."""
    shown = metadata_of(stage.run("candles", key=DECEMBER), "candles")
    assert shown["dagster/row_count"] == 100
    assert shown["new_rows"] == 100
    assert shown["in_quarantine"] == 0
    assert "2025-12-01 00:00 … 2025-12-02 00:45" in shown["span"]
    digest = stage.lake.table_digest("candles", "BTCUSDT", FOREVER_MS)
    assert shown["digest"] == f"BTCUSDT {digest[:16]}"
    assert shown["clock"] == NOW_MS / 1000
    assert f"| BTCUSDT | {VENUE} |" in shown["read"]
    assert "| 100.00% | none |" in shown["coverage"]
    assert shown["plot"].startswith("![candles: values and rows](data:image/png;base64,")
    assert len(shown["plot"]) < 90_000
    assert Path(shown["data_docs"]).exists()


@pytest.mark.parametrize(
    "name",
    [
        "depth",
        *(
            pytest.param(name, marks=pytest.mark.slow)  # what is drawn, its own tests read
            for name in ("onchain", "trades", "arrivals", "mark_candles")
        ),
    ],
)
def test_every_kind_of_table_has_a_picture(stage: Stage, name: str):
    """Ticks, books and metrics are drawn like candles, in a size that a page can hold."""
    shown = metadata_of(stage.run(name), name)
    assert shown["dagster/row_count"] == len(stage.market.rows[VENUE, name, "BTCUSDT"])
    assert 2_000 < len(shown["plot"]) < 120_000


def test_table_that_universe_yaml_does_not_list_is_left_alone(stage: Stage):
    """Nothing is asked, the metadata says why, and its checks have nothing to say."""
    stage.tables = tuple(name for name in INGESTED if name != "trades")
    result = stage.run("trades", "candles")
    shown = metadata_of(result, "trades")
    assert shown["dagster/row_count"] == 0
    assert "lists no source of trades" in shown["not_ingested"]
    assert {wanted.table for _, wanted in stage.market.asked} == {"candles"}
    assert failed(result) == set()


def test_months_before_a_table_begins_are_left_alone(stage: Stage):
    """A table with a later history_start reads nothing of the months before it."""
    stage.starts = {"minute_candles": "2025-12-01"}
    early = stage.run("minute_candles", key=month_key("BTCUSDT", "2025-11-01"))
    shown = metadata_of(early, "minute_candles")
    assert "begin on 2025-12-01" in shown["not_ingested"]
    assert stage.market.asked == []
    later = stage.run("minute_candles")
    assert min(wanted.start_ms for _, wanted in stage.market.asked) == DECEMBER_MS
    assert failed(later) == set()


def test_ingesting_again_changes_nothing(stage: Stage):
    """A second run over the same months leaves every byte of the lake as it was."""
    names = ("candles", "onchain", "trades")
    stage.run(*names, key=DECEMBER)
    lake = stage.folder / "lake"
    before = {path: path.read_bytes() for path in lake.rglob("*.parquet")}
    result = stage.run(*names, key=DECEMBER)
    assert metadata_of(result, "candles")["new_rows"] == 0
    assert {path: path.read_bytes() for path in lake.rglob("*.parquet")} == before


def test_correction_becomes_a_revision_that_is_shown_cell_by_cell(stage: Stage):
    """The asset names event, column, before and after; the old value stays readable."""
    stage.run("candles")
    held = float(stage.market.rows[VENUE, "candles", "BTCUSDT"]["volume"][120])
    corrected(stage, "candles", "BTCUSDT", 120, volume=777.0)
    stage.market.now_ms += 1_000
    shown = metadata_of(stage.run("candles"), "candles")
    assert shown["revised_rows"] == 1
    assert (
        f"| BTCUSDT | 2025-12-01 05:00 | volume | {held:.12g} | 777 | {VENUE} | 1 |"
        in shown["moved"]
    )
    assert stage.lake.bars("BTCUSDT", NOW_MS + 60_000).volume[120] == 777.0  # within a minute
    assert stage.lake.bars("BTCUSDT", NOW_MS).volume[120] == held


def test_old_correction_is_found_by_reading_everything_again(stage: Stage):
    """A settled month is not asked for again, unless a person wants it with reread."""
    november = month_key("BTCUSDT", "2025-11-01")
    stage.run("candles", key=november)
    stage.market.now_ms = DECEMBER_MS + 20 * DAY_MS
    stage.run("candles", key=november)  # from now on the month is settled
    corrected(stage, "candles", "BTCUSDT", 50, volume=555.0)
    assert metadata_of(stage.run("candles", key=november), "candles")["revised_rows"] == 0
    found = metadata_of(stage.run("candles", key=november, reread=True), "candles")
    assert found["revised_rows"] == 1
    assert "| volume |" in found["moved"]


def test_every_row_received_is_accounted_for(stage: Stage):
    """Received is new, revised, already there or not over, and quarantined: nothing disappears."""
    corrected(stage, "candles", "BTCUSDT", 150, high=1.0)
    shown = metadata_of(stage.run("candles", key=DECEMBER), "candles")
    cells = [cell.strip() for cell in shown["read"].splitlines()[2].split("|")[1:-1]]
    names = [name.strip() for name in shown["read"].splitlines()[0].split("|")[1:-1]]
    row = dict(zip(names, cells, strict=True))
    parts = ("= new", "+ revised", "+ already there", "+ quarantined", "+ not over")
    assert int(row["received"]) == sum(int(row[part]) for part in parts)
    assert (row["= new"], shown["in_quarantine"]) == ("99", 1)


@pytest.mark.parametrize("key", ["2025-12-01|DOGEUSDT", "2025-12-02|BTCUSDT", "2022-12-01|BTCUSDT"])
def test_unknown_symbol_or_month_is_refused_before_work_starts(stage: Stage, key: str):
    """A partition that does not exist starts no run and asks the source nothing."""
    with pytest.raises(dg.DagsterError, match="partition"):
        stage.run("candles", key=key)
    assert stage.market.asked == []
    assert not (stage.folder / "lake" / "market").exists()
