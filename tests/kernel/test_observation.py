"""The as-of join: nothing before it is known, nothing too old, batch and live alike."""

from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.observation import (
    MAX_AGE_MS,
    OBSERVATION_FIELDS,
    SERIES,
    Market,
    Observer,
    Series,
    observe,
)

BAR_MS = 900_000
HOUR_MS = 3_600_000
Rows = list[tuple[int, int, float]]


def flat_bars(opens: NDArray[np.int64]) -> Bars:
    ones = np.ones(len(opens))
    return Bars(opens, ones, 2.0 * ones, 0.5 * ones, 1.5 * ones, 10.0 * ones)


def grid(bars: int) -> NDArray[np.int64]:
    return np.arange(bars, dtype=np.int64) * BAR_MS


def series(name: str, rows: Rows) -> Series:
    events, known, values = zip(*rows, strict=True) if rows else ((), (), ())
    return Series(
        name,
        np.array(events, dtype=np.int64),
        np.array(known, dtype=np.int64),
        np.array(values, dtype=np.float64),
    )


def column(name: str, rows: Rows, bars: int) -> list[float]:
    found = observe(Market(flat_bars(grid(bars)), {name: series(name, rows)}), BAR_MS)
    return found[:, OBSERVATION_FIELDS.index(name)].tolist()


VALUES = st.one_of(st.floats(), st.sampled_from((0.0, -0.0, 1.0, float("nan"), float("inf"))))
MINUTES = st.integers(-300, 3_000)


@st.composite
def arrivals(draw: st.DrawFn) -> dict[str, Rows]:
    """Draw rows of every series with events and lags on a coarse grid, so that ties are common."""
    row = st.tuples(MINUTES, st.sampled_from((0, 1, 15, 45, 60, 600)), VALUES)
    return {
        name: [
            (minute * 60_000, (minute + lag) * 60_000, value)
            for minute, lag, value in draw(st.lists(row, max_size=12))
        ]
        for name in SERIES
    }


@settings(max_examples=200, deadline=None)
@given(
    rows=arrivals(), random=st.randoms(), keep=st.lists(st.booleans(), min_size=120, max_size=120)
)
def test_live_equals_batch_whenever_rows_arrive(
    rows: dict[str, Rows], random: Random, keep: list[bool]
) -> None:
    """Told the rows in any order, far ahead, at the last moment or twice: the same bytes."""
    opens = grid(120)[np.array(keep)]
    bars = flat_bars(opens)
    everything = {name: series(name, rows[name]) for name in SERIES}
    expected = observe(Market(bars, everything), BAR_MS)
    observer = Observer(BAR_MS)
    waiting = [(name, *row) for name in SERIES for row in rows[name]]
    waiting += random.sample(waiting, len(waiting) // 2)
    random.shuffle(waiting)
    late = [row for row in waiting if random.random() < 0.5]
    for row in waiting:
        if row not in late:
            observer.learn(*row)
    found: list[list[float]] = []
    for at, open_ms in enumerate(opens.tolist()):
        for row in late:
            if row[2] <= open_ms + BAR_MS:
                observer.learn(*row)
        found.append(
            observer.observe(
                open_ms, bars.open[at], bars.high[at], bars.low[at], bars.close[at], bars.volume[at]
            )
        )
    assert np.array(found).reshape(expected.shape).tobytes() == expected.tobytes()


@settings(max_examples=100, deadline=None)
@given(rows=arrivals(), cut=st.integers(0, 120))
def test_what_becomes_known_later_changes_nothing(rows: dict[str, Rows], cut: int) -> None:
    """Dropping every row that was not known by a bar's close leaves that bar as it was."""
    bars = flat_bars(grid(120))
    close_ms = cut * BAR_MS
    known = {
        name: series(name, [row for row in rows[name] if row[1] <= close_ms]) for name in SERIES
    }
    everything = {name: series(name, rows[name]) for name in SERIES}
    whole = observe(Market(bars, everything), BAR_MS)[:cut]
    found = observe(Market(bars.slice(0, cut), known), BAR_MS)
    assert found.tobytes() == whole.tobytes()


def test_the_join_equals_a_pandas_merge() -> None:
    """Where rows become known in order of their events, merge_asof gives the same column."""
    rng = np.random.default_rng(0)
    events = np.sort(rng.choice(np.arange(0, 90 * 24), 200, replace=False)) * HOUR_MS
    value = rng.normal(size=200)
    known = events + 1_200_000
    opens = grid(90 * 96)
    joined = pd.merge_asof(
        pd.DataFrame({"close_ms": opens + BAR_MS}),
        pd.DataFrame({"known_ms": known, "event_ms": events, "value": value}),
        left_on="close_ms",
        right_on="known_ms",
    )
    fresh = joined.close_ms - joined.event_ms <= MAX_AGE_MS["funding_rate"]
    expected = joined.value.where(fresh).to_numpy()
    rows = {"funding_rate": Series("funding_rate", events, known, value)}
    found = observe(Market(flat_bars(opens), rows), BAR_MS)[:, 6]
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(found, expected)


def test_a_row_counts_from_the_close_at_which_it_is_known() -> None:
    """Known exactly at a close counts for that bar; one millisecond later, for the next."""
    assert column("mvrv", [(0, BAR_MS, 2.0)], 2) == [2.0, 2.0]
    np.testing.assert_equal(column("mvrv", [(0, BAR_MS + 1, 2.0)], 2), [np.nan, 2.0])


def test_the_latest_event_wins_even_if_an_older_one_arrives_after_it() -> None:
    """A late row about an earlier time does not displace a newer event."""
    rows = [(BAR_MS, BAR_MS, 2.0), (0, 2 * BAR_MS, 1.0)]
    assert column("open_interest", rows, 4)[1:] == [2.0, 2.0, 2.0]


def test_a_correction_counts_from_when_it_is_known() -> None:
    """A later revision of the same event replaces the value, not before it is known."""
    rows = [(0, 0, 1.0), (0, 3 * BAR_MS, 5.0)]
    assert column("fear_greed", rows, 4) == [1.0, 1.0, 5.0, 5.0]


@pytest.mark.parametrize("name", SERIES)
def test_a_value_expires_at_its_age(name: str) -> None:
    """A value holds through the bar that closes at its greatest age and is NaN after it."""
    bars = MAX_AGE_MS[name] // BAR_MS + 3
    found = column(name, [(0, 0, 7.0)], bars)
    last = MAX_AGE_MS[name] // BAR_MS - 1
    assert found[last] == 7.0
    assert np.isnan(found[last + 1 :]).all()


def test_a_missing_or_non_finite_series_is_nan() -> None:
    """A series that is absent, empty, or says infinity is NaN, never 0."""
    observed = observe(Market(flat_bars(grid(3)), {"mvrv": series("mvrv", [])}), BAR_MS)
    assert np.isnan(observed[:, 6:]).all()
    assert np.isnan(column("mvrv", [(0, 0, np.inf)], 2)).all()
    assert observed[:, :6].tolist() == [
        [0.0 + i * BAR_MS, 1.0, 2.0, 0.5, 1.5, 10.0] for i in range(3)
    ]


def test_wrong_series_are_refused() -> None:
    """An unknown name, uneven columns, or a row known before its event say what was expected."""
    observer = Observer(BAR_MS)
    with pytest.raises(ValueError, match="found 'vix', expected one of funding_rate"):
        observer.learn("vix", 0, 0, 1.0)
    with pytest.raises(ValueError, match="found 'vix'"):
        series("vix", [(0, 0, 1.0)])
    with pytest.raises(ValueError, match="known at 5, before its event at 9; expected"):
        observer.learn("mvrv", 9, 5, 1.0)
    with pytest.raises(ValueError, match="known at 5, before its event at 9; expected"):
        series("mvrv", [(0, 0, 1.0), (9, 5, 1.0)])
    with pytest.raises(ValueError, match="expected one length"):
        Series("mvrv", np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(3))
    with pytest.raises(ValueError, match="found 'vix'"):
        observe(Market(flat_bars(grid(1)), {"vix": series("mvrv", [])}), BAR_MS)
