"""What an answer lacks is asked for again, and never claimed as read."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from market_data.storage.lake import Lake, ReadSpan
from market_data.tables import DAY_MS
from market_data.window import Window
from tests.market_data.given_source import BAR_MS, GivenSource, Rows, frame
from tests.market_data.ingest.one_window import (
    BARS,
    EIGHT_HOURS_MS,
    END_MS,
    SETTLED_MS,
    START_MS,
    candles,
    run,
    source,
    spans,
    stored,
    without,
)


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
        lake = Lake(root=folder)
        one = source(candles(), spoil=stutter)
        for _ in range(5):
            run(lake, one)
            missing = np.setdiff1d(BARS, stored(lake))
            claimed = [(s.start_ms, s.end_ms) for s in spans(lake)]
            assert not any(a <= at < b for a, b in claimed for at in missing)
        assert stored(lake) == BARS.tolist()


def test_an_arrival_noted_days_after_its_event_is_read(lake: Lake):
    """The runner notes a day's row when it comes, a day and more behind what was read since."""
    events = [END_MS - DAY_MS, END_MS - 60_000]
    rows = frame("arrivals", events).assign(series="candles", lag_ms=40)
    late = frame("arrivals", [END_MS - DAY_MS]).assign(series="onchain", lag_ms=7_200_000)
    run(lake, source(rows, "arrivals"), table="arrivals")
    both = pd.concat([rows, late])
    report = run(lake, source(both, "arrivals", END_MS + 3_600_000), table="arrivals")
    assert report.added == 1


@dataclass(frozen=True)
class CountingLake(Lake):
    """A lake that counts the writes of its ledgers."""

    writes: list[str] = field(default_factory=list)

    def mark_read(self, table: str, symbol: str, spans: Sequence[ReadSpan]) -> None:
        """Count, and write."""
        self.writes.append(table)
        super().mark_read(table, symbol, spans)


def test_many_holes_do_not_make_many_writes(lake: Lake):
    """A thin market's thousand runs of bars are noted as read by a handful of writes."""
    counting = CountingLake(root=lake.root)
    run(counting, source(candles(BARS[::2])))
    assert len(spans(counting)) > 300
    assert len(counting.writes) < 10


def test_empty_answers_for_a_month_before_the_first_row_are_not_believed(lake: Lake):
    """With December in the lake, a November without an answer is asked for again and comes."""
    run(lake, source(candles()))
    november = Window("BTCUSDT", START_MS - 30 * DAY_MS, START_MS)
    bars = np.arange(november.start_ms, november.end_ms, BAR_MS)
    run(lake, source(candles(BARS)), window=november)
    assert all(span.start_ms >= START_MS for span in spans(lake))
    one = source(candles(bars))
    assert run(lake, one, window=november).added == len(bars)


def test_correction_is_known_from_when_it_came_not_from_when_the_run_began(lake: Lake):
    """A restated bar that arrives late in a run was not known at the run's beginning."""
    run(lake, source(candles()))
    restated = candles().assign(volume=7.0)

    def slowly(_: int, rows: Rows) -> Rows:
        time.sleep(0.05)
        return rows

    assert run(lake, source(restated, spoil=slowly), reread=True).revised == len(BARS)
    corrected = lake.history("candles", "BTCUSDT", END_MS + DAY_MS)
    known_at_ms = corrected[corrected["revision"] == 1]["known_at_ms"]
    assert known_at_ms.min() >= END_MS + 50
