"""What is derived from the lake's rows: bars, what moved, digests, and what was read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_data.storage.lake import FOREVER_MS, Lake, LakeError, ReadSpan
from market_data.storage.read_ledger import spans_in, with_spans
from market_data.tables import TABLES
from tests.market_data.lake_rows import (
    HOUR_MS,
    START_MS,
    candles,
    funding,
    minutes,
    onchain,
    trades,
)


def test_bars_of_every_candle_table(local: Lake):
    """Mark prices have no volume, which is 0; a table without bars is refused by name."""
    local.append("mark_candles", "BTCUSDT", candles(3).drop(columns="volume"), FOREVER_MS)
    assert local.bars("BTCUSDT", FOREVER_MS, "mark_candles").volume.tolist() == [0.0] * 3
    with pytest.raises(LakeError, match="found table 'funding', expected one of"):
        local.bars("BTCUSDT", FOREVER_MS, "funding")


def test_resampled_bars_are_complete_and_known(lake: Lake):
    """Hours over a border of months, but for the one with a hole and the one still open."""
    rows = minutes(60)
    lake.append("minute_candles", "BTCUSDT", rows.drop(index=50 * 60 + 7), FOREVER_MS)
    t_ms = START_MS + 55 * HOUR_MS + 60_000 * 59
    hours = lake.resampled("BTCUSDT", t_ms, "1h")
    expected = [hour for hour in range(55) if hour != 50]
    assert ((hours.open_time_ms - START_MS) // HOUR_MS).tolist() == expected
    assert hours.open.tolist() == [100.0 + 60 * hour for hour in expected]
    assert hours.close.tolist() == [160.0 + 60 * hour for hour in expected]
    assert hours.high.tolist() == [161.0 + 60 * hour for hour in expected]
    assert hours.low.tolist() == [98.0 + 60 * hour for hour in expected]
    assert set(hours.volume) == {60.0}


def test_resampled_bars_follow_a_correction_from_when_it_was_known(local: Lake):
    """A corrected minute changes its hour for those who could know, and for nobody before."""
    rows = minutes(4)
    learned_ms = START_MS + 9 * HOUR_MS
    local.append("minute_candles", "BTCUSDT", rows, learned_ms - 1)
    local.append("minute_candles", "BTCUSDT", rows[70:71].assign(high=999.0), learned_ms)
    before = local.resampled("BTCUSDT", learned_ms - 1, "1h")
    after = local.resampled("BTCUSDT", learned_ms, "1h")
    assert [before.high[1], after.high[1]] == [221.0, 999.0]
    assert len(before) == len(after) == 4


def test_resampled_says_what_it_needs_to_know(local: Lake):
    """Candles of the universe's timeframe need its length; a timeframe must be one of ours."""
    local.append("candles", "BTCUSDT", candles(8), FOREVER_MS)
    assert len(local.resampled("BTCUSDT", FOREVER_MS, "4h", "candles", HOUR_MS)) == 2
    for arguments in (("4h", "candles"), ("7m", "minute_candles")):
        with pytest.raises(LakeError, match=r"expected one of 1m, .* and bar_ms"):
            local.resampled("BTCUSDT", FOREVER_MS, *arguments)


def moves(lake: Lake, table: str, before_ms: int, after_ms: int) -> list[tuple[object, ...]]:
    """Return (hour, column, before, after, revision) of each value that moved."""
    rows = lake.diff(table, "BTCUSDT", before_ms, after_ms)
    hours = (rows["event_time_ms"] - START_MS) // HOUR_MS
    columns = (hours, *(rows[name] for name in ("column", "before", "after", "revision")))
    return list(zip(*columns, strict=True))


def test_diff_names_the_values_that_a_restatement_moved(lake: Lake):
    """Restated candles, funding and on-chain rows are listed with old and new; the rest is not."""
    first_ms = START_MS + 90 * HOUR_MS
    second_ms = START_MS + 99 * HOUR_MS
    lake.append("candles", "BTCUSDT", candles(72), first_ms)
    lake.append("funding", "BTCUSDT", funding({0: 0.1, 8: 0.2}), first_ms)
    lake.append("onchain", "BTCUSDT", onchain({0: 1.5, 24: np.nan}), first_ms)
    restated = candles(50).assign(close=lambda rows: rows["close"].where(rows.index != 49, 101.0))
    lake.append("candles", "BTCUSDT", restated, second_ms)
    lake.append("funding", "BTCUSDT", funding({8: -0.2}), second_ms)
    lake.append("onchain", "BTCUSDT", onchain({0: 1.6, 24: 1.7}), second_ms)
    assert moves(lake, "candles", first_ms, second_ms) == [(49, "close", 100.0, 101.0, 1)]
    assert moves(lake, "funding", first_ms, second_ms) == [(8, "funding_rate", 0.2, -0.2, 1)]
    changed = moves(lake, "onchain", first_ms, second_ms)
    assert changed[0] == (0, "mvrv", 1.5, 1.6, 1)
    assert [changed[1][:2], np.isnan(changed[1][2]), changed[1][3]] == [(24, "mvrv"), True, 1.7]
    assert moves(lake, "candles", second_ms, second_ms + 1) == []
    row = lake.diff("funding", "BTCUSDT", first_ms, second_ms).iloc[0]
    assert (row["known_at_ms"], row["source"]) == (second_ms, "a-venue")


def test_diff_lists_new_rows_and_forgets_what_was_taken_back(local: Lake):
    """A row that was not known before has no old value; a value that returned has not moved."""
    moments = [START_MS + hour * HOUR_MS for hour in (10, 20, 30)]
    for now_ms, rate in zip(moments, (0.1, 0.9, 0.1), strict=True):
        local.append("funding", "BTCUSDT", funding({0: rate}), now_ms)
    assert moves(local, "funding", moments[0], moments[2]) == []
    new = local.diff("funding", "BTCUSDT", 0, moments[1])
    assert new["after"].tolist() == [0.9]
    assert new["before"].isna().all()
    with pytest.raises(LakeError, match="expected ascending times"):
        local.diff("funding", "BTCUSDT", 2, 1)


def test_diff_of_text_and_whole_numbers(local: Lake):
    """A released row of quarantine shows its old rule; columns of all kinds stand side by side."""
    keys = funding({0: 0.0}).drop(columns="funding_rate")
    rows = keys.assign(series="candles", rule="off_grid", found="7", expected="9")
    local.append("quarantine", "BTCUSDT", rows, START_MS)
    local.append("quarantine", "BTCUSDT", rows.assign(rule=""), START_MS + HOUR_MS)
    moved = local.diff("quarantine", "BTCUSDT", START_MS + 60_000, FOREVER_MS)
    assert moved[["series", "column", "before", "after"]].to_numpy().tolist() == [
        ["candles", "rule", "off_grid", ""]
    ]


def test_old_digest_stays_when_history_is_restated(lake: Lake):
    """What a training set rested on can be derived again after any correction of any table."""
    cutoff_ms = START_MS + 80 * HOUR_MS
    tables = {"candles": candles(72), "funding": funding({0: 0.1}), "onchain": onchain({0: 1.5})}
    for table, rows in tables.items():
        lake.append(table, "BTCUSDT", rows, cutoff_ms)
    before = lake.digest("BTCUSDT", cutoff_ms)
    for table, rows in tables.items():
        value = next(iter(TABLES[table].columns))
        lake.append(table, "BTCUSDT", rows.assign(**{value: 7.0}), cutoff_ms + HOUR_MS)
    assert lake.digest("BTCUSDT", cutoff_ms) == before
    assert lake.digest("BTCUSDT", cutoff_ms + HOUR_MS) != before


def test_digest_is_of_what_observations_rest_on(local: Lake):
    """Minutes, trades and BTC's candles move it; a second venue's candles do not."""
    digests = [local.digest("ETHUSDT", FOREVER_MS)]
    local.append("reference_candles", "ETHUSDT", candles(1), FOREVER_MS)
    assert local.digest("ETHUSDT", FOREVER_MS) == digests[0]
    for table, symbol, rows in (
        ("trades", "ETHUSDT", trades([1])),
        ("minute_candles", "ETHUSDT", minutes(1)),
        ("candles", "BTCUSDT", candles(1)),
    ):
        local.append(table, symbol, rows, FOREVER_MS)
        digests.append(local.digest("ETHUSDT", FOREVER_MS))
    assert len(set(digests)) == 4


def test_read_spans_are_joined_where_they_touch(lake: Lake):
    """Each source has its own spans; what is covered already changes no byte."""
    for source, start_ms, end_ms in [
        ("b", 0, 10), ("b", 20, 30), ("b", 10, 20), ("a", 5, 9), ("a", 7, 8), ("a", 40, 40),
    ]:  # fmt: skip
        lake.mark_read("funding", "BTCUSDT", [ReadSpan(source, start_ms, end_ms)])
    assert lake.read_spans("funding", "BTCUSDT") == [ReadSpan("a", 5, 9), ReadSpan("b", 0, 30)]
    assert lake.read_spans("funding", "ETHUSDT") == []
    assert lake.symbols("funding") == ()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8))
def test_ledger_covers_exactly_what_was_read(spans: list[tuple[int, int]]):
    """In any order, every millisecond read is covered once and no other is."""
    content: bytes | None = None
    for start_ms, end_ms in spans:
        content = with_spans(content, [ReadSpan("a", start_ms, end_ms)]) or content
    found = [time for span in spans_in(content) for time in range(span.start_ms, span.end_ms)]
    assert found == sorted({time for start, end in spans for time in range(start, end)})
