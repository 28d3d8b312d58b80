"""The slow look-up against the join, and rows that count as known too early."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kernel.bars import Bars
from kernel.observation import Series, observe
from research.leaks import Leak, known_too_early, used_too_early

BAR_MS = 900_000
DAY_MS = 86_400_000
BARS = 400


def bars(count: int = BARS) -> Bars:
    flat = np.full(count, 100.0)
    return Bars(BAR_MS * np.arange(count, dtype=np.int64), flat, flat, flat, flat, flat)


def rows(name: str, *stated: tuple[int, int, float]) -> dict[str, Series]:
    """Return one series of (event, known, value)."""
    event, known, value = (
        np.array([row[at] for row in stated], dtype=kind)
        for at, kind in enumerate((np.int64, np.int64, np.float64))
    )
    return {name: Series(name, event, known, value)}


def leaks(
    series: dict[str, Series], count: int, seed: int, truth: dict[str, Series] | None = None
) -> list[Leak]:
    """Return where the join of `series` differs from what is known of the truth."""
    held = bars(count)
    observed, close_ms = observe(held, series, BAR_MS), held.open_time_ms + BAR_MS
    return used_too_early(observed, close_ms, truth or series, samples=50, seed=seed)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40).map(lambda at: at * 3 * BAR_MS),
            st.integers(0, 5).map(lambda late: late * BAR_MS // 2),
            st.sampled_from([0.0, 1.0, 2.5, np.nan, -np.inf]),
        ),
        max_size=40,
    ),
    st.integers(0, 99),
)
def test_the_join_uses_nothing_before_it_is_known(
    stated: list[tuple[int, int, float]], seed: int
) -> None:
    """Whatever is published, late, twice or broken: the join says what the slow look-up says."""
    series = rows("open_interest", *((at, at + late, value) for at, late, value in stated))
    assert leaks(series, 150, seed) == []


def test_a_row_known_before_it_could_be_is_named() -> None:
    """A day's on-chain value that counts as known two hours into the day is a leak."""
    series = rows("mvrv", (0, DAY_MS, 2.0), (DAY_MS, DAY_MS + 7_200_000, 2.1))
    (leak,) = known_too_early(series, {"mvrv": DAY_MS})
    assert (leak.series, leak.at_ms) == ("mvrv", DAY_MS)
    assert leak.found == "known 7200000 ms after its event"
    assert leak.expected == f"at least {DAY_MS} ms"


def test_rows_known_as_late_as_asked_are_no_leak() -> None:
    """The lag itself is early enough."""
    series = rows("mvrv", (0, 26 * 3_600_000, 2.0))
    assert known_too_early(series, {"mvrv": 26 * 3_600_000}) == []


def test_a_join_that_looks_ahead_is_caught() -> None:
    """Were every row known at its event, the observations would differ from the slow look-up."""
    late = rows("mvrv", *((day * DAY_MS, (day + 1) * DAY_MS, float(day)) for day in range(1, 4)))
    early = rows("mvrv", *((day * DAY_MS, day * DAY_MS, float(day)) for day in range(1, 4)))
    found = leaks(early, BARS, 1, truth=late)
    assert found
    assert {leak.series for leak in found} == {"mvrv"}
    assert leaks(late, BARS, 1) == []
