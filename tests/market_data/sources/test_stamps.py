"""Each row's unit is told by its size, and what is no moment is counted and named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kernel.errors import TidegateError
from market_data.ingest.ingestion import Ingest, ingest, quarantined_in
from market_data.sources.catalogue import Sources
from market_data.sources.stamps import EARLIEST_MS, LATEST_MS, NS_PER, WrongColumnError, stamps
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.universe import load_universe
from market_data.window import Window
from tests.market_data.sources.layouts import BAR_MS, DAY_MS, START_MS

TABLES = ("funding", "open_interest", "fear_greed", "onchain")


def brought_in(
    folder: Path,
    text: str,
    table: str = "candles",
    columns: str = "{event_time_ms: t}",
    more: str = "time_unit: ms",
    window: tuple[int, int] = (START_MS, START_MS + DAY_MS),
) -> tuple[Ingest, Lake]:
    """Ingest one CSV file as a table of bitcoin."""
    (folder / "f.csv").write_text(text)
    described = f"{table}: {{files: f.csv, columns: {columns}, {more}}}"
    extra = "" if table == "candles" else "candles: {files: none.csv}, "
    others = "\n".join(f"  {name}: {{source: a, publication_lag_ms: 0}}" for name in TABLES)
    (folder / "universe.yaml").write_text(
        "symbols: [BTCUSDT]\ntimeframe: 15m\nhistory_start: '2023-01-01'\nsources:\n"
        f"  a: {{adapter: files, path: {folder}, tables: {{{extra}{described}}}}}\n"
        f"market:\n  candles: {{source: a, publication_lag_ms: 0}}\n{others}\n"
    )
    lake = Lake(root=str(folder / "lake"))
    sources = Sources(folder=str(folder), venue_url="")
    reports = ingest(table, sources, lake, [Window("BTCUSDT", *window)], load_universe(folder))
    return reports[0], lake


def bars(stamped: list[object]) -> str:
    """Return a file of equal candles with these stamps."""
    return "t,open,high,low,close,volume\n" + "".join(f"{t},2,3,1,2,1\n" for t in stamped)


@given(
    st.lists(
        st.tuples(
            st.integers(EARLIEST_MS // 1_000, LATEST_MS // 1_000 - 1), st.sampled_from([*NS_PER])
        ),
        min_size=1,
    ),
    st.sampled_from(["", *NS_PER]),
    st.sampled_from(["int64", "float64", "text"]),
)
@hypothesis_settings(max_examples=200, deadline=None)
def test_any_moment_of_the_century_is_told_by_its_size(rows, unit: str, kind: str):
    """Whatever units one column mixes and whatever somebody took it for: the same moments."""
    raw = [seconds * NS_PER["s"] // NS_PER[one] for seconds, one in rows]
    column = {
        "int64": pa.array(raw, pa.int64()),
        "float64": pa.array(map(float, raw), pa.float64()),
        "text": pa.array(map(str, raw), pa.string()),
    }[kind]
    found = stamps(column, unit)
    assert found.times_ms.tolist() == [seconds * 1_000 for seconds, _ in rows]
    assert not found.impossible


@pytest.mark.parametrize("unit", ["ms", "us", "s", ""])
def test_units_that_change_within_a_file_lose_no_row(tmp_path: Path, unit: str):
    """Milliseconds up to a day and microseconds after it, as joined spot dumps are."""
    times = [START_MS + k * BAR_MS for k in range(96)]
    text = bars([t if k < 48 else t * 1_000 for k, t in enumerate(times)])
    report, lake = brought_in(tmp_path, text, more=f'time_unit: "{unit}"')
    assert (report.received, report.added, report.quarantined) == (96, 96, 0)
    assert lake.as_of("candles", "BTCUSDT", FOREVER_MS)["event_time_ms"].tolist() == times


def test_parquet_parts_of_two_units_are_all_read(tmp_path: Path):
    """The footer of a part with two units does not say when it begins and ends, so it is read."""
    from tests.market_data.sources.test_files import files, read, wanted

    late = [(START_MS + DAY_MS + k * BAR_MS) for k in range(96)]
    early = [(START_MS + k * BAR_MS) * 1_000 for k in range(96)]
    frame = pd.DataFrame({"event_time_ms": late + early})
    frame = frame.assign(open=2.0, high=3.0, low=1.0, close=2.0, volume=1.0)
    frame.to_parquet(tmp_path / "a.parquet")
    source = files(tmp_path, files="a.parquet", time_unit="ms")
    for start_ms in (START_MS, START_MS + DAY_MS):
        assert len(read(source, wanted("candles", start_ms, start_ms + DAY_MS))) == 96


@pytest.mark.parametrize(
    ("stamp", "found"),
    [
        (17_040_672_000, "stamp 17040672000 ms"),
        (-5, "stamp -5 ms"),
        ("soon", "stamp 'soon' ms"),
        ("", "no stamp"),
        ("1899-12-31T00:00:00Z", "stamp '1899-12-31T00:00:00Z' ms"),
    ],
)
def test_impossible_stamp_is_counted_and_named_with_its_unit(
    tmp_path: Path, stamp: object, found: str
):
    """It is received, set aside under its rule beside where it stood, and nothing else is lost."""
    times: list[object] = [START_MS + k * BAR_MS for k in range(96)]
    rows = [*times[:40], stamp, stamp, *times[40:]]
    report, lake = brought_in(tmp_path, bars(rows))
    assert (report.received, report.added, report.quarantined) == (98, 96, 2)
    aside = quarantined_in(lake, "candles", report.window)
    assert aside["event_time_ms"].tolist() == [START_MS + 39 * BAR_MS + 1]
    assert set(aside["rule"].iloc[0].split("; ")) == {"impossible_stamp"}
    assert found in aside["found"].iloc[0]
    assert "2000 to 2100" in aside["expected"].iloc[0]


def test_impossible_stamp_belongs_to_one_window_only(tmp_path: Path):
    """It is not found anew in every month that is read of the file."""
    times: list[object] = [START_MS + k * BAR_MS for k in range(192)]
    text = bars([*times[:96], 7, *times[96:]])
    second = (START_MS + DAY_MS, START_MS + 2 * DAY_MS)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert brought_in(tmp_path / "one", text)[0].quarantined == 1
    assert brought_in(tmp_path / "two", text, window=second)[0].quarantined == 0


def test_publication_time_that_is_none_sets_its_row_aside(tmp_path: Path):
    """A row of which nobody can say when it was known is not known."""
    text = f"t,got,rate\n{START_MS},{START_MS + 5},0.0001\n{START_MS + 28_800_000},3,0.0002\n"
    columns = "{event_time_ms: t, known_at_ms: got, funding_rate: rate}"
    report, lake = brought_in(tmp_path, text, "funding", columns)
    assert (report.received, report.added, report.quarantined) == (2, 1, 1)
    aside = quarantined_in(lake, "funding", report.window)
    assert aside["found"].tolist() == ["known_at_ms: stamp 3 ms"]


def test_column_that_holds_no_time_is_refused_by_name(tmp_path: Path):
    """A file of which not one stamp can be is another mistake than a row."""
    with pytest.raises(TidegateError, match=r"f\.csv: .*none has a moment, the first stamp 2 ms"):
        brought_in(tmp_path, bars([START_MS]), columns="{event_time_ms: open}")


def test_types_that_lie_are_seen_through():
    """Microseconds stored as nanoseconds lie in 1970 by their type and in 2024 by their size."""
    moments = np.array([START_MS * 1_000, START_MS * 1_000 + 999], dtype="datetime64[ns]")
    assert stamps(pa.array(moments)).times_ms.tolist() == [START_MS, START_MS]


def test_doubles_of_seconds_keep_their_milliseconds():
    """A double is not cut to the millisecond before its own."""
    assert stamps(pa.array([1_704_067_200.123, 1_704_067_200.001])).times_ms.tolist() == [
        START_MS + 123,
        START_MS + 1,
    ]


def test_column_of_another_type_is_refused():
    """True is no time."""
    with pytest.raises(WrongColumnError, match="found times of type bool"):
        stamps(pa.array([True]))
