"""Raw tables from a source into the lake, judged by what their description says of them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

import assets.market as market_assets
from kernel.bars import Bars
from orchestration.partitions import month_key
from orchestration.resources.lake import FOREVER_MS
from orchestration.resources.tables import INGESTED, TABLES
from tests.assets.market_stage import (
    BAR_MS,
    BARS,
    DAY_MS,
    DECEMBER,
    DECEMBER_MS,
    FIRST_MS,
    HOUR_MS,
    NOW_MS,
    REFERENCE,
    VENUE,
    Stage,
    check_of,
    failed,
    materialized,
    metadata_of,
    put_bars,
    put_values,
    staged,
)
from tests.orchestration.served_venue import picked, walk, with_row


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Return a market with every table of BTCUSDT; the clock is the close of the last bar."""
    with staged(tmp_path) as stage:
        fill(stage)
        yield stage


def fill(stage: Stage) -> None:
    """Put two days of every table of BTCUSDT and candles of ETHUSDT into the market."""
    market, bars = stage.market, walk(FIRST_MS, BARS)
    put_bars(market, "BTCUSDT", bars)
    put_bars(market, "ETHUSDT", walk(FIRST_MS, BARS, seed=2))
    put_bars(market, "BTCUSDT", shifted(bars, 1.0005), "reference_candles", REFERENCE)
    put_bars(market, "BTCUSDT", shifted(bars, 1.0001), "mark_candles")
    put_bars(market, "BTCUSDT", shifted(bars, 1.0002), "index_candles")
    put_bars(market, "BTCUSDT", minutes(bars), "minute_candles")
    settled = DECEMBER_MS - 3 * 8 * HOUR_MS + 5
    put_values(market, "funding", "BTCUSDT", settled, 8 * HOUR_MS, [1e-4, -2e-4, 3e-4] * 2 + [0.0])
    interest = [9e4 + at for at in range(BARS)]
    put_values(market, "open_interest", "BTCUSDT", FIRST_MS, BAR_MS, interest)
    put_values(
        market, "fear_greed", "BTCUSDT", DECEMBER_MS - 2 * DAY_MS, DAY_MS, [20.0, 30.0, 40.0]
    )
    put_days(stage, 4)
    put_ticks(stage)


def shifted(bars: Bars, factor: float) -> Bars:
    """Return the same bars at another price level."""
    prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    return replace(bars, **prices)


def minutes(bars: Bars) -> Bars:
    """Return one-minute bars over the same span, flat within each bar."""
    times = FIRST_MS + 60_000 * np.arange(15 * len(bars), dtype=np.int64)
    close = np.repeat(bars.close, 15)
    return Bars(times, close, close, close, close, np.ones(len(times)))


def put_days(stage: Stage, count: int, **columns: Any) -> None:
    """Hold on-chain days that end before the present."""
    times = DECEMBER_MS - 3 * DAY_MS + DAY_MS * np.arange(count, dtype=np.int64)
    names = TABLES["onchain"].columns
    values = {name: np.linspace(1.0, 2.0, count) for name in names}
    stage.market.put(VENUE, "onchain", "BTCUSDT", event_time_ms=times, **(values | columns))


def put_ticks(stage: Stage) -> None:
    """Hold trades, several of them at one moment, order books, and measured arrivals."""
    times = DECEMBER_MS + 250 * (np.arange(400, dtype=np.int64) // 2)
    number = np.arange(400)
    side = np.where(number % 3, 1.0, -1.0)
    stage.market.put(
        VENUE, "trades", "BTCUSDT", event_time_ms=times, trade_id=number,
        price=50_000.0 + number, quantity=np.full(400, 0.5), side=side,
    )  # fmt: skip
    depth = {name: np.full(400, 2.0) for name in TABLES["depth"].columns}
    prices = {"best_bid": 50_000.0 + number, "best_ask": 50_001.0 + number}
    stage.market.put(
        VENUE, "depth", "BTCUSDT",
        **(depth | prices | {"event_time_ms": times, "update_id": number}),
    )  # fmt: skip
    put_arrivals(stage, "funding", 40, 20_000)


def put_arrivals(stage: Stage, table: str, count: int, lag_ms: int) -> None:
    """Hold measured lags of rows of a table."""
    times = DECEMBER_MS + HOUR_MS // 2 * np.arange(count, dtype=np.int64)
    stage.market.put(
        VENUE, "arrivals", "BTCUSDT", event_time_ms=times, series=[table] * count,
        lag_ms=np.full(count, lag_ms, np.int64),
    )  # fmt: skip


def same_bars(found: Bars, expected: Bars) -> bool:
    """Say whether two sets of bars are equal bit by bit."""
    return all(
        getattr(found, name).tobytes() == getattr(expected, name).tobytes()
        for name in Bars.__slots__
    )


def corrected(stage: Stage, table: str, symbol: str, row: int, **values: Any) -> None:
    """Have the source send other values for one of its rows."""
    held = stage.market.rows[VENUE, table, symbol].copy()
    for name, value in values.items():
        held.loc[row, name] = value
    stage.market.rows[VENUE, table, symbol] = held


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


@pytest.mark.parametrize("name", ["onchain", "trades", "depth", "arrivals", "mark_candles"])
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
    assert stage.lake.bars("BTCUSDT", NOW_MS + 1_000).volume[120] == 777.0
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


@pytest.mark.parametrize(
    ("table", "rule", "values"),
    [
        ("candles", "ohlc_inconsistent", {"high": 1.0}),
        ("candles", "not_positive", {"low": -5.0}),
        ("candles", "negative_volume", {"volume": -1.0}),
        ("candles", "non_finite", {"close": np.nan}),
        ("mark_candles", "ohlc_inconsistent", {"high": 1.0}),
        ("open_interest", "out_of_bounds", {"open_interest": 0.0}),
        ("trades", "out_of_bounds", {"price": -1.0}),
        ("depth", "crossed_book", {"best_bid": 60_000.0}),
    ],
)
def test_bad_row_is_set_aside_with_its_reason(
    stage: Stage, table: str, rule: str, values: dict[str, float]
):
    """It goes to quarantine with rule, value, source and table; what stands on it does not run."""
    corrected(stage, table, "BTCUSDT", 150, **values)
    result = stage.run(table, "candles", "funding", "onchain")
    have = "have" if table.endswith("s") else "has"
    found = check_of(result, f"{table}_{have}_nothing_in_quarantine")
    aside = stage.lake.as_of("quarantine", "BTCUSDT", FOREVER_MS)
    assert not found.passed
    assert found.metadata["count"].value == 1
    assert f"| {rule}" in found.metadata["rules"].value
    assert aside[["series", "source"]].to_numpy().tolist() == [[table, VENUE]]
    assert rule in aside["rule"][0]
    assert aside["found"][0]
    assert aside["expected"][0]
    assert f"market/{table}" in materialized(result)
    if table == "candles":
        assert "downstream" not in materialized(result)


def test_repaired_row_leaves_quarantine(stage: Stage):
    """When the source has put it right, the next run stores it and lets the old finding go."""
    good = stage.market.rows[VENUE, "candles", "BTCUSDT"].copy()
    corrected(stage, "candles", "BTCUSDT", 150, high=1.0)
    stage.run("candles")
    stage.market.rows[VENUE, "candles", "BTCUSDT"] = good
    stage.market.now_ms += 1_000
    result = stage.run("candles")
    assert failed(result) == set()
    assert metadata_of(result, "candles")["new_rows"] == 1
    history = stage.lake.history("quarantine", "BTCUSDT", FOREVER_MS)
    assert history["rule"].tolist()[0].startswith("ohlc_inconsistent")
    assert history["rule"].tolist()[1:] == [""]


def test_missing_bars_stop_what_stands_on_them(stage: Stage):
    """A hole is named with its span and its bars, and downstream does not run."""
    put_bars(stage.market, "BTCUSDT", picked(walk(FIRST_MS, BARS), np.r_[0:140, 143:BARS]))
    result = stage.run("candles")
    gaps = check_of(result, "candles_have_no_gaps")
    assert failed(result) == {"candles_have_no_gaps"}
    assert "| BTCUSDT | 2025-12-01 10:00 … 2025-12-01 10:45 | 3 |" in gaps.metadata["first"].value
    assert "downstream" not in materialized(result)


def test_a_series_that_fell_silent_is_stale(stage: Stage):
    """Measured against the ingest's clock, and not only between the rows that are there."""
    put_bars(stage.market, "BTCUSDT", picked(walk(FIRST_MS, BARS), np.r_[0:190]))
    put_values(stage.market, "open_interest", "BTCUSDT", FIRST_MS, BAR_MS, [9e4] * 180)
    result = stage.run("candles", "open_interest")
    assert failed(result) == {"candles_have_no_gaps", "open_interest_has_no_gaps"}
    hole = check_of(result, "candles_have_no_gaps").metadata["first"].value
    assert "2025-12-01 22:15 … 2025-12-02 00:30 | 9 |" in hole


def test_one_closed_bar_may_still_be_on_its_way(stage: Stage):
    """A venue publishes its last bar a moment late; that is not a hole yet."""
    put_bars(stage.market, "BTCUSDT", picked(walk(FIRST_MS, BARS), np.r_[0 : BARS - 1]))
    assert failed(stage.run("candles")) == set()


def test_candles_without_any_row_are_refused_and_other_tables_are_not(stage: Stage):
    """A symbol without candles is a mistake; one without on-chain days is a fact, and is told."""
    del stage.market.rows[VENUE, "candles", "ETHUSDT"]
    result = stage.run("candles", "onchain", "reference_candles")
    assert failed(result) == {"candles_have_no_gaps"}
    assert "| ETHUSDT |" in check_of(result, "candles_have_no_gaps").metadata["first"].value
    assert "no rows of ETHUSDT" in check_of(result, "onchain_has_no_gaps").description
    assert "ETHUSDT no rows" in metadata_of(result, "onchain")["span"]


def test_implausible_funding_never_reaches_the_table(stage: Stage):
    """A rate beyond the cap is shown with its value and the bounds; the hole it leaves, too."""
    corrected(stage, "funding", "BTCUSDT", 4, funding_rate=0.9)
    result = stage.run("candles", "funding", "onchain")
    aside = check_of(result, "funding_has_nothing_in_quarantine").metadata["first"].value
    assert "funding_rate 0.9 | -0.05 to 0.05 (share of the position)" in aside
    assert "funding_has_no_gaps" in failed(result)
    assert "downstream" not in materialized(result)


def test_missing_settlement_is_a_gap(stage: Stage):
    """Sixteen hours between two settlements are longer than any silence allowed."""
    held = stage.market.rows[VENUE, "funding", "BTCUSDT"]
    stage.market.rows[VENUE, "funding", "BTCUSDT"] = held.drop(index=4).reset_index(drop=True)
    result = stage.run("funding")
    assert failed(result) == {"funding_has_no_gaps", "funding_meets_expectations"}
    silence = check_of(result, "funding_meets_expectations").metadata["expectations"].value
    assert "since_last_ms" in silence.splitlines()[2]


def test_bars_without_volume_in_a_row_are_a_fault(stage: Stage):
    """A few are a quiet night; a day of them is a feed that repeats itself."""
    bars = walk(FIRST_MS, BARS)
    quiet = bars.volume.copy()
    quiet[20:116] = 0.0
    put_bars(stage.market, "BTCUSDT", replace(bars, volume=quiet))
    assert failed(stage.run("candles")) == set()
    quiet[116] = 0.0
    put_bars(stage.market, "BTCUSDT", replace(bars, volume=quiet))
    result = stage.run("candles", reread=True)
    assert failed(result) == {"candles_meet_expectations"}
    first = check_of(result, "candles_meet_expectations").metadata["expectations"].value
    assert "BTCUSDT 2025-12-01 04:00 bars_without_volume 97" in first


def test_rows_known_too_early_break_the_suite(stage: Stage):
    """A bar that counts as known before its close, or a day before it ended, is refused."""
    stage.run("candles", "onchain")
    early = pd.DataFrame({"event_time_ms": [NOW_MS], "known_at_ms": [NOW_MS + BAR_MS - 1]})
    prices = dict.fromkeys(("open", "high", "low", "close", "volume"), 100.0)
    stage.lake.append("candles", "BTCUSDT", early.assign(source="by hand", **prices), NOW_MS)
    result = stage.run("candles", "onchain")
    assert failed(result) == {"candles_meet_expectations"}
    first = check_of(result, "candles_meet_expectations").metadata["expectations"].value
    assert f"known_after_ms {BAR_MS - 1}" in first.splitlines()[2]


def test_a_lag_set_wrong_by_a_day_cannot_make_a_day_known_before_it_ends(stage: Stage):
    """With two hours for twenty-six, days count as known when they are over; putting the setting
    right then shows the rows that were known too early.
    """
    stage.lags_ms = {"onchain": 2 * HOUR_MS}
    assert failed(stage.run("onchain")) == set()
    rows = stage.lake.as_of("onchain", "BTCUSDT", FOREVER_MS)
    assert set(rows["known_at_ms"] - rows["event_time_ms"]) == {DAY_MS}
    stage.lags_ms = {}
    result = stage.run("onchain")
    assert failed(result) == {"onchain_meets_expectations"}
    first = check_of(result, "onchain_meets_expectations").metadata["expectations"].value
    assert f"known_after_ms {DAY_MS}" in first.splitlines()[2]


@pytest.mark.parametrize(("arrived_ms", "refused"), [(50_000, False), (90_000, True)])
def test_a_lag_that_arrivals_contradict_is_refused(stage: Stage, arrived_ms: int, refused: bool):
    """What the live runner measured stands against the setting: its p99 may not exceed it."""
    put_arrivals(stage, "funding", 50, arrived_ms)
    stage.run("arrivals")
    result = stage.run("funding")
    found = check_of(result, "rows_were_not_known_before_they_arrived")
    assert found.passed is not refused
    assert found.metadata["arrivals"].value == 50
    assert ("found p99 90000 ms, lag 60000 ms" in found.description) is refused


def test_prices_are_held_against_the_second_venue(stage: Stage):
    """A usual basis passes; a close that the reference never traded near is shown and blocks."""
    result = stage.run("candles", "reference_candles")
    basis = check_of(result, "prices_agree_with_the_reference")
    assert basis.passed
    assert basis.metadata["bars"].value == BARS
    assert "| 5 |" in basis.metadata["windows"].value
    bars = stage.lake.bars("BTCUSDT", FOREVER_MS)
    wrong = with_row(bars, 150, close=bars.close[150] * 1.02, high=bars.high[150] * 1.03)
    put_bars(stage.market, "BTCUSDT", wrong)
    later = stage.run("candles", "reference_candles", reread=True)
    assert failed(later) == {"prices_agree_with_the_reference"}
    apart = check_of(later, "prices_agree_with_the_reference").metadata["apart"].value
    assert "| BTCUSDT | 2025-12-01 12:30 |" in apart


def test_data_docs_open_without_a_network(stage: Stage):
    """The page of a suite and the index lie in the home; nothing in them is loaded elsewhere."""
    corrected(stage, "open_interest", "BTCUSDT", 150, open_interest=np.nan)
    result = stage.run("candles", "open_interest")
    page = Path(str(check_of(result, "candles_meet_expectations").metadata["data_docs"].value))
    index = stage.docs.index()
    assert page == stage.folder / "data_docs" / "candles" / "2_symbols_2025-11_to_2025-12.html"
    assert page.relative_to(index.parent).as_posix() in index.read_text()
    text = page.read_text()
    assert "known_after_ms" in text
    for read in (text, index.read_text()):
        assert "http" not in read
        assert "<script" not in read


@pytest.mark.parametrize("key", ["2025-12-01|DOGEUSDT", "2025-12-02|BTCUSDT", "2022-12-01|BTCUSDT"])
def test_unknown_symbol_or_month_is_refused_before_work_starts(stage: Stage, key: str):
    """A partition that does not exist starts no run and asks the source nothing."""
    with pytest.raises(dg.DagsterError, match="partition"):
        stage.run("candles", key=key)
    assert stage.market.asked == []
    assert not (stage.folder / "lake").exists()
