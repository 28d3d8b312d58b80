"""What the runner wrote is what the source reads."""

import json
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import TidegateError
from live_runner.market.recordings import RecordingWriter as Writer
from market_data.sources.protocol import Wanted
from market_data.sources.recordings import Recordings
from market_data.universe import SourceSettings

DAY_MS = 86_400_000
START_MS = 1_765_670_400_000


def source(folder: Path) -> Recordings:
    return Recordings("recorder", SourceSettings("recordings"), str(folder))


def wanted(table: str, start_ms: int = START_MS, days: int = 3) -> Wanted:
    return Wanted(table, "BTCUSDT", start_ms, start_ms + days * DAY_MS, 900_000)


def trade(at_ms: int, number: int) -> dict[str, Any]:
    return {
        "event_time_ms": at_ms,
        "known_at_ms": at_ms + 7,
        "trade_id": number,
        "price": 100.5,
        "quantity": 0.001,
        "side": -1.0,
    }


def read(folder: Path, table: str = "trades") -> list[dict[str, Any]]:
    return [row for page in source(folder).pages(wanted(table)) for row in page.to_dict("records")]


@settings(max_examples=30, deadline=None)
@given(
    times=st.lists(st.integers(0, 3 * DAY_MS - 1), max_size=30).map(sorted),
    flushes=st.sets(st.integers(0, 29)),
)
def test_rows_come_back_as_they_were_heard(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], flushes: set[int]
) -> None:
    """Whatever the days and the moments of writing, every row comes back once and in its order."""
    folder = tmp_path_factory.mktemp("recordings")
    writer = Writer(folder)
    rows = [trade(START_MS + at, number) for number, at in enumerate(times)]
    for number, row in enumerate(rows):
        writer.add("trades", "BTCUSDT", row)
        if number in flushes:
            writer.flush()
    writer.flush()
    assert read(folder) == rows


def test_text_and_missing_values_keep_their_types(tmp_path: Path) -> None:
    """An arrival names its series, and a book without a size has none, not zero."""
    writer = Writer(tmp_path)
    arrival = {"event_time_ms": START_MS, "known_at_ms": START_MS + 40}
    writer.add("arrivals", "BTCUSDT", {**arrival, "series": "funding", "lag_ms": 40})
    book = {"event_time_ms": START_MS, "known_at_ms": START_MS, "update_id": 7}
    prices = {"best_bid": 99.5, "best_ask": 100.0, "best_bid_quantity": None}
    rest = dict.fromkeys(("best_ask_quantity", "bid_quantity_100", "ask_quantity_100"), 1.0)
    writer.add("depth", "BTCUSDT", {**book, **prices, **rest})
    writer.flush()
    assert read(tmp_path, "arrivals") == [{**arrival, "series": "funding", "lag_ms": 40}]
    (found,) = read(tmp_path, "depth")
    assert found["best_bid_quantity"] != found["best_bid_quantity"]
    assert (found["update_id"], found["best_ask"]) == (7, 100.0)


def test_a_line_broken_by_a_crash_is_cut_off(tmp_path: Path) -> None:
    """Half a line at the end is not read, and the next writer begins on a line of its own."""
    writer = Writer(tmp_path)
    writer.add("trades", "BTCUSDT", trade(START_MS, 1))
    writer.flush()
    (path,) = tmp_path.rglob("*.jsonl")
    with path.open("a") as file:
        file.write(json.dumps(trade(START_MS + 1, 2))[:40])
    assert [row["trade_id"] for row in read(tmp_path)] == [1]
    again = Writer(tmp_path)
    again.add("trades", "BTCUSDT", trade(START_MS + 2, 3))
    again.flush()
    assert [row["trade_id"] for row in read(tmp_path)] == [1, 3]


def test_a_line_broken_by_a_full_disk_is_cut_off(tmp_path: Path) -> None:
    """The same writer goes on, on a line of its own; what the disk did not take is lost."""
    writer = Writer(tmp_path)
    writer.add("trades", "BTCUSDT", trade(START_MS, 1))
    writer.flush()
    (path,) = tmp_path.rglob("*.jsonl")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40, limits[1]))
        writer.add("trades", "BTCUSDT", trade(START_MS + 1, 2))
        with pytest.raises(OSError, match="File too large"):
            writer.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    writer.add("trades", "BTCUSDT", trade(START_MS + 2, 3))
    writer.flush()
    assert [row["trade_id"] for row in read(tmp_path)] == [1, 3]


def test_a_line_that_is_no_row_is_refused_by_name(tmp_path: Path) -> None:
    """A recording that someone edited is named, not skipped."""
    writer = Writer(tmp_path)
    writer.add("trades", "BTCUSDT", {**trade(START_MS, 1), "mood": 3})
    writer.flush()
    with pytest.raises(TidegateError) as caught:
        read(tmp_path)
    assert "2025-12-14.jsonl" in str(str(caught.value))
    assert "unexpected field" in str(str(caught.value))


def test_days_without_a_recording_have_no_rows(tmp_path: Path) -> None:
    """A runner that did not run left nothing, which is not an error."""
    assert read(tmp_path) == []


def test_a_symbol_without_a_recording_is_told_what_was_looked_for(tmp_path: Path) -> None:
    """Where, which files lie there, and what makes them; nothing once there is one."""
    other = tmp_path / "trades" / "symbol=ETHUSDT" / "2025-12-14.jsonl"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.touch()
    told = source(tmp_path).searched(wanted("trades"))
    assert "looked for trades/symbol=BTCUSDT/<day>.jsonl below" in told
    assert "symbol=ETHUSDT/2025-12-14.jsonl" in told
    assert "the live runner records while it runs" in told
    mine = tmp_path / "trades" / "symbol=BTCUSDT" / "2025-12-14.jsonl"
    mine.parent.mkdir(parents=True)
    mine.touch()
    assert source(tmp_path).searched(wanted("trades")) == ""
