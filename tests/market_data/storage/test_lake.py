"""The append-only lake: revisions, reads as of a moment, bytes and digests."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.observation import SERIES
from market_data.storage.lake import DERIVED_TABLES, FOREVER_MS, AppendReport, Lake, LakeError
from market_data.tables import TABLES
from tests.market_data.lake_rows import HOUR_MS, START_MS, candles, funding, onchain, trades
from tests.market_data.object_store import contents


def test_append_files_rows_by_the_month_of_the_event(lake: Lake):
    """Rows either side of midnight on the first land in two files, in one append."""
    report = lake.append("candles", "BTCUSDT", candles(72), FOREVER_MS)
    assert report == AppendReport(offered=72, added=72, revised=0, files=2)
    assert lake.months("candles", "BTCUSDT") == ("2025-12", "2026-01")
    assert lake.symbols("candles") == ("BTCUSDT",)


def test_append_of_known_rows_changes_no_byte(lake: Lake):
    """Ingesting the same data again, even read later, leaves every file as it was."""
    lake.append("candles", "BTCUSDT", candles(72), START_MS + 100 * HOUR_MS)
    before = contents(lake.root)
    digest = lake.digest("BTCUSDT", FOREVER_MS)
    report = lake.append("candles", "BTCUSDT", candles(72), START_MS + 200 * HOUR_MS)
    assert (report.added, report.revised, report.files) == (0, 0, 0)
    assert contents(lake.root) == before
    assert lake.digest("BTCUSDT", FOREVER_MS) == digest


def test_correction_is_known_from_the_moment_it_was_learned(lake: Lake):
    """A changed value is a new revision; a reader of the past still sees the old value."""
    learned_ms = START_MS + 50 * HOUR_MS
    lake.append("funding", "BTCUSDT", funding({0: 0.1, 8: 0.2}), START_MS + 9 * HOUR_MS)
    report = lake.append("funding", "BTCUSDT", funding({0: 0.1, 8: 0.9}), learned_ms)
    then = lake.as_of("funding", "BTCUSDT", learned_ms - 1)
    now = lake.as_of("funding", "BTCUSDT", learned_ms)
    assert (report.added, report.revised) == (0, 1)
    assert then["funding_rate"].tolist() == [0.1, 0.2]
    assert now["funding_rate"].tolist() == [0.1, 0.9]
    assert now["revision"].tolist() == [0, 1]
    assert now["known_at_ms"].tolist() == [START_MS + 60_000, learned_ms]


def test_correction_can_be_corrected_back(local: Lake):
    """Revisions count on, also when a value returns to what it once was."""
    for number, rate in enumerate([0.1, 0.2, 0.1]):
        local.append("funding", "BTCUSDT", funding({0: rate}), START_MS + (number + 1) * HOUR_MS)
    history = local.history("funding", "BTCUSDT", FOREVER_MS)
    assert history["revision"].tolist() == [0, 1, 2]
    assert history["funding_rate"].tolist() == [0.1, 0.2, 0.1]


def test_nothing_is_seen_before_it_is_known(lake: Lake):
    """A candle is invisible until its close, a settlement until its publication."""
    lake.append("candles", "BTCUSDT", candles(4), FOREVER_MS)
    lake.append("funding", "BTCUSDT", funding({0: 0.1, 8: 0.2}), FOREVER_MS)
    assert len(lake.bars("BTCUSDT", START_MS + 2 * HOUR_MS)) == 2
    assert len(lake.bars("BTCUSDT", START_MS + 2 * HOUR_MS - 1)) == 1
    assert len(lake.as_of("funding", "BTCUSDT", START_MS + 59_999)) == 0
    assert len(lake.as_of("funding", "BTCUSDT", START_MS + 60_000)) == 1


def test_series_of_an_empty_lake_are_empty(lake: Lake):
    """Every series exists with zero rows before anything is ingested."""
    series = lake.series("ETHUSDT", FOREVER_MS)
    assert set(series) == set(SERIES)
    assert all(len(one.value) == 0 for one in series.values())
    assert len(lake.bars("ETHUSDT", FOREVER_MS)) == 0


def test_series_leave_out_what_is_missing_and_keep_revisions(lake: Lake):
    """A missing metric is no row of its series, and a correction stands beside the first value."""
    lake.append("onchain", "BTCUSDT", onchain({0: 0.1, 8: np.nan}), START_MS + HOUR_MS)
    changed = onchain({8: np.nan}, flow=6.0)
    lake.append("onchain", "BTCUSDT", changed, START_MS + 99 * HOUR_MS)
    series = lake.series("BTCUSDT", FOREVER_MS)
    assert series["mvrv"].value.tolist() == [0.1]
    assert series["exchange_net_flow"].value.tolist() == [5.0, 5.0, 6.0]


def test_digest_follows_content_and_not_the_path_to_it(lake: Lake):
    """Ingesting at once or in pieces gives one digest; a correction changes later ones only."""
    other = Lake(root=f"{lake.root}-other")
    rows = candles(60)
    lake.append("candles", "BTCUSDT", rows, FOREVER_MS)
    for start in range(0, 60, 7):
        other.append("candles", "BTCUSDT", rows[start : start + 7], FOREVER_MS)
    cutoff_ms = START_MS + 48 * HOUR_MS
    before = lake.digest("BTCUSDT", cutoff_ms)
    assert other.digest("BTCUSDT", cutoff_ms) == before
    assert contents(lake.root) == contents(other.root)
    lake.append("candles", "BTCUSDT", candles(1, price=101.0), cutoff_ms + 1)
    assert lake.digest("BTCUSDT", cutoff_ms) == before
    assert lake.digest("BTCUSDT", cutoff_ms + 1) != before
    assert lake.digest("ETHUSDT", cutoff_ms) != before


def test_quarantine_is_not_part_of_what_readers_see(lake: Lake):
    """Rows set aside leave the digest of a symbol as it was."""
    before = lake.digest("BTCUSDT", FOREVER_MS)
    rows = funding({0: 0.0}).drop(columns="funding_rate")
    reasons = rows.assign(series="funding", rule="r", found="f", expected="e")
    lake.append("quarantine", "BTCUSDT", reasons, START_MS)
    assert lake.as_of("quarantine", "BTCUSDT", FOREVER_MS)["rule"].tolist() == ["r"]
    assert lake.digest("BTCUSDT", FOREVER_MS) == before


def test_writers_at_the_same_time_lose_nothing(lake: Lake):
    """Appends to one month from several threads all arrive."""
    parts = [funding({hour: hour / 1e4}) for hour in range(12)]
    with ThreadPoolExecutor(6) as pool:
        reports = pool.map(lambda part: lake.append("funding", "BTCUSDT", part, FOREVER_MS), parts)
        assert sum(report.added for report in reports) == 12
    assert len(lake.as_of("funding", "BTCUSDT", FOREVER_MS)) == 12


def test_append_refuses_an_event_that_comes_twice(local: Lake):
    """Which of two rows is true is not for the lake to guess."""
    twice = pd.concat([funding({0: 0.1}), funding({0: 0.2})])
    with pytest.raises(LakeError, match=f"funding: event time {START_MS} comes twice"):
        local.append("funding", "BTCUSDT", twice, FOREVER_MS)


def test_append_refuses_columns_it_does_not_know(local: Lake):
    """A frame with a missing or an unknown column is refused whole."""
    with pytest.raises(LakeError, match=r"found columns \[.*'rate'.*\], expected"):
        local.append(
            "funding", "BTCUSDT", funding({0: 1.0}).rename(columns={"funding_rate": "rate"}), 0
        )


@pytest.mark.parametrize(("table", "symbol"), [("candle", "BTCUSDT"), ("candles", "../ETH")])
def test_unknown_table_or_symbol_is_refused(local: Lake, table: str, symbol: str):
    """A misspelt name is an error, never an empty answer."""
    with pytest.raises(LakeError, match="expected"):
        local.as_of(table, symbol, FOREVER_MS)


def test_rows_of_one_moment_are_told_apart_by_what_the_table_names(local: Lake):
    """Trades share a millisecond; a changed one is corrected and ids keep all their digits."""
    ids = [2**60 + 1, 2**60 + 3, 7]
    assert local.append("trades", "BTCUSDT", trades(ids), START_MS + 9).added == 3
    local.append("trades", "BTCUSDT", trades(ids[:1], price=101.0), START_MS + HOUR_MS)
    now = local.as_of("trades", "BTCUSDT", FOREVER_MS)
    assert now["trade_id"].tolist() == sorted(ids)
    assert now["price"].tolist() == [100.0, 101.0, 100.0]
    with pytest.raises(LakeError, match="trade_id 7, comes twice"):
        local.append("trades", "BTCUSDT", trades([7, 7]), START_MS + 9)


def test_correction_before_a_row_is_public_is_known_after_it(local: Lake):
    """Revisions become known one after the other, also when both wait for their publication."""
    for rate in (0.1, 0.2, 0.3):
        local.append("funding", "BTCUSDT", funding({0: rate}), START_MS)
    known = local.history("funding", "BTCUSDT", FOREVER_MS)["known_at_ms"]
    assert known.tolist() == [START_MS + 60_000 + step for step in range(3)]


def test_row_known_before_its_event_is_refused(local: Lake):
    """The future cannot be stored; a quarantined row may claim what it likes."""
    with pytest.raises(LakeError, match=f"event {START_MS} is known at {START_MS - 1}"):
        local.append("funding", "BTCUSDT", funding({0: 0.1}, lag_ms=-1), FOREVER_MS)
    absurd = pd.DataFrame(
        {
            "event_time_ms": [10**15],
            "known_at_ms": [START_MS],
            **dict.fromkeys(("source", "series", "rule", "found", "expected"), "x"),
        }
    )
    local.append("quarantine", "BTCUSDT", absurd, START_MS)
    assert len(local.as_of("quarantine", "BTCUSDT", START_MS)) == 1


def test_window_opens_only_the_months_that_it_touches(local: Lake):
    """Rows of a window come without a look at other months, also of months yet to come."""
    local.append("candles", "BTCUSDT", candles(24 * 40), FOREVER_MS)
    folder = Path(local.root) / "market" / "candles" / "symbol=BTCUSDT"
    for month in ("2025-12", "2026-02"):
        (folder / f"{month}.parquet").write_bytes(b"not to be opened")
    start_ms = START_MS + 48 * HOUR_MS
    end_ms = START_MS + 72 * HOUR_MS
    for read in (local.as_of, local.history):
        rows = read("candles", "BTCUSDT", FOREVER_MS, start_ms, end_ms)
        assert rows["event_time_ms"].tolist() == list(range(start_ms, end_ms, HOUR_MS))
    assert len(local.as_of("candles", "BTCUSDT", start_ms, start_ms)) == 0
    with pytest.raises(pa.ArrowInvalid):
        local.as_of("candles", "BTCUSDT", FOREVER_MS, end_ms)


def test_column_that_a_table_got_later_is_missing_in_older_files(local: Lake):
    """A file of an earlier version is read, and added to, as if it had the column."""
    folder = Path(local.root) / "market" / "onchain" / "symbol=BTCUSDT"
    rows = onchain({0: 0.1}).assign(revision=0).astype({"revision": "int32"})
    older = pa.Table.from_pandas(rows.drop(columns="fees"), preserve_index=False)
    folder.mkdir(parents=True)
    pq.write_table(older, folder / "2025-12.parquet")
    assert local.as_of("onchain", "BTCUSDT", FOREVER_MS)["fees"].isna().all()
    learned_ms = START_MS + 99 * HOUR_MS
    local.append("onchain", "BTCUSDT", onchain({0: 0.1}).assign(fees=7.0), learned_ms)
    fees = local.history("onchain", "BTCUSDT", FOREVER_MS)["fees"]
    assert fees.fillna(-1.0).tolist() == [-1.0, 7.0]


def test_new_lake_has_a_zero_row_file_for_every_table(lake: Lake):
    """SQL can read every source of a lake in which nothing was ingested; twice is once."""
    lake.ensure_sources()
    first = contents(lake.root)
    lake.ensure_sources()
    assert len(first) == len(TABLES) + len(DERIVED_TABLES)
    assert all(
        pq.ParquetFile(pa.BufferReader(file)).read().num_rows == 0 for file in first.values()
    )
    assert contents(lake.root) == first
    assert all(lake.symbols(table) == () for table in TABLES)


updates = st.lists(
    st.dictionaries(st.integers(0, 60), st.sampled_from([0.1, 0.2, float("nan")]), min_size=1),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(updates)
def test_as_of_agrees_with_a_plain_dictionary(
    tmp_path_factory: pytest.TempPathFactory, batches: list[dict[int, float]]
):
    """At every moment the lake answers what a naive replay of the appends would."""
    lake = Lake(root=str(tmp_path_factory.mktemp("lake")))
    moments = [START_MS + (100 + number) * HOUR_MS for number in range(len(batches))]
    state: dict[int, float] = {}
    expected: list[dict[int, float]] = []
    for now_ms, batch in zip(moments, batches, strict=True):
        lake.append("funding", "BTCUSDT", funding(batch), now_ms)
        state |= {START_MS + hour * HOUR_MS: rate for hour, rate in batch.items()}
        expected.append(dict(state))
    last = lake.as_of("funding", "BTCUSDT", moments[-1])
    first_batch = set(expected[0])
    for now_ms, truth in zip(moments, expected, strict=True):
        seen = lake.as_of("funding", "BTCUSDT", now_ms)
        rates = dict(zip(seen["event_time_ms"], seen["funding_rate"], strict=True))
        assert all(repr(rates[t]) == repr(truth[t]) for t in first_batch)
    assert sorted(last["event_time_ms"]) == sorted(expected[-1])
