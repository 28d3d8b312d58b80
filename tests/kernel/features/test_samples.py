"""One sample of a slow series for each period of calendar time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.features.samples import (
    SAMPLE_SLOTS,
    complete,
    known,
    measure,
    newest_total,
    positive,
    ring,
    sample,
)

SIZE = 3


def test_a_period_counts_with_its_last_value_once_it_is_over() -> None:
    """Values 1, 2 in period 0 and 5 in period 4: 2 enters when 5 is seen, nothing for between."""
    state = [0.0] * (SAMPLE_SLOTS + SIZE)
    assert [
        sample(state=state, at=0, size=SIZE, period_ms=10, event_ms=10.0 * period + 3.0, x=x)
        for period, x in ((0, 1.0), (0, 2.0))
    ] == [False] * 2
    assert sample(state=state, at=0, size=SIZE, period_ms=10, event_ms=40.0, x=5.0)
    assert state[ring(0)] == 1.0
    assert newest_total(state, 0, SIZE, 0, SIZE) == 2.0
    assert not complete(state, 0, SIZE)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.floats(-1e6, 1e6)), min_size=1, max_size=60).map(
        lambda seen: sorted(seen, key=lambda one: one[0])
    )
)
def test_samples_are_the_last_values_of_the_latest_earlier_periods(
    seen: list[tuple[int, float]],
) -> None:
    """Whatever is seen, the window holds the last value of each of the latest periods before now,
    and mean and deviation are theirs.
    """
    state = [0.0] * (SAMPLE_SLOTS + SIZE + 2)
    ended = [
        sample(state=state, at=0, size=SIZE, period_ms=10, event_ms=10.0 * period + 3.0, x=x)
        for period, x in seen
    ]
    by_period = dict(seen)
    *earlier, _ = by_period.values()
    assert sum(ended) == len(earlier)
    newest = earlier[::-1][:SIZE]
    for n in range(len(newest)):
        assert newest_total(state, 0, SIZE, n, n + 1) == newest[n]
    assert complete(state, 0, SIZE) == (len(earlier) >= SIZE)
    if complete(state, 0, SIZE):
        measure(state, 0, SIZE, SAMPLE_SLOTS + SIZE)
        mean = sum(newest) / SIZE
        variance = sum((x - mean) ** 2 for x in newest) / SIZE
        scale = max(map(abs, newest))
        assert state[-2] == pytest.approx(mean, abs=1e-12 * scale)
        assert state[-1] == pytest.approx(variance**0.5, abs=1e-9 * scale)


@given(st.floats(-1e99, 1e99))
def test_samples_that_are_all_the_same_deviate_by_nothing(x: float) -> None:
    """The deviation of equal samples is exactly 0, whatever their rounding, and their mean is x."""
    state = [0.0] * (SAMPLE_SLOTS + SIZE + 2)
    for period in range(SIZE + 1):
        sample(state=state, at=0, size=SIZE, period_ms=10, event_ms=10.0 * period + 3.0, x=x)
    measure(state, 0, SIZE, SAMPLE_SLOTS + SIZE)
    assert state[-2:] == [x, 0.0]


@pytest.mark.parametrize("x", [float("nan"), float("inf"), -float("inf"), 1e100, -1e100])
def test_what_cannot_be_summed_is_not_known(x: float) -> None:
    """NaN, infinities and what would overflow are missing; zero is known and not positive."""
    assert not known(x)
    assert not positive(x)
    assert known(0.0)
    assert not positive(0.0)


@pytest.mark.parametrize("event_ms", [float("nan"), float("inf"), -1.0, 1e15])
def test_a_value_of_no_time_enters_no_window(event_ms: float) -> None:
    """It changes nothing."""
    state = [0.0] * (SAMPLE_SLOTS + SIZE)
    sample(state=state, at=0, size=SIZE, period_ms=10, event_ms=3.0, x=1.0)
    before = state.copy()
    assert not sample(state=state, at=0, size=SIZE, period_ms=10, event_ms=event_ms, x=2.0)
    assert state == before


def test_a_value_of_an_earlier_period_enters_no_window() -> None:
    """Days 0 to 2, then day 1 again, then on: each day stands in the window once."""
    state = [0.0] * (SAMPLE_SLOTS + SIZE)
    ended = [
        sample(state=state, at=0, size=SIZE, period_ms=10, event_ms=10.0 * day, x=day)
        for day in (0.0, 1.0, 2.0, 1.0, 2.0, 3.0)
    ]
    assert ended == [False, True, True, False, False, True]
    assert [newest_total(state, 0, SIZE, n, n + 1) for n in range(SIZE)] == [2.0, 1.0, 0.0]
