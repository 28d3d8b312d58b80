"""The bar grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.bars import TIMEFRAME_MS
from kernel.clock import (
    bar_ms,
    bar_open_ms,
    close_time_ms,
    expected_opens,
    last_closed_open_ms,
    missing_opens,
)

LENGTHS = st.sampled_from(sorted(TIMEFRAME_MS.values()))
INSTANTS = st.integers(0, 2**45)


@given(now_ms=INSTANTS, length=LENGTHS)
def test_the_last_closed_bar_is_known_and_the_next_is_not(now_ms: int, length: int) -> None:
    """At any instant the newest closed bar has closed, and the bar after it has not."""
    last = last_closed_open_ms(now_ms, length)
    assert close_time_ms(last, length) <= now_ms < close_time_ms(last + length, length)
    assert last % length == 0


@given(at_ms=INSTANTS, length=LENGTHS)
def test_a_bar_contains_its_instants(at_ms: int, length: int) -> None:
    """The bar of an instant opens at or before it and closes after it."""
    opened = bar_open_ms(at_ms, length)
    assert opened <= at_ms < close_time_ms(opened, length)


@given(start_ms=INSTANTS, span_ms=st.integers(0, 10**8), length=LENGTHS)
def test_expected_bars_fill_the_window(start_ms: int, span_ms: int, length: int) -> None:
    """Every bar that lies wholly in a window is expected, and no other."""
    end_ms = start_ms + span_ms
    opens = expected_opens(start_ms, end_ms, length).tolist()
    first = bar_open_ms(start_ms, length)
    candidates = range(first, end_ms + 1, length)
    assert opens == [at for at in candidates if at >= start_ms and at + length <= end_ms]


@given(holes=st.sets(st.integers(0, 95), max_size=20))
def test_missing_bars_are_exactly_the_holes(holes: set[int]) -> None:
    """Bars taken out of a day are reported, ascending, and nothing else is."""
    length = TIMEFRAME_MS["15m"]
    day = expected_opens(0, 86_400_000, length)
    present = np.delete(day, sorted(holes))
    found = missing_opens(present, 0, 86_400_000, length)
    assert found.tolist() == [hole * length for hole in sorted(holes)]


def test_a_week_has_672_quarter_hours() -> None:
    """A 24/7 week holds 672 bars of 15 minutes."""
    assert len(expected_opens(0, 7 * 86_400_000, bar_ms("15m"))) == 672


def test_an_unknown_timeframe_is_refused() -> None:
    """The error names the timeframe found and those that exist."""
    with pytest.raises(ValueError, match="timeframe: found '7m', expected one of 1m, 3m, 5m, 15m"):
        bar_ms("7m")
