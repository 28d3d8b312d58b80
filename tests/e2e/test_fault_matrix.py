"""Every fault of every feed: the data is complete and identical, or a person sees why it is not.

One law throughout: whatever the venue did, the next run against a sound venue leaves exactly the
rows of a lake that never met a fault. A hole that a run claimed to have read would stay, so the law
is also that no hole is ever silent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration.resources.lake import Lake
from tests.e2e.feeds import FEEDS, Feed, World, aside, digest, filled, same, stored, world

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
    *(
        Day(f"{kind}_{name}", kind, how, costs_nothing=name == "once")
        for kind in ("drop", "http5xx", "truncate")
        for name, how in (("once", ONCE), ("often", OFTEN), ("always", ALWAYS))
    ),
    Day("throttled_once", "http429", {**ONCE, "retry_after_s": 0}, costs_nothing=True),
    Day("throttled_always", "http429", {**ALWAYS, "retry_after_s": 0}),
    Day("banned_briefly", "http418", {**ONCE, "retry_after_s": 0}, costs_nothing=True),
    Day("banned_for_an_hour", "http418", {**ONCE, "retry_after_s": 3_600}),
    Day("slow_once", "slow", {**ONCE, "delay_ms": 30}, costs_nothing=True),
    Day("dripping_once", "drip", {**ONCE, "delay_ms": 30}, costs_nothing=True),
    *(
        Day(f"{kind}_{rows}_{name}", f"{kind}_rows", {**how, "rows": rows})
        for kind in ("duplicate", "reorder", "skip", "garbage")
        for rows in (2, ALL_ROWS)
        for name, how in (("once", ONCE), ("always", ALWAYS))
    ),
)


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("configs")) as one:
        yield one


@pytest.fixture(scope="module")
def sound(venue: World, tmp_path_factory: pytest.TempPathFactory) -> dict[Feed, Lake]:
    return filled(venue, tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("day", DAYS, ids=str)
@pytest.mark.parametrize("feed", FEEDS, ids=str)
def test_a_bad_day_leaves_no_silent_hole(
    venue: World, sound: dict[Feed, Lake], tmp_path: Path, feed: Feed, day: Day
) -> None:
    """A run on a bad day stores nothing wrong; the next one brings whatever it lacked."""
    lake, expected, before = Lake(root=str(tmp_path)), stored(sound[feed], feed), venue.injected()
    venue.arm(day.kind, match=feed.path, **day.how)
    outcome = venue.run(feed, lake)
    venue.clear()
    assert venue.injected() > before
    if day.costs_nothing:
        assert not isinstance(outcome, dg.Failure), outcome
        assert same(stored(lake, feed), expected)
    wrong = stored(lake, feed).merge(expected, how="left", indicator="in").query("`in` != 'both'")
    assert not len(wrong), wrong
    repair = venue.run(feed, lake)
    assert not isinstance(repair, dg.Failure), repair
    assert same(stored(lake, feed), expected)
    assert digest(lake, feed) == digest(sound[feed], feed)
    assert not len(aside(lake, feed))
