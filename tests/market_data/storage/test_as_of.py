"""One answer to "what was known then?": by SQL over the files, the lake and the kernel."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.bars import Bars
from kernel.observation import MAX_AGE_MS, OBSERVATION_FIELDS, SERIES_TABLE, Market, observe
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.tables import TABLES

HOUR_MS = 3_600_000
START_MS = 1_767_052_800_000  # 2025-12-30T00:00Z, two days before a month ends
BARS = 140
VALUES = (0.0, -0.0, 0.5, 1.5, 2.5, float("nan"))
ORACLE = """
    WITH known AS (
        SELECT close_ms, event_time_ms, revision, {column} AS value
        FROM closes JOIN read_parquet('{files}') ON known_at_ms <= close_ms
    ), events AS (
        SELECT close_ms, event_time_ms,
            arg_max(coalesce(value, 'nan'::DOUBLE) + 0.0, revision) AS value
        FROM known GROUP BY ALL HAVING count(value) > 0
    ), newest AS (
        SELECT close_ms, max(event_time_ms) AS event, arg_max(value, event_time_ms) AS value
        FROM events GROUP BY ALL
    )
    SELECT if(close_ms - event <= {age}, value, NULL) AS value
    FROM closes LEFT JOIN newest USING (close_ms) ORDER BY close_ms
"""


@dataclass(frozen=True)
class Batch:
    """What one read brought: (event in hours, value, lag in hours), learned at an hour."""

    rows: dict[int, tuple[float, int]]
    now: int


batches = st.lists(
    st.builds(
        Batch,
        st.dictionaries(
            st.integers(0, 110),
            st.tuples(st.sampled_from(VALUES), st.integers(0, 30)),
            min_size=1,
            max_size=8,
        ),
        st.integers(0, 140),
    ),
    min_size=1,
    max_size=6,
)


def filled(folder: Path, table: str, column: str, reads: list[Batch]) -> Lake:
    """Return a lake that has read the batches, in the order given, rows in no order."""
    lake = Lake(root=str(folder))
    for read in reads:
        events = np.array(list(read.rows), dtype=np.int64) * HOUR_MS + START_MS
        lags = np.array([lag for _, lag in read.rows.values()], dtype=np.int64)
        values = dict.fromkeys(TABLES[table].columns, np.nan)
        values[column] = np.array([value for value, _ in read.rows.values()])
        frame = pd.DataFrame(
            {
                "event_time_ms": events,
                "known_at_ms": events + lags * HOUR_MS,
                "source": "a-venue",
                **values,
            }
        )
        lake.append(table, "BTCUSDT", frame, START_MS + read.now * HOUR_MS)
    return lake


def hourly_bars() -> Bars:
    """Return flat hourly bars from the start."""
    times = START_MS + np.arange(BARS, dtype=np.int64) * HOUR_MS
    return Bars(times, *(np.ones(BARS) for _ in range(5)))


def observed(lake: Lake, name: str, t_ms: int = FOREVER_MS) -> np.ndarray:
    """Return what the kernel's join says of one series at each bar's close."""
    series = {name: lake.series("BTCUSDT", t_ms)[name]}
    return observe(Market(hourly_bars(), series), HOUR_MS)[:, OBSERVATION_FIELDS.index(name)]


def in_sql(lake: Lake, name: str) -> np.ndarray:
    """Return the same by SQL over the month files, without a line of the lake's code."""
    closes = pd.DataFrame({"close_ms": hourly_bars().open_time_ms + HOUR_MS})
    files = f"{lake.root}/market/{SERIES_TABLE[name]}/symbol=BTCUSDT/*.parquet"
    query = ORACLE.format(column=name, files=files, age=MAX_AGE_MS[name])
    with duckdb.connect() as connection:
        connection.register("closes", closes)
        return connection.execute(query).df()["value"].to_numpy(dtype=np.float64)


@pytest.mark.parametrize("name", ["funding_rate", "mvrv"])
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(reads=batches)
def test_kernel_and_sql_give_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, name: str, reads: list[Batch]
):
    """Whatever was read when, corrected, withdrawn, late or out of order: one answer a close."""
    lake = filled(tmp_path_factory.mktemp("lake"), SERIES_TABLE[name], name, reads)
    assert observed(lake, name).tobytes() == in_sql(lake, name).tobytes()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(reads=batches, hour=st.integers(1, BARS))
def test_what_is_learned_later_moves_no_earlier_bar(
    tmp_path_factory: pytest.TempPathFactory, reads: list[Batch], hour: int
):
    """Read as of a moment, every bar closed by then is the one that a later reader sees too."""
    lake = filled(tmp_path_factory.mktemp("lake"), "funding", "funding_rate", reads)
    then = observed(lake, "funding_rate", START_MS + hour * HOUR_MS)[:hour]
    assert then.tobytes() == observed(lake, "funding_rate")[:hour].tobytes()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(reads=batches)
def test_no_observation_has_a_row_known_after_its_close(
    tmp_path_factory: pytest.TempPathFactory, reads: list[Batch]
):
    """With a value of its own for each row read, the row behind every observation was public."""
    named = [
        Batch(
            {event: (1.0 + number + event / 1e3, lag) for event, (_, lag) in read.rows.items()},
            read.now,
        )
        for number, read in enumerate(reads)
    ]
    lake = filled(tmp_path_factory.mktemp("lake"), "funding", "funding_rate", named)
    history = lake.history("funding", "BTCUSDT", FOREVER_MS)
    known_at_ms = dict(zip(history["funding_rate"], history["known_at_ms"], strict=True))
    values = observed(lake, "funding_rate")
    closes = hourly_bars().open_time_ms + HOUR_MS
    seen = [(known_at_ms[value], close) for value, close in zip(values, closes, strict=True)
            if not np.isnan(value)]  # fmt: skip
    assert all(known <= close for known, close in seen)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(reads=batches, hour=st.integers(0, 150))
def test_bars_are_the_rows_of_as_of(
    tmp_path_factory: pytest.TempPathFactory, reads: list[Batch], hour: int
):
    """Bars are read without SQL, past what a footer proves, and are the same to the last bit."""
    lake = Lake(root=str(tmp_path_factory.mktemp("lake")))
    for read in reads:
        events = np.array(list(read.rows), dtype=np.int64) * HOUR_MS + START_MS
        prices = {name: [1.0 + value for value, _ in read.rows.values()] for name in
                  ("open", "high", "low", "close", "volume")}  # fmt: skip
        known = {"known_at_ms": events + HOUR_MS, "source": "a-venue"}
        rows = pd.DataFrame({"event_time_ms": events, **known, **prices})
        lake.append("candles", "BTCUSDT", rows, START_MS + read.now * HOUR_MS)
    t_ms = START_MS + hour * HOUR_MS
    rows = lake.as_of("candles", "BTCUSDT", t_ms)
    bars = lake.bars("BTCUSDT", t_ms)
    assert bars.open_time_ms.tolist() == rows["event_time_ms"].tolist()
    for name in ("open", "high", "low", "close", "volume"):
        assert getattr(bars, name).tobytes() == rows[name].to_numpy().tobytes()
