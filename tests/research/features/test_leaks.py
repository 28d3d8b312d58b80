"""The slow look-up against the join, and rows that count as known too early."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.bars import Bars
from kernel.observation import MINUTE_FIELDS, OBSERVATION_FIELDS, Market, Series, observe
from kernel.order_flow import Depth, Trades
from research.features.leaks import Leak, known_too_early, ticked_too_early, used_too_early

BAR_MS = 900_000
DAY_MS = 86_400_000
MINUTE_MS = 60_000
BARS = 400


def bars(count: int = BARS) -> Bars:
    flat = np.full(count, 100.0)
    return Bars(
        open_time_ms=BAR_MS * np.arange(count, dtype=np.int64),
        open=flat,
        high=flat,
        low=flat,
        close=flat,
        volume=flat,
    )


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
    observed = observe(Market(held, series), BAR_MS)
    close_ms = held.open_time_ms + BAR_MS
    return used_too_early(observed, close_ms, truth or series, samples=50, seed=seed)


@settings(deadline=None)  # the first join compiles
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


def test_a_series_that_is_not_read_has_no_lag_to_keep() -> None:
    """A universe without a table says nothing of when its rows are known."""
    assert known_too_early(rows("mark_close", (0, 0, 1.0)), {"mvrv": DAY_MS}) == []


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


def test_the_time_of_a_later_event_is_caught() -> None:
    """A value that claims the day after its own is found as a wrong value is."""
    series = rows("mvrv", *((day * DAY_MS, (day + 1) * DAY_MS, float(day)) for day in range(1, 4)))
    held = bars(BARS)
    observed = observe(Market(held, series), BAR_MS)
    close_ms = held.open_time_ms + BAR_MS
    honest = used_too_early(observed, close_ms, series, samples=40, seed=1)
    observed[:, OBSERVATION_FIELDS.index("mvrv_time_ms")] += DAY_MS
    found = used_too_early(observed, close_ms, series, samples=40, seed=1)
    assert honest == []
    assert {leak.series for leak in found} == {"mvrv"}


def ticking(late_ms: int = 0) -> Market:
    """Return bars with their minutes, ten trades and five books each; some come too late."""
    held = bars(60)
    rng = np.random.default_rng(8)
    minute = MINUTE_MS * np.arange(60 * 15, dtype=np.int64)
    price = rng.random(len(minute)) + 100.0
    minutes = Bars(
        open_time_ms=minute, open=price, high=price, low=price, close=price, volume=price
    )
    traded = np.sort(rng.integers(0, 60 * BAR_MS, 600))
    seen = np.arange(0, 60 * BAR_MS, 45_000, dtype=np.int64)
    trades = Trades(
        traded,
        traded + rng.choice((30, 60_000), 600) + late_ms,
        np.full(600, 100.0),
        np.full(600, 10.0),
        rng.choice((-1.0, 1.0), 600),
    )
    book = rng.integers(1, 9, (6, len(seen))).astype(np.float64)
    depth = Depth(seen, seen + rng.choice((30, 50_000), len(seen)) + late_ms, *book)
    quantity = np.bincount(traded // BAR_MS, minlength=60) * 10.0
    volume = Bars(
        open_time_ms=held.open_time_ms,
        open=held.open,
        high=held.high,
        low=held.low,
        close=held.close,
        volume=quantity,
    )
    return Market(volume, {}, minutes, trades, depth)


def test_minutes_trades_and_book_use_nothing_before_it_is_known() -> None:
    """Each bar says what it says when it is observed from what was known at its close alone."""
    market = ticking()
    observed = observe(market, BAR_MS)
    stop = OBSERVATION_FIELDS.index(MINUTE_FIELDS[-1]) + 1
    assert np.isfinite(observed[:, 18:stop]).any(axis=0).all()
    assert ticked_too_early(observed, market, BAR_MS, samples=40, seed=1) == []


def test_ticks_that_are_used_before_they_are_known_are_caught() -> None:
    """Were every trade and book known at once, bars would hold what came after their close."""
    honest = ticking(late_ms=BAR_MS // 2)
    early = observe(ticking(), BAR_MS)
    found = ticked_too_early(early, honest, BAR_MS, samples=40, seed=1)
    assert {leak.series for leak in found} == {"trades", "depth"}


def test_a_minute_of_the_next_bar_is_caught() -> None:
    """Minutes that lie one place too early hold a price after the close."""
    market = ticking()
    observed = observe(market, BAR_MS)
    first = OBSERVATION_FIELDS.index(MINUTE_FIELDS[0])
    minutes = observed[:, first : first + 75]
    minutes[:, :-5] = minutes[:, 5:]
    minutes[:-1, -5:] = minutes[1:, :5]
    found = ticked_too_early(observed, market, BAR_MS, samples=40, seed=1)
    assert {leak.series for leak in found} == {"minutes"}


@pytest.mark.parametrize("field", ["close", "volume"])
def test_the_candle_of_the_next_bar_is_caught(field: str) -> None:
    """A price or volume of the bar itself that lies one place too early is a leak as any other."""
    market = replace(ticking(), bars=climbing(60))
    observed = observe(market, BAR_MS)
    assert ticked_too_early(observed, market, BAR_MS, samples=40, seed=1) == []
    column = OBSERVATION_FIELDS.index(field)
    observed[:-1, column] = observed[1:, column]
    found = ticked_too_early(observed, market, BAR_MS, samples=40, seed=1)
    assert {leak.series for leak in found} == {"candle"}


def climbing(count: int) -> Bars:
    """Return bars of which each has a price and volume of its own."""
    price = np.arange(100.0, 100.0 + count)
    return Bars(
        open_time_ms=BAR_MS * np.arange(count, dtype=np.int64),
        open=price,
        high=price,
        low=price,
        close=price,
        volume=price,
    )
