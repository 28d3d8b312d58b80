"""From a source into the lake: nothing lost, nothing twice, nothing claimed that was not read."""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import dagster as dg
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from orchestration.partitions import Window
from orchestration.resources.ingest.ingestion import Ingest, ingest, quarantined_in, rows_in
from orchestration.resources.lake import FOREVER_MS, Lake
from orchestration.resources.sources.backoff import unavailable
from orchestration.resources.tables import DAY_MS, HOUR_MS
from tests.orchestration.given_source import (
    BAR_MS,
    GivenSource,
    Rows,
    frame,
    given,
    universe,
)

START_MS = 1_764_547_200_000  # 2025-12-01T00:00Z
DAYS = 10
END_MS = START_MS + DAYS * DAY_MS
BARS = np.arange(START_MS, END_MS, BAR_MS)
WINDOW = Window("BTCUSDT", START_MS, START_MS + 31 * DAY_MS)
EIGHT_HOURS_MS = 8 * HOUR_MS
SETTLED_MS = END_MS - 3 * DAY_MS


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return an empty lake."""
    return Lake(root=str(tmp_path / "lake"))


def candles(times: Sequence[int] | np.ndarray = BARS) -> Rows:
    """Return candles at these times."""
    return frame("candles", times)


def source(
    held: Rows, table: str = "candles", now_ms: int = END_MS, **moods: object
) -> GivenSource:
    """Return the source `one` of a single table."""
    return GivenSource("one", {table: held}, now_ms, **moods)  # pyright: ignore[reportArgumentType]


def run(
    lake: Lake,
    *sources: GivenSource,
    table: str = "candles",
    window: Window = WINDOW,
    reread: bool = False,
) -> Ingest:
    """Ingest one window; a second source is the fallback."""
    fallback = sources[1].name if len(sources) > 1 else ""
    known = universe(table, fallback=fallback)
    return ingest(table, given(*sources), lake, [window], known, reread=reread)[0]


def stored(lake: Lake, table: str = "candles") -> list[int]:
    """Return the events that the lake holds, ascending."""
    return rows_in(lake, table, WINDOW)["event_time_ms"].tolist()


def without(*times: int) -> np.ndarray:
    """Return the bars without some."""
    return np.setdiff1d(BARS, times)


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


def test_answer_without_some_rows_is_asked_for_again_at_once(lake: Lake):
    """A hole in a 200 answer is closed in the same run, and asked for as narrowly as it is."""
    gone = BARS[300:304]

    def stutter(question: int, rows: Rows) -> Rows:
        return rows[~rows["event_time_ms"].isin(gone)] if question == 0 else rows

    one = source(candles(), spoil=stutter)
    run(lake, one)
    assert stored(lake) == BARS.tolist()
    assert [one.asked[1].start_ms, one.asked[1].end_ms] == [gone[0], gone[-1] + 2 * BAR_MS]
    assert len(one.asked) == 2


def test_hole_that_stays_is_not_claimed_as_read(lake: Lake):
    """After two answers without a bar the next run asks for it again, and is done when it comes."""
    run(lake, source(candles(without(BARS[300]))))
    assert all(not span.start_ms <= BARS[300] < span.end_ms for span in spans(lake))
    one = source(candles())
    run(lake, one)
    assert one.asked[0].start_ms == BARS[300]
    assert stored(lake) == BARS.tolist()
    one.asked.clear()
    run(lake, one)
    assert one.asked[0].start_ms == SETTLED_MS


def spans(lake: Lake, table: str = "candles", name: str = "one") -> list:
    """Return what the ledger claims for a source."""
    return [span for span in lake.read_spans(table, "BTCUSDT") if span.source == name]


@pytest.mark.parametrize("missing", [0, 1, 14, 29])
def test_settlement_that_one_answer_lacks_is_asked_for_again(lake: Lake, missing: int):
    """A table without a grid is known by the usual distance of its rows, also at its edges."""
    times = np.arange(START_MS, END_MS + 1, EIGHT_HOURS_MS)
    held = frame("funding", times, 1e-4)

    def stutter(question: int, rows: Rows) -> Rows:
        return rows[rows["event_time_ms"] != times[missing]] if question == 0 else rows

    one = source(held, "funding", spoil=stutter)
    run(lake, one, table="funding")
    assert stored(lake, "funding") == times.tolist()
    claimed = [
        span for span in spans(lake, "funding") if span.start_ms <= times[missing] < span.end_ms
    ]
    assert claimed == []  # a source that stutters is read again
    run(lake, one, table="funding")
    run(lake, one, table="funding")
    one.asked.clear()
    run(lake, one, table="funding")
    assert [wanted.start_ms for wanted in one.asked] == [SETTLED_MS]


@pytest.mark.parametrize("missing", [1, 14])
def test_settlement_that_both_answers_lack_is_not_claimed(lake: Lake, missing: int):
    """Rows that are further apart than those around them are asked for by every run."""
    times = np.arange(START_MS, END_MS + 1, EIGHT_HOURS_MS)
    run(lake, source(frame("funding", np.delete(times, missing), 1e-4), "funding"), table="funding")
    run(lake, source(frame("funding", times, 1e-4), "funding"), table="funding")
    assert stored(lake, "funding") == times.tolist()


class Folder(GivenSource):
    """A source of files."""

    asking_is_free: ClassVar[bool] = True


def test_files_that_come_later_are_found(lake: Lake):
    """Of a folder nothing before the first row counts as read: January may follow February."""
    later = Folder("one", {"candles": candles(BARS[6 * 96 :])}, END_MS + 9 * DAY_MS)
    run(lake, later)
    assert len(later.asked) == 1
    run(lake, Folder("one", {"candles": candles()}, END_MS + 9 * DAY_MS))
    assert stored(lake) == BARS.tolist()


def test_symbol_listed_later_is_not_asked_for_its_past_forever(lake: Lake):
    """Long before its first row nothing is asked again; near it it is."""
    start_ms = END_MS - 20 * DAY_MS
    window = Window("BTCUSDT", start_ms, END_MS)
    one = source(candles(BARS[-96:]))
    run(lake, one, window=window)
    assert len(stored(lake)) == 96
    one.asked.clear()
    run(lake, one, window=window)
    first_ms = int(BARS[-96])
    assert min(wanted.start_ms for wanted in one.asked) == first_ms - 500 * BAR_MS


def test_symbol_without_any_row_is_asked_for_again(lake: Lake):
    """An exchange that answers with nothing at all is not believed for good."""
    one = source(candles([]))
    run(lake, one)
    run(lake, one)
    assert {wanted.start_ms for wanted in one.asked} == {START_MS}
    assert spans(lake) == []


def test_failure_in_the_middle_keeps_what_arrived_and_the_next_run_goes_on(lake: Lake):
    """Pages before the failure are stored and are not asked for again."""

    class Tired(GivenSource):
        def pages(self, wanted):
            for number, page in enumerate(super().pages(wanted)):
                if number == 3:
                    raise unavailable("candles of BTCUSDT", ["closed"])
                yield page

    with pytest.raises(dg.Failure):
        run(lake, Tired("one", {"candles": candles()}, END_MS))
    assert stored(lake) == BARS[:300].tolist()
    one = source(candles())
    run(lake, one)
    assert one.asked[0].start_ms == BARS[300]
    assert stored(lake) == BARS.tolist()


def test_bad_row_is_set_aside_and_let_go_when_it_is_put_right(lake: Lake):
    """A bar that breaks a rule is no candle; each run asks for it until it is one."""
    bad = candles()
    bad.loc[300, "high"] = 1.0
    report = run(lake, source(bad))
    aside = quarantined_in(lake, "candles", WINDOW)
    assert aside["event_time_ms"].tolist() == [BARS[300]]
    assert "ohlc_inconsistent" in aside["rule"][0]
    assert report.quarantined == 2  # asked once more at once, it was still bad
    assert stored(lake) == without(BARS[300]).tolist()
    one = source(candles())
    run(lake, one)
    assert one.asked[0].start_ms == BARS[300]
    assert len(quarantined_in(lake, "candles", WINDOW)) == 0
    assert stored(lake) == BARS.tolist()


def test_garbage_of_one_answer_is_healed_by_the_next(lake: Lake):
    """A value that is nonsense once is asked for again at once; its trace stays in the history."""

    def garbage(question: int, rows: Rows) -> Rows:
        return rows if question else rows.assign(close=rows["close"].where(rows.index != 300))

    run(lake, source(candles(), spoil=garbage))
    assert stored(lake) == BARS.tolist()
    assert len(quarantined_in(lake, "candles", WINDOW)) == 0
    assert lake.history("quarantine", "BTCUSDT", FOREVER_MS)["rule"].tolist()[1:] == [""]


def test_two_values_of_one_bar_are_both_shown(lake: Lake):
    """The first stands, the other is set aside: nobody has to guess which one was used."""
    import pandas as pd

    twin = candles().loc[[300]].assign(close=candles()["close"][300] + 1.0)
    run(lake, source(pd.concat([candles(), twin], ignore_index=True), page=10_000))
    aside = quarantined_in(lake, "candles", WINDOW)
    assert aside["rule"].tolist() == ["duplicate"]
    assert rows_in(lake, "candles", WINDOW)["close"][300] == candles()["close"][300]


def test_every_row_that_came_is_accounted_for(lake: Lake):
    """Received is the sum of what became of the rows, copies and the running bar included."""
    import pandas as pd

    bad = candles()
    bad.loc[300, "high"] = 1.0
    held = pd.concat([bad, candles().loc[[7, 8]]], ignore_index=True)
    report = run(lake, source(held, now_ms=END_MS - 1, page=10_000))
    assert report.received == len(BARS) + 2 + 1 + 1  # the bad bar, and the one after it, twice
    assert report.unfinished == 1
    assert report.received == (
        report.added + report.revised + report.unchanged + report.quarantined + report.unfinished
    )


MARKS = np.append(BARS, END_MS)  # what has no period is there at once
RECENT_MS = END_MS - 4 * DAY_MS


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
    assert two.asked[0].start_ms == START_MS
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
    one, two = (
        bounded(),
        GivenSource("two", {"open_interest": frame("open_interest", MARKS, 6e4)}, END_MS),
    )
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


def test_table_that_a_source_lacks_is_refused_in_words(lake: Lake):
    """The mistake is in universe.yaml, which the text names with the tables there are."""
    with pytest.raises(dg.Failure) as failure:
        run(lake, source(frame("funding", [START_MS]), "funding"))
    assert "universe.yaml: source one of candles" in str(failure.value.description)
    assert "['funding']" in str(failure.value.description)


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
        whole, pieces = Lake(root=f"{folder}/whole"), Lake(root=f"{folder}/pieces")
        shaken = GivenSource("one", held, END_MS, page=page, rng=random.Random(seed))
        for table in held:
            run(whole, GivenSource("one", held, END_MS), table=table)
            for window in windows:
                run(pieces, shaken, table=table, window=window)
        assert pieces.digest("BTCUSDT", FOREVER_MS) == whole.digest("BTCUSDT", FOREVER_MS)
        assert len(pieces.as_of("quarantine", "BTCUSDT", FOREVER_MS)) == 0


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@drawn(st.lists(st.floats(0.0, 0.6), min_size=1, max_size=8), st.integers(0, 2**32))
def test_source_that_stutters_is_complete_in_the_end_and_never_silently_short(
    shares: list[float], seed: int
):
    """Each answer lacks a share of its rows; once the source behaves, one run makes it whole.

    Before, whatever is missing is outside of what the ledger claims.
    """
    draw = np.random.default_rng(seed)

    def stutter(question: int, rows: Rows) -> Rows:
        share = shares[question] if question < len(shares) else 0.0
        return rows[draw.random(len(rows)) >= share]

    with tempfile.TemporaryDirectory() as folder:
        lake, one = Lake(root=folder), source(candles(), spoil=stutter)
        for _ in range(5):
            run(lake, one)
            missing = np.setdiff1d(BARS, stored(lake))
            claimed = [(s.start_ms, s.end_ms) for s in spans(lake)]
            assert not any(a <= at < b for a, b in claimed for at in missing)
        assert stored(lake) == BARS.tolist()
