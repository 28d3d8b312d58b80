"""Rows as sources send them, judged by the description of their table."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_data.quality.judging import copies, judge
from market_data.tables import INGESTED, TABLES, Table

BAR_MS = 900_000
START_MS = 1_761_955_200_000
SOUND: dict[str, Any] = {
    "open": 100.0, "high": 102.0, "low": 99.0, "close": 101.0, "volume": 5.0,
    "funding_rate": 1e-4, "open_interest": 9e4, "fear_greed": 40.0,
    "exchange_net_flow": -2e8, "mvrv": 2.1, "active_addresses": 9e5, "transactions": 4e5,
    "hash_rate": 8e8, "fees": 12.5, "trade_id": 7, "price": 100.0, "quantity": 0.5, "side": -1.0,
    "update_id": 9, "best_bid": 99.5, "best_ask": 100.5, "best_bid_quantity": 1.0,
    "best_ask_quantity": 2.0, "bid_quantity_100": 50.0, "ask_quantity_100": 60.0,
    "series": "funding", "lag_ms": 120,
}  # fmt: skip


def rows(table: Table, *changes: dict[str, Any]) -> pd.DataFrame:
    """Return one sound row per change on the table's grid, changed so."""
    step = table.step(BAR_MS) or 250
    return pd.DataFrame(
        [
            {"event_time_ms": START_MS + at * step}
            | {name: SOUND[name] for name in table.columns}
            | change
            for at, change in enumerate(changes)
        ]
    )


def found(name: str, *changes: dict[str, Any]) -> list[tuple[int, str]]:
    """Return (row, rule) of every rule that the changed rows break."""
    judged = judge(TABLES[name], rows(TABLES[name], *changes), BAR_MS)
    return list(zip(judged["row"], judged["rule"], strict=True))


@pytest.mark.parametrize("name", INGESTED)
def test_sound_rows_of_every_table_break_nothing(name: str):
    """Rows within the description pass, and so does a page without rows."""
    table = TABLES[name]
    assert found(name, {}, {}, {}) == []
    assert judge(table, rows(table, {}).iloc[:0], BAR_MS).empty


@pytest.mark.parametrize(
    ("name", "change", "rule"),
    [
        ("candles", {"close": np.nan}, "non_finite"),
        ("candles", {"high": 2e12}, "out_of_bounds"),
        ("minute_candles", {"volume": -1.0}, "negative_volume"),
        ("mark_candles", {"low": 0.0}, "not_positive"),
        ("index_candles", {"high": 100.5}, "ohlc_inconsistent"),
        ("reference_candles", {"event_time_ms": START_MS + BAR_MS + 1}, "off_grid"),
        ("funding", {"funding_rate": 0.051}, "out_of_bounds"),
        ("funding", {"funding_rate": np.inf}, "non_finite"),
        ("funding", {"event_time_ms": START_MS + 1_800_000}, "off_grid"),
        ("open_interest", {"open_interest": 0.0}, "out_of_bounds"),
        ("open_interest", {"open_interest": np.nan}, "non_finite"),
        ("fear_greed", {"fear_greed": 101.0}, "out_of_bounds"),
        ("onchain", {"mvrv": -0.5}, "out_of_bounds"),
        ("onchain", {"fees": -np.inf}, "non_finite"),
        ("trades", {"quantity": 0.0}, "out_of_bounds"),
        ("trades", {"side": 2.0}, "out_of_bounds"),
        ("depth", {"best_bid": 100.5}, "crossed_book"),
        ("arrivals", {"lag_ms": -1}, "out_of_bounds"),
        ("arrivals", {"series": None}, "missing"),
    ],
)
def test_a_broken_row_is_named_with_what_was_found_and_expected(
    name: str, change: dict[str, Any], rule: str
):
    """Row, time, rule and both texts are told, and the neighbours are left alone."""
    frame = rows(TABLES[name], {}, change, {})
    judged = judge(TABLES[name], frame, BAR_MS)
    assert set(zip(judged["row"], judged["rule"], strict=True)) == {(1, rule)}
    assert judged["event_time_ms"].tolist() == [frame["event_time_ms"][1]]
    assert all(judged["found"].str.len() > 0)
    assert all(judged["expected"].str.len() > 0)


def test_a_bound_is_told_with_its_unit():
    """The finding is what a person reads in quarantine."""
    judged = judge(TABLES["funding"], rows(TABLES["funding"], {"funding_rate": 0.9}), BAR_MS)
    assert judged["found"].tolist() == ["funding_rate 0.9"]
    assert judged["expected"].tolist() == ["-0.05 to 0.05 (share of the position)"]


def test_a_value_that_a_source_may_lack_may_be_missing():
    """On-chain metrics that a source has not are NaN and no fault."""
    gone = dict.fromkeys(("exchange_net_flow", "hash_rate"), np.nan)
    assert found("onchain", {}, gone) == []


def test_settlements_may_be_stamped_around_their_hour():
    """Jitter on either side of the grid is the venue's own habit."""
    early = START_MS - 41
    late = START_MS + 3_600_000 + 41
    assert found("funding", {"event_time_ms": early}, {"event_time_ms": late}) == []


@pytest.mark.parametrize("name", ["candles", "funding", "trades"])
def test_a_copy_is_no_fault_and_a_contradiction_is(name: str):
    """The first row stands, an equal one is a copy, and one with other values is a duplicate."""
    table = TABLES[name]
    other = {"candles": "volume", "funding": "funding_rate", "trades": "price"}[name]
    same = {"event_time_ms": START_MS}
    frame = rows(table, {}, same, same | {other: SOUND[other] * 2})
    judged = judge(table, frame, BAR_MS)
    assert judged["row"].tolist() == [2]
    assert judged["rule"].tolist() == ["duplicate"]
    assert copies(table, frame).tolist() == [False, True, False]


def test_trades_of_one_millisecond_are_told_apart_by_their_id():
    """Many trades happen at one moment; only one id twice is a contradiction."""
    same = {"event_time_ms": START_MS}
    assert found("trades", same, same | {"trade_id": 8}, same | {"trade_id": 8, "price": 9.0}) == [
        (2, "duplicate")
    ]


def test_a_sound_row_stands_against_a_broken_one_of_its_time():
    """The good value is not lost because a broken one of the same moment came first."""
    same = {"event_time_ms": START_MS}
    assert found("candles", {"close": np.nan}, same) == [(0, "non_finite")]


def test_order_is_asked_of_candles_alone():
    """A candle behind a later one is out of order; slower series are sorted by whoever stores."""
    shuffled = [{"event_time_ms": START_MS + at * 3_600_000} for at in (0, 2, 1)]
    assert found("candles", *shuffled) == [(2, "out_of_order")]
    assert found("funding", *shuffled) == []


def test_a_broken_stamp_puts_nothing_else_out_of_order():
    """Order is judged among sound rows: one wild stamp does not condemn what follows it."""
    assert found("candles", {"event_time_ms": START_MS * 1_000 + 1}, {}, {}) == [(0, "off_grid")]


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([1e-4, 2e-4, 0.9, np.nan]))))
def test_what_is_neither_condemned_nor_a_copy_has_one_row_per_identity(
    arrived: list[tuple[int, float]],
):
    """Whatever arrives, the rest can be stored: unique, finite, within bounds."""
    table = TABLES["funding"]
    frame = pd.DataFrame(
        [(START_MS + at * 3_600_000, rate) for at, rate in arrived],
        columns=["event_time_ms", "funding_rate"],
    ).astype({"event_time_ms": "int64", "funding_rate": "float64"})
    bad = set(judge(table, frame, BAR_MS)["row"])
    kept = frame[~copies(table, frame) & ~frame.index.isin(bad)]
    assert kept["event_time_ms"].is_unique
    assert kept["funding_rate"].abs().le(0.05).all()
    sound = frame[frame["funding_rate"].abs() <= 0.05]
    assert set(kept["event_time_ms"]) == set(sound["event_time_ms"])
