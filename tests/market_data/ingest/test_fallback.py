"""A second source fills what the first one has no longer, and overrides nothing."""

from dataclasses import replace

import numpy as np

from market_data.ingest.ingestion import ingest, rows_in
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.tables import DAY_MS, TABLES
from tests.market_data.given_source import GivenSource, frame, given, universe
from tests.market_data.ingest.one_window import (
    BARS,
    END_MS,
    SETTLED_MS,
    START_MS,
    WINDOW,
    candles,
    run,
    source,
    spans,
    stored,
    without,
)

MARKS = np.append(BARS, END_MS)  # what has no period is there at once
RECENT_MS = END_MS - 4 * DAY_MS
JITTER_MS = TABLES["open_interest"].jitter_ms  # the window's first event may be stamped before it


def bounded() -> GivenSource:
    """Return a source that keeps four days of open interest."""
    held = frame("open_interest", MARKS[MARKS >= RECENT_MS], 5e4)
    return source(held, "open_interest", kept_ms={"open_interest": 4 * DAY_MS})


def test_fallback_fills_what_the_source_no_longer_has(lake: Lake):
    """The source is asked for its own days only, and only those are claimed for it."""
    one = bounded()
    two = GivenSource("two", {"open_interest": frame("open_interest", MARKS, 6e4)}, END_MS)
    report = run(lake, one, two, table="open_interest")
    rows = rows_in(lake, "open_interest", WINDOW)
    assert {wanted.start_ms for wanted in one.asked} == {RECENT_MS}
    assert two.asked[0].start_ms == START_MS - JITTER_MS
    assert rows["event_time_ms"].tolist() == MARKS.tolist()
    assert (rows["source"] == np.where(MARKS < RECENT_MS, "two", "one")).all()
    assert report.sources == ("one", "two")
    assert [(s.start_ms, s.end_ms) for s in spans(lake, "open_interest")] == [
        (RECENT_MS, SETTLED_MS)
    ]
    assert [(s.start_ms, s.end_ms) for s in spans(lake, "open_interest", "two")] == [
        (START_MS, RECENT_MS)
    ]


def test_fallback_is_asked_once(lake: Lake):
    """What the fallback gave is not asked for again, of nobody."""
    one = bounded()
    two = GivenSource("two", {"open_interest": frame("open_interest", MARKS, 6e4)}, END_MS)
    run(lake, one, two, table="open_interest")
    one.asked.clear()
    two.asked.clear()
    run(lake, one, two, table="open_interest")
    assert [wanted.start_ms for wanted in one.asked] == [SETTLED_MS]
    assert two.asked == []


def test_source_without_its_past_fails_nothing(lake: Lake):
    """Without a fallback the older days stay visible as missing: not read, and no error."""
    old = replace(WINDOW, end_ms=RECENT_MS)
    told: list[str] = []
    known = universe("open_interest")
    ingest("open_interest", given(bounded()), lake, [old], known, tell=told.append)
    assert told == [
        "open_interest of BTCUSDT: nothing asked for, since no source keeps what is missing"
    ]
    report = run(lake, bounded(), table="open_interest")
    assert report.read_ms == ((RECENT_MS, END_MS + 1),)
    assert stored(lake, "open_interest")[0] == RECENT_MS


def test_fallback_overrides_nothing(lake: Lake):
    """A hole is filled from the second source; the bars around it stay the first one's."""
    one = source(candles(without(*BARS[300:304])))
    other = candles().assign(volume=7.0)
    run(lake, one, GivenSource("two", {"candles": other}, END_MS))
    rows = rows_in(lake, "candles", WINDOW)
    assert rows["event_time_ms"].tolist() == BARS.tolist()
    assert rows[rows["source"] == "two"]["event_time_ms"].tolist() == BARS[300:304].tolist()
    assert (lake.history("candles", "BTCUSDT", FOREVER_MS)["revision"] == 0).all()
