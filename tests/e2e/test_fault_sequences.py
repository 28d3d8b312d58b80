"""Bad days in any order: whatever happens, a sound run in the end leaves a lake without a trace."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kernel.errors import TidegateError
from market_data.storage.lake import Lake
from tests.e2e.feeds import FEEDS, Feed, Sound, World, aside, same, stored

KINDS = (
    "drop", "http5xx", "truncate", "http429", "http418",
    "duplicate_rows", "reorder_rows", "skip_rows", "garbage_rows",
)  # fmt: skip
HITS = st.one_of(
    st.fixed_dictionaries({"count": st.integers(1, 4)}),
    st.fixed_dictionaries({"rate": st.sampled_from([0.2, 0.5, 0.9])}),
)
FAULT = st.tuples(st.sampled_from(KINDS), HITS, st.sampled_from([1, 3, 40, 100_000]))
BAD_RUN = st.lists(FAULT, min_size=1, max_size=3)


def repaired(venue: World, lake: Lake, feed: Feed, folder: Path) -> Lake:
    """Return a copy of the lake after one further run against a sound venue."""
    if Path(lake.root).exists():
        shutil.copytree(lake.root, folder)
    copy = Lake(root=str(folder))
    outcome = venue.run(feed, copy)
    assert not isinstance(outcome, TidegateError), outcome
    return copy


@given(feed=st.sampled_from(FEEDS), runs=st.lists(BAD_RUN, min_size=1, max_size=3))
@hypothesis_settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_sequence_of_bad_runs_is_repaired_by_the_next_sound_one(
    venue: World,
    sound: dict[Feed, Sound],
    tmp_path_factory: pytest.TempPathFactory,
    feed: Feed,
    runs: list[list[tuple[str, dict[str, Any], int]]],
) -> None:
    """After every bad run, successful or not, one sound run gives exactly the faultless rows."""
    folder = tmp_path_factory.mktemp("sequence")
    lake = Lake(root=str(folder / "lake"))
    expected = sound[feed].rows
    for number, faults in enumerate(runs):
        for kind, hits, rows in faults:
            venue.arm(kind, match=feed.path, retry_after_s=0, rows=rows, **hits)
        outcome = venue.run(feed, lake)
        venue.clear()
        note(f"run {number}: {outcome}")
        copy = repaired(venue, lake, feed, folder / f"copy{number}")
        assert same(stored(copy, feed), expected)
        assert not len(aside(copy, feed))
