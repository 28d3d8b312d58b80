"""What the checks of raw tables let through and what they stop."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from market_data.quality.acceptance import accept, standing, withdraw
from market_data.storage.lake import FOREVER_MS
from orchestration.partitions import month_key
from tests.assets.full_market import corrected, put_arrivals
from tests.assets.market_stage import (
    BAR_MS,
    BARS,
    DAY_MS,
    DECEMBER,
    DECEMBER_MS,
    FIRST_MS,
    HOUR_MS,
    NOW_MS,
    VENUE,
    Stage,
    check_of,
    failed,
    materialized,
    metadata_of,
    put_bars,
    put_values,
)
from tests.assets.shown import shown
from tests.market_data.served_venue import picked, walk, with_row

KEPT = "rows_were_not_known_before_they_arrived"


@pytest.mark.parametrize(
    ("table", "rule", "values"),
    [
        ("candles", "ohlc_inconsistent", {"high": 1.0}),
        ("depth", "crossed_book", {"best_bid": 60_000.0}),
        *(
            pytest.param(*one, marks=pytest.mark.slow)  # each rule, the judge's own tests show
            for one in (
                ("candles", "not_positive", {"low": -5.0}),
                ("candles", "negative_volume", {"volume": -1.0}),
                ("candles", "non_finite", {"close": np.nan}),
                ("mark_candles", "ohlc_inconsistent", {"high": 1.0}),
                ("open_interest", "out_of_bounds", {"open_interest": 0.0}),
                ("trades", "out_of_bounds", {"price": -1.0}),
            )
        ),
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
    assert shown(found.metadata["count"]) == 1
    assert f"| {rule}" in shown(found.metadata["rules"])
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
    assert "| BTCUSDT | 2025-12-01 10:00 … 2025-12-01 10:45 | 3 |" in shown(gaps.metadata["first"])
    assert "downstream" not in materialized(result)


def test_a_series_that_fell_silent_is_stale(stage: Stage):
    """Measured against the ingest's clock, and not only between the rows that are there."""
    put_bars(stage.market, "BTCUSDT", picked(walk(FIRST_MS, BARS), np.r_[0:190]))
    put_values(
        market=stage.market,
        table="open_interest",
        symbol="BTCUSDT",
        start_ms=FIRST_MS,
        step_ms=BAR_MS,
        values=[9e4] * 180,
    )
    result = stage.run("candles", "open_interest")
    assert failed(result) == {"candles_have_no_gaps", "open_interest_has_no_gaps"}
    hole = shown(check_of(result, "candles_have_no_gaps").metadata["first"])
    assert "2025-12-01 22:15 … 2025-12-02 00:30 | 9 |" in hole


def test_one_closed_bar_may_still_be_on_its_way(stage: Stage):
    """A venue publishes its last bar a moment late; that is not a hole yet."""
    put_bars(stage.market, "BTCUSDT", picked(walk(FIRST_MS, BARS), np.r_[0 : BARS - 1]))
    assert failed(stage.run("candles")) == set()


def test_a_table_without_any_row_is_refused_unless_a_person_accepts_it(stage: Stage):
    """What was asked for and is not there at all is named with its source, and never green."""
    del stage.market.rows[VENUE, "candles", "ETHUSDT"]
    result = stage.run("candles", "onchain")
    assert failed(result) == {"candles_have_no_gaps"}
    assert "| ETHUSDT |" in shown(check_of(result, "candles_have_no_gaps").metadata["first"])
    (onchain,) = standing(stage.lake, "onchain")
    withdraw(stage.lake, onchain.number, person="Ada", reason="it is listed now", at_ms=NOW_MS)
    again = stage.run("candles", "onchain")
    assert failed(again) == {"candles_have_no_gaps", "onchain_has_no_gaps"}
    said = check_of(again, "onchain_has_no_gaps").description
    assert f"no row at all of ETHUSDT came from {VENUE}" in said
    assert "ETHUSDT no rows" in metadata_of(again, "onchain")["span"]


def test_what_a_person_accepts_stops_nothing_and_is_listed(stage: Stage):
    """A bad row and a hole that stay at the source cost one decision each, which can be seen."""
    corrected(stage, "candles", "BTCUSDT", 150, high=1.0)
    rows = stage.market.rows[VENUE, "candles", "BTCUSDT"]
    stage.market.rows[VENUE, "candles", "BTCUSDT"] = rows.drop(index=[20, 21])
    first = stage.run("candles")
    assert failed(first) == {"candles_have_no_gaps", "candles_have_nothing_in_quarantine"}
    who = {"person": "Ada", "reason": "an outage", "at_ms": NOW_MS}
    for row in (20, 21, 150):
        start_ms = FIRST_MS + row * BAR_MS
        accept(stage.lake, "candles", "BTCUSDT", (start_ms, start_ms + BAR_MS), **who)
    result = stage.run("candles")
    assert failed(result) == set()
    assert "downstream" in materialized(result)
    assert "| Ada |" in metadata_of(result, "candles")["accepted"]
    assert "an outage" in shown(check_of(result, "candles_have_no_gaps").metadata["accepted"])
    assert len(stage.lake.bars("BTCUSDT", FOREVER_MS)) == BARS - 3


def test_months_that_no_run_was_asked_for_are_a_hole(stage: Stage):
    """A run over December sees that October and November were never ingested."""
    stage.market.now_ms = FIRST_MS
    early = walk(FIRST_MS - 90 * DAY_MS, 96)
    put_bars(stage.market, "BTCUSDT", early)
    stage.run("candles", key=month_key("BTCUSDT", "2025-09-01"))
    put_bars(stage.market, "BTCUSDT", walk(DECEMBER_MS, 100))
    stage.market.now_ms = NOW_MS
    result = stage.run("candles", key=DECEMBER)
    assert failed(result) == {"candles_have_no_gaps"}
    gaps = check_of(result, "candles_have_no_gaps")
    assert "… 2025-12-01 00:00" in shown(gaps.metadata["first"])
    assert "launch ingest_job over their months" in gaps.description


def test_files_that_end_within_a_month_are_no_gap_and_say_where_they_end(stage: Stage):
    """There is something to train on up to there; a month behind them has nothing and is red."""
    bars = walk(DECEMBER_MS, 100)
    columns = {"time": bars.open_time_ms, "open": bars.open, "high": bars.high, "low": bars.low}
    rows = pd.DataFrame({**columns, "close": bars.close, "volume": bars.volume})
    rows.to_csv(stage.folder / "BTCUSDT.csv", index=False)
    described = {"files": "{symbol}.csv", "columns": {"event_time_ms": "time"}, "time_unit": "ms"}
    road = {"adapter": "files", "path": str(stage.folder), "tables": {"candles": described}}
    stage.roads = {"mine": road}
    stage.origins = {"candles": "mine"}
    result = stage.run("candles", key=DECEMBER)
    assert failed(result) == set()
    said = check_of(result, "candles_have_no_gaps").description
    assert "the files of BTCUSDT end at 2025-12-02 01:00: train on weeks up to there" in said
    behind = stage.run("candles", key=month_key("BTCUSDT", "2026-01-01"))
    assert failed(behind) == {"candles_have_no_gaps"}
    assert "ends at 2025-12-02 01:00" in check_of(behind, "candles_have_no_gaps").description


def test_implausible_funding_never_reaches_the_table(stage: Stage):
    """A rate beyond the cap is shown with its value and the bounds; the hole it leaves, too."""
    corrected(stage, "funding", "BTCUSDT", 4, funding_rate=0.9)
    result = stage.run("candles", "funding", "onchain")
    aside = shown(check_of(result, "funding_has_nothing_in_quarantine").metadata["first"])
    assert "funding_rate 0.9 | -0.05 to 0.05 (share of the position)" in aside
    assert "funding_has_no_gaps" in failed(result)
    assert "downstream" not in materialized(result)


def test_missing_settlement_is_a_gap(stage: Stage):
    """Sixteen hours between two settlements are longer than any silence allowed."""
    held = stage.market.rows[VENUE, "funding", "BTCUSDT"]
    stage.market.rows[VENUE, "funding", "BTCUSDT"] = held.drop(index=4).reset_index(drop=True)
    result = stage.run("funding")
    assert failed(result) == {"funding_has_no_gaps", "funding_meets_expectations"}
    silence = shown(check_of(result, "funding_meets_expectations").metadata["expectations"])
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
    first = shown(check_of(result, "candles_meet_expectations").metadata["expectations"])
    assert "BTCUSDT 2025-12-01 04:00 bars_without_volume 97" in first


def test_rows_known_too_early_break_the_suite(stage: Stage):
    """A bar that counts as known before its close, or a day before it ended, is refused."""
    stage.run("candles", "onchain")
    early = pd.DataFrame({"event_time_ms": [NOW_MS], "known_at_ms": [NOW_MS + BAR_MS - 1]})
    prices = dict.fromkeys(("open", "high", "low", "close", "volume"), 100.0)
    stage.lake.append("candles", "BTCUSDT", early.assign(source="by hand", **prices), NOW_MS)
    result = stage.run("candles", "onchain")
    assert failed(result) == {"candles_meet_expectations"}
    first = shown(check_of(result, "candles_meet_expectations").metadata["expectations"])
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
    first = shown(check_of(result, "onchain_meets_expectations").metadata["expectations"])
    assert f"known_after_ms {DAY_MS}" in first.splitlines()[2]


@pytest.mark.parametrize(
    ("arrived_ms", "refused"),
    [(50_000, False), pytest.param(90_000, True, marks=pytest.mark.red(KEPT))],
)
def test_a_lag_that_arrivals_contradict_is_refused(stage: Stage, arrived_ms: int, refused: bool):
    """What the live runner measured stands against the setting: its p99 may not exceed it."""
    put_arrivals(stage, "funding", 50, arrived_ms)
    stage.run("arrivals")
    result = stage.run("funding")
    found = check_of(result, KEPT)
    assert found.passed is not refused
    assert shown(found.metadata["arrivals"]) == 50
    assert ("found p99 90000 ms, lag 60000 ms" in found.description) is refused


@pytest.mark.red("prices_agree_with_the_reference")
def test_prices_are_held_against_the_second_venue(stage: Stage):
    """A usual basis passes; a close that the reference never traded near is shown and blocks."""
    result = stage.run("candles", "reference_candles")
    basis = check_of(result, "prices_agree_with_the_reference")
    assert basis.passed
    assert shown(basis.metadata["bars"]) == BARS
    assert "| 5 |" in shown(basis.metadata["windows"])
    bars = stage.lake.bars("BTCUSDT", FOREVER_MS)
    wrong = with_row(bars, 150, close=bars.close[150] * 1.02, high=bars.high[150] * 1.03)
    put_bars(stage.market, "BTCUSDT", wrong)
    later = stage.run("candles", "reference_candles", reread=True)
    assert failed(later) == {"prices_agree_with_the_reference"}
    apart = shown(check_of(later, "prices_agree_with_the_reference").metadata["apart"])
    assert "| BTCUSDT | 2025-12-01 12:30 |" in apart


def test_data_docs_open_without_a_network(stage: Stage):
    """The page of a suite and the index lie in the home; nothing in them is loaded elsewhere."""
    corrected(stage, "open_interest", "BTCUSDT", 150, open_interest=np.nan)
    result = stage.run("candles", "open_interest")
    page = Path(str(shown(check_of(result, "candles_meet_expectations").metadata["data_docs"])))
    index = stage.docs.index()
    assert page == stage.folder / "data_docs" / "candles" / "2_symbols_2025-11_to_2025-12.html"
    assert page.relative_to(index.parent).as_posix() in index.read_text()
    text = page.read_text()
    assert "known_after_ms" in text
    for read in (text, index.read_text()):
        assert "http" not in read
        assert "<script" not in read
