"""Coarser bars from fine ones, and what a moment could know of an append-only table."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.bars import Bars
from kernel.resampling import ever_known, joined, latest_known, resample

MINUTE_MS = 60_000
QUARTER_MS = 15 * MINUTE_MS
START_MS = 1_767_225_600_000  # 2026-01-01T00:00Z
COLUMNS = ("open_time_ms", "open", "high", "low", "close", "volume")


def minutes(numbers: list[int]) -> Bars:
    """Return minutes counted from the start, with values that differ from each other."""
    at = np.array(numbers, dtype=np.int64)
    rng = np.random.default_rng(7)
    low = 90.0 + rng.random(2000)
    high = 110.0 + rng.random(2000)
    opened, close, volume = (100.0 + rng.random(2000) for _ in range(3))
    return Bars(
        open_time_ms=START_MS + at * MINUTE_MS,
        open=opened[at],
        high=high[at],
        low=low[at],
        close=close[at],
        volume=volume[at],
    )


def by_hand(bars: Bars, parts: int) -> list[tuple[float, ...]]:
    """Return the complete bars one at a time, from a dictionary of minutes."""
    rows = {int(row[0]): row[1:] for row in zip(*(getattr(bars, c) for c in COLUMNS), strict=True)}
    length = parts * MINUTE_MS
    found: list[tuple[float, ...]] = []
    for start in sorted({time // length * length for time in rows}):
        part = [rows.get(start + number * MINUTE_MS) for number in range(parts)]
        if all(part):
            opened, high, low, close, volume = zip(*(row for row in part if row), strict=True)
            found.append((start, opened[0], max(high), min(low), close[-1], sum(volume)))
    return found


def same_bytes(one: Bars, other: Bars) -> bool:
    """Say whether two sets of bars are equal to the last bit."""
    return all(getattr(one, c).tobytes() == getattr(other, c).tobytes() for c in COLUMNS)


@given(st.sets(st.integers(0, 1999)), st.sampled_from([1, 5, 15, 60, 1440]))
def test_resample_agrees_with_a_loop_over_minutes(numbers: set[int], parts: int):
    """Whatever minutes are missing, the bars are those of a naive count; sums within rounding."""
    dense = set(range(2000)) - numbers if len(numbers) < 30 else numbers
    bars = minutes(sorted(dense))
    coarse = resample(bars, MINUTE_MS, parts * MINUTE_MS)
    expected = np.array(by_hand(bars, parts)).reshape(-1, 6).T
    for column, values in zip(COLUMNS[:5], expected, strict=False):
        assert np.array_equal(getattr(coarse, column), values)
    np.testing.assert_allclose(coarse.volume, expected[5], rtol=1e-13)


@given(st.lists(st.integers(0, 132), max_size=5))
def test_resample_of_parts_is_part_of_the_whole(cuts: list[int]):
    """Cut at borders of coarse bars anywhere, the pieces give the same bytes as all at once."""
    bars = minutes(list(range(1995)))
    borders = [0, *sorted(cut * 15 for cut in cuts), 1995]
    pieces = [bars.slice(*span) for span in pairwise(borders)]
    apart = joined([resample(piece, MINUTE_MS, QUARTER_MS) for piece in pieces])
    assert same_bytes(apart, resample(bars, MINUTE_MS, QUARTER_MS))


def test_nothing_gives_nothing():
    """No bars in, no bars out, with the right types."""
    none = joined([])
    assert len(resample(none, MINUTE_MS, QUARTER_MS)) == 0
    assert none.open_time_ms.dtype == np.int64


@pytest.mark.parametrize(
    ("make", "coarse_ms", "message"),
    [
        (lambda: minutes([0, 1, 1]), QUARTER_MS, "expected ascending"),
        (lambda: minutes([1, 0]), QUARTER_MS, "expected ascending"),
        (
            lambda: Bars(np.array([START_MS + 1]), *(np.ones(1) for _ in range(5))),
            QUARTER_MS,
            "expected a multiple of 60000 ms",
        ),
        (lambda: minutes([0]), 90_000, "expected a multiple"),
        (lambda: minutes([0]), 30_000, "expected a multiple"),
    ],
)
def test_bars_that_do_not_fit_are_refused(make: Callable[[], Bars], coarse_ms: int, message: str):
    """Disorder, a doubled bar and a bar off the grid would be counted as a complete one."""
    with pytest.raises(ValueError, match=message):
        resample(make(), MINUTE_MS, coarse_ms)


revisions = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), max_size=6)


@given(revisions, st.integers(0, 30))
def test_latest_known_is_the_last_revision_a_moment_could_see(lags: list[list[int]], t_ms: int):
    """Per event the highest revision known by then is chosen, and no other."""
    rows = [
        (event, event + sum(steps[: revision + 1]))
        for event, steps in enumerate(lags)
        for revision in range(len(steps))
    ]
    times, known = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    best = {event: row for row, (event, at) in enumerate(rows) if at <= t_ms}
    assert np.flatnonzero(latest_known(times, known, t_ms)).tolist() == sorted(best.values())


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=4), max_size=6))
def test_ever_known_keeps_an_event_from_its_first_value_on(values: list[list[bool]]):
    """A row before the first value of its event is left out; a withdrawn value stays."""
    times = np.array([event for event, row in enumerate(values) for _ in row], dtype=np.int64)
    value = np.array([1.0 if there else np.nan for row in values for there in row])
    expected = [any(row[: at + 1]) for row in values for at in range(len(row))]
    assert ever_known(times, value).tolist() == expected
