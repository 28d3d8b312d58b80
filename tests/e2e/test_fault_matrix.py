"""Every fault of every feed: the data is complete and identical, or a person sees why it is not.

One law throughout: whatever the venue did, the next run against a sound venue leaves exactly the
rows of a lake that never met a fault. A hole that a run claimed to have read would stay, so the law
is also that no hole is ever silent.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kernel.errors import TidegateError
from market_data.storage.lake import Lake
from tests.e2e.feeds import (
    FEEDS,
    Feed,
    Sound,
    World,
    aside,
    digest,
    same,
    stored,
)

ALL_ROWS = 100_000
ONCE: dict[str, Any] = {"count": 1}
ALWAYS: dict[str, Any] = {"rate": 1.0}
OFTEN: dict[str, Any] = {"rate": 0.5}


@dataclass(frozen=True)
class Day:
    """A kind of bad day: a fault and how it hits. On one that `costs_nothing` a run succeeds."""

    name: str
    kind: str
    how: dict[str, Any]
    costs_nothing: bool = False

    def __str__(self) -> str:
        return self.name


DAYS = (
    Day("dropped_once", "drop", ONCE, costs_nothing=True),
    Day("dropped_often", "drop", OFTEN),
    Day("dropped_always", "drop", ALWAYS),
    Day("failing_once", "http5xx", ONCE, costs_nothing=True),
    Day("failing_often", "http5xx", OFTEN),
    Day("cut_short_once", "truncate", ONCE, costs_nothing=True),
    Day("cut_short_always", "truncate", ALWAYS),
    Day("throttled_once", "http429", {**ONCE, "retry_after_s": 0}, costs_nothing=True),
    Day("throttled_always", "http429", {**ALWAYS, "retry_after_s": 0}),
    Day("banned_briefly", "http418", {**ONCE, "retry_after_s": 0}, costs_nothing=True),
    Day("banned_for_an_hour", "http418", {**ONCE, "retry_after_s": 3_600}),
    Day("slow_once", "slow", {**ONCE, "delay_ms": 30}, costs_nothing=True),
    Day("dripping_once", "drip", {**ONCE, "delay_ms": 30}, costs_nothing=True),
    Day("doubled_once", "duplicate_rows", {**ONCE, "rows": 2}, costs_nothing=True),
    Day("doubled_always", "duplicate_rows", {**ALWAYS, "rows": ALL_ROWS}),
    Day("disordered_once", "reorder_rows", {**ONCE, "rows": 2}, costs_nothing=True),
    Day("disordered_always", "reorder_rows", {**ALWAYS, "rows": ALL_ROWS}, costs_nothing=True),
    Day("two_rows_left_out_once", "skip_rows", {**ONCE, "rows": 2}),
    Day("two_rows_left_out_always", "skip_rows", {**ALWAYS, "rows": 2}),
    Day("empty_once", "skip_rows", {**ONCE, "rows": ALL_ROWS}),
    Day("empty_always", "skip_rows", {**ALWAYS, "rows": ALL_ROWS}),
    Day("two_rows_of_garbage_once", "garbage_rows", {**ONCE, "rows": 2}),
    Day("two_rows_of_garbage_always", "garbage_rows", {**ALWAYS, "rows": 2}),
    Day("all_garbage_always", "garbage_rows", {**ALWAYS, "rows": ALL_ROWS}),
)


ALIKE = {"mark_candles", "index_candles"}
"""Tables that come by the very road of candles, from an endpoint of their own."""
FEW = {
    "dropped_often",
    "cut_short_always",
    "throttled_once",
    "banned_for_an_hour",
    "disordered_once",
    "two_rows_left_out_always",
    "empty_once",
    "two_rows_of_garbage_always",
}
EVERY = 8
"""One case of so many is quick, chosen so that each feed has bad days and each day meets feeds."""
CASES = [
    pytest.param(feed, day, marks=[] if (row + column) % EVERY == 0 else pytest.mark.slow)
    for row, feed in enumerate(FEEDS)
    for column, day in enumerate(DAYS)
    if feed.table not in ALIKE or day.name in FEW
]


@pytest.mark.parametrize(("feed", "day"), CASES, ids=str)
def test_a_bad_day_leaves_no_silent_hole(
    venue: World, sound: dict[Feed, Sound], tmp_path: Path, feed: Feed, day: Day
) -> None:
    """A run on a bad day stores nothing wrong; the next one brings whatever it lacked."""
    lake = Lake(root=str(tmp_path))
    expected = sound[feed].rows
    before = venue.injected()
    venue.arm(day.kind, match=feed.path, **day.how)
    outcome = venue.run(feed, lake)
    venue.clear()
    assert venue.injected() > before
    rows = stored(lake, feed)
    if day.costs_nothing:
        assert not isinstance(outcome, TidegateError), outcome
        assert same(rows, expected)
    wrong = rows.merge(expected, how="left", indicator="in").query("`in` != 'both'")
    assert not len(wrong), wrong
    repair = venue.run(feed, lake)
    assert not isinstance(repair, TidegateError), repair
    assert digest(lake, feed) == sound[feed].digest
    assert not len(aside(lake, feed))
