"""The append-only lake: revisions, reads as of a moment, bytes and digests."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.observation import SERIES
from orchestration.resources.lake import (
    DERIVED_TABLES,
    FOREVER_MS,
    AppendReport,
    Lake,
    LakeError,
    ReadSpan,
)
from orchestration.resources.tables import TABLES

HOUR_MS = 3_600_000
START_MS = 1_767_052_800_000  # 2025-12-30T00:00Z, two days before a month ends


def funding(rates: dict[int, float], lag_ms: int = 60_000) -> pd.DataFrame:
    """Return funding rows at hours after the start."""
    times = np.array(list(rates), dtype=np.int64) * HOUR_MS + START_MS
    return pd.DataFrame(
        {
            "event_time_ms": times,
            "known_at_ms": times + lag_ms,
            "source": "a-venue",
            "funding_rate": np.array(list(rates.values()), dtype=np.float64),
        }
    )


def candles(hours: int, price: float = 100.0) -> pd.DataFrame:
    """Return flat hourly candles from the start."""
    times = START_MS + np.arange(hours, dtype=np.int64) * HOUR_MS
    values = dict.fromkeys(("open", "high", "low", "close"), price)
    return pd.DataFrame(
        {
            "event_time_ms": times,
            "known_at_ms": times + HOUR_MS,
            "source": "a-venue",
            **values,
            "volume": 1.0,
        }
    )


def files_of(root: Path) -> dict[str, bytes]:
    """Return every parquet file under a folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.parquet")}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return an empty lake."""
    return Lake(root=str(tmp_path))


def test_append_files_rows_by_the_month_of_the_event(lake: Lake):
    """Rows either side of midnight on the first land in two files, in one append."""
    report = lake.append("candles", "BTCUSDT", candles(72), FOREVER_MS)
    assert report == AppendReport(offered=72, added=72, revised=0, files=2)
    assert lake.months("candles", "BTCUSDT") == ("2025-12", "2026-01")
    assert lake.symbols("candles") == ("BTCUSDT",)


def test_append_of_known_rows_changes_no_byte(lake: Lake, tmp_path: Path):
    """Ingesting the same data again, even read later, leaves every file as it was."""
    lake.append("candles", "BTCUSDT", candles(72), START_MS + 100 * HOUR_MS)
    before = files_of(tmp_path)
    report = lake.append("candles", "BTCUSDT", candles(72), START_MS + 200 * HOUR_MS)
    assert (report.added, report.revised, report.files) == (0, 0, 0)
    assert files_of(tmp_path) == before


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


def test_correction_can_be_corrected_back(lake: Lake):
    """Revisions count on, also when a value returns to what it once was."""
    for number, rate in enumerate([0.1, 0.2, 0.1]):
        lake.append("funding", "BTCUSDT", funding({0: rate}), START_MS + (number + 1) * HOUR_MS)
    history = lake.history("funding", "BTCUSDT", FOREVER_MS)
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
    rest = dict.fromkeys(("active_addresses", "transactions", "hash_rate", "fees"), np.nan)
    rows = funding({0: 0.1, 8: np.nan}).rename(columns={"funding_rate": "mvrv"}).assign(**rest)
    lake.append("onchain", "BTCUSDT", rows.assign(exchange_net_flow=5.0), START_MS + HOUR_MS)
    lake.append(
        "onchain", "BTCUSDT", rows.assign(exchange_net_flow=[5.0, 6.0]), START_MS + 99 * HOUR_MS
    )
    series = lake.series("BTCUSDT", FOREVER_MS)
    assert series["mvrv"].value.tolist() == [0.1]
    assert series["exchange_net_flow"].value.tolist() == [5.0, 5.0, 6.0]


def test_digest_follows_content_and_not_the_path_to_it(lake: Lake, tmp_path: Path):
    """Ingesting at once or in pieces gives one digest; a correction changes later ones only."""
    other = Lake(root=str(tmp_path / "other"))
    rows = candles(60)
    lake.append("candles", "BTCUSDT", rows, FOREVER_MS)
    for start in range(0, 60, 7):
        other.append("candles", "BTCUSDT", rows[start : start + 7], FOREVER_MS)
    cutoff_ms = START_MS + 48 * HOUR_MS
    before = lake.digest("BTCUSDT", cutoff_ms)
    assert other.digest("BTCUSDT", cutoff_ms) == before
    assert files_of(tmp_path / "market") == files_of(tmp_path / "other" / "market")
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


def test_what_a_killed_writer_left_is_never_read(lake: Lake):
    """Half a file from a writer that died in the middle changes no answer and stops no append."""
    lake.append("funding", "BTCUSDT", funding({0: 0.1}), FOREVER_MS)
    folder = Path(lake.root) / "market" / "funding" / "symbol=BTCUSDT"
    whole = (folder / "2025-12.parquet").read_bytes()
    (folder / ".2025-12.parquet.4711.tmp").write_bytes(whole[: len(whole) // 2])
    assert lake.as_of("funding", "BTCUSDT", FOREVER_MS)["funding_rate"].tolist() == [0.1]
    assert lake.append("funding", "BTCUSDT", funding({8: 0.2}), FOREVER_MS).added == 1


def test_append_refuses_an_event_that_comes_twice(lake: Lake):
    """Which of two rows is true is not for the lake to guess."""
    twice = pd.concat([funding({0: 0.1}), funding({0: 0.2})])
    with pytest.raises(LakeError, match=f"funding: event time {START_MS} comes twice"):
        lake.append("funding", "BTCUSDT", twice, FOREVER_MS)


def test_append_refuses_columns_it_does_not_know(lake: Lake):
    """A frame with a missing or an unknown column is refused whole."""
    with pytest.raises(LakeError, match=r"found columns \[.*'rate'.*\], expected"):
        lake.append(
            "funding", "BTCUSDT", funding({0: 1.0}).rename(columns={"funding_rate": "rate"}), 0
        )


@pytest.mark.parametrize(("table", "symbol"), [("candle", "BTCUSDT"), ("candles", "../ETH")])
def test_unknown_table_or_symbol_is_refused(lake: Lake, table: str, symbol: str):
    """A misspelt name is an error, never an empty answer."""
    with pytest.raises(LakeError, match="expected"):
        lake.as_of(table, symbol, FOREVER_MS)


def test_new_lake_has_a_zero_row_file_for_every_table(lake: Lake, tmp_path: Path):
    """SQL can read every source of a lake in which nothing was ingested; twice is once."""
    lake.ensure_sources()
    first = files_of(tmp_path)
    lake.ensure_sources()
    assert len(first) == len(TABLES) + len(DERIVED_TABLES)
    assert all(len(pd.read_parquet(tmp_path / name, partitioning=None)) == 0 for name in first)
    assert files_of(tmp_path) == first


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
