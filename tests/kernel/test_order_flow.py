"""Sums of a bar's trades and book: examples, SQL, batch = live, nothing from after the close."""

import math
from random import Random

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.order_flow import Depth, Trades, depth_in_bars, order_flow, trades_in_bars
from kernel.tapes import BookTape, TradeTape
from tests.kernel.features.worlds import differing_bytes
from tests.kernel.ticks import (
    BAR_MS,
    MINUTE_MS,
    START_MS,
    bars_of,
    book,
    prints,
    rows_of,
    taken,
    volume_of,
)

SEEDS = st.integers(0, 2**32 - 1)
QUOTES = [100.0, 101.0, 5.0, 7.0]  # bid, ask and their quantities


def minutes(count: int, volume: float | NDArray[np.float64]) -> Bars:
    times = START_MS + MINUTE_MS * np.arange(count)
    return bars_of(times, np.broadcast_to(volume, count).astype(np.float64))


def trades(*rows: tuple[int, float, float], late_ms: int = 0) -> Trades:
    """Return trades from (ms since the start, quantity, side)."""
    since, quantity, side = (
        np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)
    )
    times = START_MS + since.astype(np.int64)
    return Trades(times, times + late_ms, np.full(len(rows), 100.0), quantity, side)


def depth(*rows: tuple[int, float, float, float, float], late_ms: int = 0) -> Depth:
    """Return snapshots from (ms since the start, bid, ask and their quantities)."""
    since, *quotes = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    times = START_MS + since.astype(np.int64)
    return Depth(times, times + late_ms, *quotes, *(10.0 * size for size in quotes[2:]))


def test_trades_of_a_bar_are_summed_as_by_hand() -> None:
    """Count, bought, sold, sum of signs, and of each sign times the one before it in the bar."""
    ticks = trades((0, 1, 1), (9, 2, 1), (9, 4, -1), (50, 8, -1), (59_999, 16, 1), (60_000, 5, -1))
    sums = trades_in_bars(ticks, minutes(2, np.array([31.0, 5.0])), MINUTE_MS)
    assert sums.tolist() == [[5.0, 19.0, 12.0, 1.0, 0.0], [1.0, 0.0, 5.0, -1.0, 0.0]]


@pytest.mark.parametrize(
    ("bid", "ask", "bid_quantity", "ask_quantity", "flow"),
    [
        (100.0, 101.0, 9.0, 7.0, 4.0),  # the bid's queue grows from 5 to 9
        (100.0, 101.0, 5.0, 4.0, 3.0),  # the ask's shrinks from 7 to 4
        (100.5, 101.0, 2.0, 7.0, 2.0),  # a better bid of 2
        (99.5, 101.0, 30.0, 7.0, -5.0),  # the bid of 5 is gone
        (100.0, 100.5, 5.0, 3.0, -3.0),  # a better ask of 3
        (100.0, 101.5, 5.0, 30.0, 7.0),  # the ask of 7 is gone
        (101.0, 102.0, 6.0, 9.0, 13.0),  # both at once: 6 more to buy at, 7 fewer to sell
    ],
)
def test_order_flow_of_one_change_is_the_papers(
    bid: float, ask: float, bid_quantity: float, ask_quantity: float, flow: float
) -> None:
    """Each kind of change counts as in Cont, Kukanov & Stoikov's definition of e_n."""
    assert order_flow(*QUOTES, bid, ask, bid_quantity, ask_quantity) == flow
    ticks = depth((0, *QUOTES), (30_000, bid, ask, bid_quantity, ask_quantity))
    expected = [bid, ask, bid_quantity, ask_quantity, 10 * bid_quantity, 10 * ask_quantity, flow]
    assert depth_in_bars(ticks, minutes(1, 1.0), MINUTE_MS).tolist() == [expected]


@pytest.mark.parametrize(
    ("volume", "known"),
    [(100.0, True), (101.0, True), (99.05, True), (101.1, False), (99.0, False), (0.0, False)],
)
def test_trades_count_only_where_they_are_the_bars_volume(volume: float, known: bool) -> None:
    """Prints of less than 99 % or more than 101 % of the volume were recorded in part: missing."""
    sums = trades_in_bars(trades((0, 60, 1), (5, 40, -1)), minutes(1, volume), MINUTE_MS)
    assert np.isfinite(sums).all() == known
    assert np.isnan(sums).all() != known


def test_a_bar_without_a_print_is_missing_even_without_volume() -> None:
    """Nothing says that an empty bar was recorded."""
    assert np.isnan(trades_in_bars(Trades(), minutes(2, 0.0), MINUTE_MS)).all()
    assert np.isnan(depth_in_bars(Depth(), minutes(2, 0.0), MINUTE_MS)).all()


def test_a_row_known_after_the_close_does_not_count() -> None:
    """A print that came in late is not there, one that came in at the close is."""
    ticks = trades((0, 99.5, 1), (59_000, 0.5, -1), late_ms=1_000)
    assert trades_in_bars(ticks, minutes(1, 100.0), MINUTE_MS)[0].tolist() == [2, 99.5, 0.5, 0, -1]
    ticks = trades((0, 99.5, 1), (59_000, 0.5, -1), late_ms=1_001)
    assert trades_in_bars(ticks, minutes(1, 100.0), MINUTE_MS)[0].tolist() == [1, 99.5, 0.0, 1, 0]
    late = depth((0, *QUOTES), (59_000, 99.0, 101.0, 1.0, 1.0), late_ms=1_001)
    assert depth_in_bars(late, minutes(1, 1.0), MINUTE_MS)[0, :4].tolist() == QUOTES


def test_a_book_older_than_a_minute_is_missing() -> None:
    """The last snapshot may be 60 s old at the close and no older."""
    bars = bars_of(np.array([START_MS]), np.ones(1))
    fresh = depth((840_000, *QUOTES))
    assert depth_in_bars(fresh, bars, BAR_MS)[0, :4].tolist() == QUOTES
    assert np.isnan(depth_in_bars(depth((839_999, *QUOTES)), bars, BAR_MS)).all()


def test_order_flow_needs_the_whole_bar() -> None:
    """It is NaN under two snapshots, and where more than 60 s of the bar have none."""
    bars = bars_of(np.array([START_MS]), np.ones(1))
    steady = depth(*((ms, *QUOTES) for ms in range(0, 900_000, 60_000)))
    assert depth_in_bars(steady, bars, BAR_MS)[0, 6] == 0.0
    for missing in (0, 7, 13):
        holed = taken(steady, np.arange(15) != missing)
        found = depth_in_bars(holed, bars, BAR_MS)[0]
        assert math.isnan(found[6]) == (missing > 0), missing  # the second one comes at 60 s
        assert found[:4].tolist() == QUOTES
    assert math.isnan(depth_in_bars(taken(steady, slice(14, 15)), bars, BAR_MS)[0, 6])


def test_a_source_without_best_quantities_has_prices_and_no_order_flow() -> None:
    """What is missing is NaN; what is there stays."""
    rows = [(ms, 100.0, 101.0, math.nan, 7.0) for ms in (0, 10_000)]
    found = depth_in_bars(depth(*rows), minutes(1, 1.0), MINUTE_MS)[0]
    assert np.isnan(found).tolist() == [False, False, True, False, True, False, True]


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_trades_told_one_by_one_give_the_same_bytes(seed: int) -> None:
    """In order, shuffled, or told twice: live sums are those of history."""
    rng = np.random.default_rng(seed)
    ticks = prints(rng, int(rng.integers(1, 400)), 20 * MINUTE_MS, int(rng.integers(1, 5_000)))
    bars = minutes(20, 1.0)
    bars = minutes(20, volume_of(ticks, bars.open_time_ms, MINUTE_MS))
    expected = trades_in_bars(ticks, bars, MINUTE_MS)
    told = [(event, known, at, *rest) for at, (event, known, _, *rest) in enumerate(rows_of(ticks))]
    for shuffled in (False, True):
        tape = TradeTape(MINUTE_MS)
        for event, known, at, quantity, side in _told(told, shuffled, seed):
            tape.add(event, known, at, quantity, side)
        opened = zip(bars.open_time_ms.tolist(), bars.volume.tolist(), strict=True)
        found = [tape.in_bar(open_ms, volume) for open_ms, volume in opened]
        assert differing_bytes(np.array(found), expected) == 0


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_snapshots_told_one_by_one_give_the_same_bytes(seed: int) -> None:
    """In order, shuffled, or told twice; with holes and missing quantities."""
    rng = np.random.default_rng(seed)
    ticks = book(rng, int(rng.integers(1, 300)), int(rng.integers(2_000, 40_000)), 5_000)
    missing = rng.random(len(ticks)) < rng.choice((0.0, 0.01))
    ticks.best_bid_quantity[missing] = -math.nan
    ticks = taken(ticks, rng.random(len(ticks)) < 0.9)
    bars = bars_of(START_MS + BAR_MS * np.arange(6), np.ones(6))
    expected = depth_in_bars(ticks, bars, BAR_MS)
    told = [(event, known, at, *rest) for at, (event, known, *rest) in enumerate(rows_of(ticks))]
    for shuffled in (False, True):
        tape = BookTape(BAR_MS)
        for event, known, at, *columns in _told(told, shuffled, seed):
            tape.add(event, known, at, columns)
        found = [tape.in_bar(open_ms) for open_ms in bars.open_time_ms.tolist()]
        assert differing_bytes(np.array(found), expected) == 0


def _told(rows: list, shuffled: bool, seed: int) -> list:
    if not shuffled:
        return rows
    random = Random(seed)
    again = rows + random.sample(rows, len(rows) // 3)
    random.shuffle(again)
    return again


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, cut=st.integers(1, 19))
def test_no_sum_rests_on_what_was_not_known_at_its_close(seed: int, cut: int) -> None:
    """Rows unknown at a close may be cut off or be any others: earlier bars keep their bytes."""
    rng = np.random.default_rng(seed)
    ticks = prints(rng, 500, 20 * MINUTE_MS, 5_000)
    bars = minutes(20, 1.0)
    bars = minutes(20, volume_of(ticks, bars.open_time_ms, MINUTE_MS))
    snapshots = book(rng, 300, 4_000, 5_000)
    close_ms = START_MS + cut * MINUTE_MS
    whole = trades_in_bars(ticks, bars, MINUTE_MS), depth_in_bars(snapshots, bars, MINUTE_MS)
    for one in (ticks, snapshots):
        later = one.known_at_ms > close_ms
        values = one.quantity if isinstance(one, Trades) else one.best_bid
        values[later] *= 1.5
    for keep in (True, False):
        kept = [taken(one, (one.known_at_ms <= close_ms) | keep) for one in (ticks, snapshots)]
        found = trades_in_bars(kept[0], bars, MINUTE_MS), depth_in_bars(kept[1], bars, MINUTE_MS)
        for before, after in zip(whole, found, strict=True):
            assert differing_bytes(before[:cut], after[:cut]) == 0


TRADES_SQL = """
SELECT count(*), sum(CASE WHEN side > 0 THEN quantity ELSE 0 END),
       sum(CASE WHEN side < 0 THEN quantity ELSE 0 END), sum(side), coalesce(sum(pair), 0)
FROM (SELECT *, bar_ms * (event_time_ms // bar_ms) AS bar,
             side * lag(side) OVER (PARTITION BY event_time_ms // bar_ms ORDER BY id) AS pair
      FROM (SELECT *, CAST($bar_ms AS BIGINT) AS bar_ms FROM ticks)
      WHERE known_at_ms <= bar_ms * (event_time_ms // bar_ms + 1))
GROUP BY bar ORDER BY bar"""

FLOW_SQL = """
SELECT sum((bid >= bid_before)::INT * bid_quantity - (bid <= bid_before)::INT * bid_quantity_before
         - (ask <= ask_before)::INT * ask_quantity + (ask >= ask_before)::INT * ask_quantity_before)
FROM (SELECT event_time_ms // $bar_ms AS bar,
             best_bid AS bid, lag(best_bid) OVER w AS bid_before,
             best_ask AS ask, lag(best_ask) OVER w AS ask_before,
             best_bid_quantity AS bid_quantity, best_ask_quantity AS ask_quantity,
             lag(best_bid_quantity) OVER w AS bid_quantity_before,
             lag(best_ask_quantity) OVER w AS ask_quantity_before
      FROM ticks WHERE known_at_ms <= $bar_ms * (event_time_ms // $bar_ms + 1)
      WINDOW w AS (PARTITION BY event_time_ms // $bar_ms ORDER BY id))
GROUP BY bar ORDER BY bar"""


def in_sql(query: str, ticks: Trades | Depth, bar_ms: int) -> NDArray[np.float64]:
    frame = pd.DataFrame({name: getattr(ticks, name) for name in type(ticks).__slots__})
    frame["id"] = np.arange(len(frame))
    with duckdb.connect() as connection:
        connection.register("ticks", frame)
        rows = connection.execute(query, {"bar_ms": bar_ms}).fetchall()
    return np.array(rows, dtype=np.float64)


def test_trades_are_summed_as_in_sql() -> None:
    """Window functions over the same rows give the same sums, within rounding (1e-12)."""
    ticks = prints(np.random.default_rng(3), 20_000, 60 * MINUTE_MS, 100)
    bars = minutes(60, volume_of(ticks, minutes(60, 1.0).open_time_ms, MINUTE_MS))
    found = trades_in_bars(ticks, bars, MINUTE_MS)
    expected = in_sql(TRADES_SQL, ticks, MINUTE_MS)
    recorded = np.isfinite(found).all(axis=1)
    assert recorded.sum() > 50
    np.testing.assert_allclose(found[recorded], expected[recorded], rtol=1e-12, atol=0.0)


def test_order_flow_is_that_of_sql() -> None:
    """Window functions over the same snapshots give the same flow, within rounding (1e-9)."""
    ticks = book(np.random.default_rng(4), 3_000, 6_000)
    bars = bars_of(START_MS + BAR_MS * np.arange(20), np.ones(20))
    found = depth_in_bars(ticks, bars, BAR_MS)[:, 6]
    assert np.isfinite(found).all()
    expected = in_sql(FLOW_SQL, ticks, BAR_MS)[:20, 0]
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-9)


def test_a_tape_forgets_bars_before_a_time() -> None:
    """Their sums are gone, those of later bars stay."""
    tape = TradeTape(MINUTE_MS)
    for at in range(3):
        tape.add(START_MS + at * MINUTE_MS, START_MS + at * MINUTE_MS, at, 1.0, 1.0)
    tape.forget(START_MS + MINUTE_MS)
    assert math.isnan(tape.in_bar(START_MS, 1.0)[0])
    assert tape.in_bar(START_MS + MINUTE_MS, 1.0) == [1.0, 1.0, 0.0, 1.0, 0.0]


def test_ticks_that_cannot_be_are_refused() -> None:
    """Disorder, a row known before its event, another side and ragged columns raise ValueError."""
    good = trades((0, 1, 1), (5, 1, -1))
    with pytest.raises(ValueError, match="expected ascending times"):
        taken(good, np.array([1, 0]))
    with pytest.raises(ValueError, match="expected known_at_ms >= event_time_ms"):
        trades((0, 1, 1), late_ms=-1)
    with pytest.raises(ValueError, match="found side 0"):
        trades((0, 1, 0))
    with pytest.raises(ValueError, match="expected one length"):
        Trades(good.event_time_ms)
    with pytest.raises(ValueError, match="expected known_at_ms >= event_time_ms"):
        TradeTape(MINUTE_MS).add(5, 4, 0, 1.0, 1.0)
    with pytest.raises(ValueError, match="found side 0"):
        TradeTape(MINUTE_MS).add(5, 5, 0, 1.0, 0.0)
    with pytest.raises(ValueError, match="found 4 columns"):
        BookTape(MINUTE_MS).add(5, 5, 0, QUOTES)
