"""From a source into the lake: everything once, and nothing before it is over."""

import random
import tempfile
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from kernel.errors import TidegateError
from market_data.ingest.ingestion import ingest, rows_in
from market_data.sources.backoff import unavailable
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.tables import DAY_MS, HOUR_MS
from market_data.window import Window
from tests.market_data.given_source import BAR_MS, GivenSource, frame, given, universe
from tests.market_data.ingest.one_window import (
    BARS,
    EIGHT_HOURS_MS,
    END_MS,
    SETTLED_MS,
    START_MS,
    WINDOW,
    candles,
    run,
    source,
    stored,
)


def test_first_run_brings_everything_and_says_so(lake: Lake):
    """Every closed bar arrives once, known at its close, under its source's name."""
    report = run(lake, source(candles()))
    rows = rows_in(lake, "candles", WINDOW)
    assert rows["event_time_ms"].tolist() == BARS.tolist()
    assert (rows["known_at_ms"] - rows["event_time_ms"]).unique().tolist() == [BAR_MS]
    assert rows["source"].unique().tolist() == ["one"]
    assert (report.received, report.added, report.revised) == (len(BARS), len(BARS), 0)
    assert (report.sources, report.until_ms) == (("one",), END_MS)
    assert report.read_ms == ((START_MS, END_MS),)


def test_second_run_asks_for_the_last_three_days_only(lake: Lake):
    """What is settled is asked for once; corrections are looked for in the days before."""
    one = source(candles())
    run(lake, one)
    one.asked.clear()
    report = run(lake, one)
    assert [(wanted.start_ms, wanted.end_ms) for wanted in one.asked] == [
        (SETTLED_MS, END_MS + BAR_MS)
    ]
    assert (report.added, report.revised, report.unchanged) == (0, 0, 3 * 96)


def test_complete_window_costs_no_request(lake: Lake):
    """An older window that is complete is left alone, and the report says that nothing was read."""
    one = source(
        candles(np.arange(START_MS, END_MS + 9 * DAY_MS, BAR_MS)), now_ms=END_MS + 9 * DAY_MS
    )
    window = replace(WINDOW, end_ms=END_MS)
    run(lake, one, window=window)
    one.asked.clear()
    told: list[str] = []
    report = ingest("candles", given(one), lake, [window], universe("candles"), tell=told.append)[0]
    assert one.asked == []
    assert (report.read_ms, report.sources, report.received) == ((), (), 0)
    assert told == ["candles of BTCUSDT: nothing to read, complete until 2025-12-11 00:00 UTC"]


def test_reread_asks_for_everything_again(lake: Lake):
    """A correction older than three days is found by reading again, and is a new revision."""
    run(lake, source(candles()))
    restated = candles()
    restated.loc[5, "close"] += 1.0
    one = source(restated)
    assert run(lake, one).revised == 0
    report = run(lake, one, reread=True)
    assert (report.added, report.revised) == (0, 1)
    history = lake.history("candles", "BTCUSDT", FOREVER_MS)
    assert history[history["revision"] == 1]["event_time_ms"].tolist() == [BARS[5]]


def test_restatement_of_the_last_days_becomes_a_revision(lake: Lake):
    """What was known before the correction stays readable as of then."""
    run(lake, source(candles()))
    before = lake.digest("BTCUSDT", END_MS)
    restated = candles()
    restated.loc[len(BARS) - 5, "close"] += 1.0
    report = run(lake, source(restated, now_ms=END_MS + HOUR_MS))
    assert report.revised == 1
    assert lake.digest("BTCUSDT", END_MS) == before
    assert lake.digest("BTCUSDT", FOREVER_MS) != before


def test_unfinished_bar_is_never_stored(lake: Lake):
    """The bar in which the clock stands is left out and counted; it comes when it is over."""
    now_ms = END_MS - BAR_MS // 2
    report = run(lake, source(candles(), now_ms=now_ms))
    assert stored(lake)[-1] == END_MS - 2 * BAR_MS
    assert report.unfinished == 1
    assert run(lake, source(candles(), now_ms=END_MS)).added == 1


@pytest.mark.parametrize("ahead_ms", [5 * 60_000, BAR_MS, 7 * HOUR_MS])
def test_clock_that_runs_ahead_makes_no_bar_final(lake: Lake, ahead_ms: int):
    """The newest bar of an exchange may be running whatever its clock says: it is left out."""
    shown = candles()
    shown.loc[len(BARS) - 1, "close"] += 1.0  # as it stands; it will close elsewhere
    run(lake, source(shown, now_ms=END_MS + ahead_ms))
    assert stored(lake)[-1] == END_MS - 2 * BAR_MS
    late = np.arange(START_MS, END_MS + DAY_MS, BAR_MS)
    report = run(lake, source(candles(late), now_ms=END_MS + DAY_MS))
    assert report.revised == 0
    assert stored(lake) == late.tolist()


def test_row_is_known_when_it_was_published(lake: Lake):
    """Event plus lag, or the source's own word, but never before the row's period is over."""
    times = [START_MS, START_MS + DAY_MS, START_MS + 2 * DAY_MS]
    run(lake, source(frame("onchain", times), "onchain"), table="onchain")
    own = frame("onchain", times).assign(known_at_ms=[t + 30 * HOUR_MS for t in times])
    own.loc[2, "known_at_ms"] = times[2] + HOUR_MS
    other = Lake(root=lake.root + "2")
    run(other, source(own, "onchain"), table="onchain")
    lags = [
        (rows["known_at_ms"] - rows["event_time_ms"]).tolist()
        for rows in (rows_in(one, "onchain", WINDOW) for one in (lake, other))
    ]
    assert lags == [[DAY_MS] * 3, [30 * HOUR_MS, 30 * HOUR_MS, DAY_MS]]


def test_failure_in_the_middle_keeps_what_arrived_and_the_next_run_goes_on(lake: Lake):
    """Pages before the failure are stored and are not asked for again."""

    class Tired(GivenSource):
        def pages(self, wanted):
            for number, page in enumerate(super().pages(wanted)):
                if number == 3:
                    raise unavailable("candles of BTCUSDT", 7, "closed")
                yield page

    with pytest.raises(TidegateError):
        run(lake, Tired("one", {"candles": candles()}, END_MS))
    assert stored(lake) == BARS[:300].tolist()
    one = source(candles())
    run(lake, one)
    assert one.asked[0].start_ms == BARS[300]
    assert stored(lake) == BARS.tolist()


def test_table_that_a_source_lacks_is_refused_in_words(lake: Lake):
    """The mistake is in universe.yaml, which the text names with the tables there are."""
    with pytest.raises(TidegateError) as failure:
        run(lake, source(frame("funding", [START_MS]), "funding"))
    assert "universe.yaml: source one of candles" in str(str(failure.value))
    assert "['funding']" in str(str(failure.value))


def test_months_before_a_table_begins_are_not_read(lake: Lake):
    """The table's own first day, or the universe's, bounds what is asked for."""
    one = source(candles())
    known = universe("candles", start="2025-12-03")
    report = ingest("candles", given(one), lake, [WINDOW], known)[0]
    assert one.asked[0].start_ms == START_MS + 2 * DAY_MS
    assert report.window == WINDOW


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@drawn(
    st.lists(st.integers(1, 7 * 96 - 1), max_size=4, unique=True),
    st.integers(20, 900),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_any_way_of_reading_gives_the_same_lake(
    cuts: list[int], page: int, seed: int, backwards: bool
):
    """Whatever the windows, the runs, the pages, their order and their doubles: one digest.

    Windows are read in any order; the last one reaches the present.
    """
    edges = [START_MS, *(START_MS + cut * BAR_MS for cut in sorted(cuts)), WINDOW.end_ms]
    windows = [Window("BTCUSDT", a, b) for a, b in pairwise(edges)]
    windows = windows[::-1] if backwards else windows
    held = {
        "candles": candles(),
        "funding": frame("funding", np.arange(START_MS, END_MS, EIGHT_HOURS_MS) + 7, 1e-4),
    }
    with tempfile.TemporaryDirectory() as folder:
        whole = Lake(root=f"{folder}/whole")
        pieces = Lake(root=f"{folder}/pieces")
        shaken = GivenSource("one", held, END_MS, page=page, rng=random.Random(seed))
        for table in held:
            run(whole, GivenSource("one", held, END_MS), table=table)
            for window in windows:
                run(pieces, shaken, table=table, window=window)
        assert pieces.digest("BTCUSDT", FOREVER_MS) == whole.digest("BTCUSDT", FOREVER_MS)
        assert len(pieces.as_of("quarantine", "BTCUSDT", FOREVER_MS)) == 0
