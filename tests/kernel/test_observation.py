"""The as-of join: nothing before it is known, nothing too old, batch and live alike."""

from dataclasses import fields
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.observation import (
    DATED_SERIES,
    MAX_AGE_MS,
    MINUTE_FIELDS,
    OBSERVATION_FIELDS,
    SERIES,
    Market,
    Series,
    observe,
)
from kernel.observer import Observer
from kernel.order_flow import Depth, Trades
from tests.kernel.ticks import rows_of, taken

BAR_MS = 900_000
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
Rows = list[tuple[int, int, float]]


def flat_bars(opens: NDArray[np.int64]) -> Bars:
    ones = np.ones(len(opens))
    return Bars(
        open_time_ms=opens,
        open=ones,
        high=2.0 * ones,
        low=0.5 * ones,
        close=1.5 * ones,
        volume=10.0 * ones,
    )


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


def minute_bars(minutes: list[int], value: list[float]) -> Bars:
    """Return minutes that open at these whole minutes, each made of its one value."""
    column = np.array(value, dtype=np.float64)
    return Bars(np.array(minutes, dtype=np.int64) * MINUTE_MS, *[column] * 5)


@st.composite
def worlds(draw: st.DrawFn) -> Market:
    """Draw bars with holes, minutes, and ticks that come late, all on a coarse grid of time."""
    keep = np.array(draw(st.lists(st.booleans(), min_size=12, max_size=12)))
    opens = grid(12)[keep]
    minute = draw(st.lists(st.integers(0, 179), unique=True, max_size=180).map(sorted))
    values = draw(st.lists(VALUES, min_size=len(minute), max_size=len(minute)))
    tick = st.tuples(st.integers(0, 179), st.sampled_from((0, 0, 0, 1, 20)))
    traded, seen = (sorted(draw(st.lists(tick, max_size=120))) for _ in range(2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    side = rng.choice((-1.0, 1.0), len(traded))
    ones = np.ones(len(traded))
    held = np.searchsorted(opens, [row[0] * MINUTE_MS for row in traded], side="right") - 1
    volume = np.bincount(np.maximum(held, 0), minlength=12)[: len(opens)].astype(np.float64)
    bars = flat_bars(opens)
    return Market(
        Bars(
            open_time_ms=opens,
            open=bars.open,
            high=bars.high,
            low=bars.low,
            close=bars.close,
            volume=volume,
        ),
        {},
        minute_bars(minute, values),
        Trades(*tick_times(traded), ones, ones, side),
        Depth(*tick_times(seen), *rng.integers(1, 4, (6, len(seen))).astype(np.float64)),
    )


def tick_times(ticks: list[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    times = np.array([minute for minute, _ in ticks], dtype=np.int64) * MINUTE_MS
    return times, times + np.array([lag for _, lag in ticks], dtype=np.int64) * MINUTE_MS


def tell(observer: Observer, market: Market, random: Random) -> None:
    """Tell all minutes, trades and books of a market, shuffled and some of them twice."""
    minutes = market.minutes
    trades = market.trades
    depth = market.depth
    calls = [
        (observer.learn_minute, (at, at + MINUTE_MS, *row))
        for at, *row in zip(minutes.open_time_ms, *candle_columns(minutes)[1:], strict=True)
    ]
    calls += [
        (observer.trades.add, (event, known, i, quantity, side))
        for i, (event, known, _, quantity, side) in enumerate(rows_of(trades))
    ]
    calls += [
        (observer.depth.add, (event, known, i, book))
        for i, (event, known, *book) in enumerate(rows_of(depth))
    ]
    calls += random.sample(calls, len(calls) // 3)
    random.shuffle(calls)
    for call, row in calls:
        call(*row)


def candle_columns(bars: Bars) -> list[list[float]]:
    return [getattr(bars, one.name).tolist() for one in fields(bars)]


@settings(max_examples=150, deadline=None)
@given(market=worlds(), random=st.randoms())
def test_minutes_trades_and_books_are_the_same_live_and_in_batch(
    market: Market, random: Random
) -> None:
    """Told in any order and twice, with holes among bars and minutes: the same bytes."""
    expected = observe(market, BAR_MS)
    observer = Observer(BAR_MS)
    tell(observer, market, random)
    rows = zip(*candle_columns(market.bars), strict=True)
    found = np.array([observer.observe(*row) for row in rows]).reshape(expected.shape)
    assert found.tobytes() == expected.tobytes()


@settings(max_examples=60, deadline=None)
@given(market=worlds(), cut=st.integers(0, 12))
def test_later_minutes_trades_and_books_change_nothing(market: Market, cut: int) -> None:
    """Without every minute and tick that was not known by a close, its bar is as it was."""
    close_ms = cut * BAR_MS
    bars = market.bars
    minutes = market.minutes
    held = int(np.searchsorted(bars.open_time_ms, close_ms))
    known = Market(
        bars.slice(0, held),
        {},
        minutes.slice(0, int(np.searchsorted(minutes.open_time_ms, close_ms - MINUTE_MS + 1))),
        taken(market.trades, market.trades.known_at_ms <= close_ms),
        taken(market.depth, market.depth.known_at_ms <= close_ms),
    )
    assert observe(known, BAR_MS).tobytes() == observe(market, BAR_MS)[:held].tobytes()


def test_minutes_lie_oldest_first_and_a_missing_one_leaves_its_place_empty() -> None:
    """Fifteen places of five numbers; the last is the minute before the close."""
    minutes = [0, 1, 14, 15, 29]
    market = Market(flat_bars(grid(2)), {}, minute_bars(minutes, [1.0, 2.0, 3.0, 4.0, np.inf]))
    first = OBSERVATION_FIELDS.index(MINUTE_FIELDS[0])
    found = observe(market, BAR_MS)[:, first : first + 75].reshape(2, 15, 5)
    assert found[0, [0, 1, 14]].tolist() == [[1.0] * 5, [2.0] * 5, [3.0] * 5]
    assert found[1, 0].tolist() == [4.0] * 5
    assert int(np.isnan(found).sum()) == 5 * (30 - 4)


def test_a_minute_known_after_the_close_is_missing_from_its_bar() -> None:
    """A minute that came late says nothing to the bar in which it lies."""
    observer = Observer(BAR_MS)
    observer.learn_minute(13 * MINUTE_MS, BAR_MS, 1.0, 1.0, 1.0, 1.0, 1.0)
    observer.learn_minute(14 * MINUTE_MS, BAR_MS + 1, 1.0, 1.0, 1.0, 1.0, 1.0)
    row = observer.observe(0, 1.0, 2.0, 0.5, 1.5, 3.0)
    stop = OBSERVATION_FIELDS.index(MINUTE_FIELDS[-1]) + 1
    assert row[stop - 10 : stop - 5] == [1.0] * 5
    assert np.isnan(row[stop - 5 : stop]).all()


def test_what_is_forgotten_changes_no_later_bar() -> None:
    """Bars from that moment on are as they were; earlier ones lose minutes, trades and books."""
    plain = Observer(BAR_MS)
    forgetful = Observer(BAR_MS)
    for observer in (plain, forgetful):
        for minute in range(-3_000, 120):
            at = minute * MINUTE_MS
            observer.learn_minute(at, at + MINUTE_MS, 1.0, 2.0, 0.5, 1.5, float(minute))
            observer.learn("funding_rate", at, at, float(minute))
            observer.trades.add(at, at, minute, 1.0, 1.0)
            observer.depth.add(at, at, minute, [1.0, 2.0, 3.0, 4.0, 5.0, float(minute % 7)])
    forgetful.forget(4 * BAR_MS)
    for bar in range(4, 8):
        candle = (bar * BAR_MS, 1.0, 2.0, 0.5, 1.5, 15.0)
        kept = forgetful.observe(*candle)
        expected = plain.observe(*candle)
        np.testing.assert_array_equal(kept, expected)
        assert expected[18] == 15.0
    earlier = forgetful.observe(3 * BAR_MS, 1.0, 2.0, 0.5, 1.5, 15.0)
    stop = OBSERVATION_FIELDS.index(MINUTE_FIELDS[-1]) + 1
    assert np.isnan(earlier[18:stop]).all()


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


def test_rows_in_their_order_and_in_none_are_joined_alike() -> None:
    """A series that comes in order takes a shorter way to the same bytes."""
    rng = np.random.default_rng(6)
    events = np.cumsum(rng.integers(1, 9, 300)) * MINUTE_MS
    known = np.maximum.accumulate(events + rng.choice((0, 60_000, 5_000_000), 300))
    value = np.where(rng.random(300) < 0.1, np.nan, rng.normal(size=300))
    shuffled = rng.permutation(300)
    bars = flat_bars(grid(100))
    found = [
        observe(
            Market(bars, {"mvrv": Series("mvrv", events[rows], known[rows], value[rows])}), BAR_MS
        )
        for rows in (np.arange(300), shuffled)
    ]
    assert found[0].tobytes() == found[1].tobytes()
    assert 0 < int(np.isnan(found[0][:, OBSERVATION_FIELDS.index("mvrv")]).sum()) < 50


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


@pytest.mark.parametrize("name", DATED_SERIES)
def test_a_dated_value_comes_with_its_time(name: str) -> None:
    """The event of the value that was taken, however late it came; without a value there is none.

    Here the first is known an hour late and corrected two hours later, the second known at once.
    """
    hour = HOUR_MS
    late = [(hour, 2 * hour, 1.0), (hour, 4 * hour, 2.0), (6 * hour, 6 * hour, 3.0)]
    market = Market(flat_bars(grid(28)), {name: series(name, late)})
    observed = observe(market, BAR_MS)
    value, at = (
        observed[:, OBSERVATION_FIELDS.index(one)].tolist() for one in (name, f"{name}_time_ms")
    )
    assert np.isnan(value[:7]).all()
    assert np.isnan(at[:7]).all()
    assert value[7:] == [1.0] * 8 + [2.0] * 8 + [3.0] * 5
    assert at[7:] == [float(hour)] * 16 + [6.0 * hour] * 5


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
