"""Candles of every interval and price: bounds, order, sums, and nothing of the future."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.bars import Bars
from replay_venue.market import intervals
from replay_venue.market.intervals import INTERVALS
from replay_venue.serving import wire
from replay_venue.serving.wire import decimal
from tests.replay_venue.clockwork import DAY_MS, MINUTE_MS, Clockwork
from tests.replay_venue.served import RECORDED, Served, at, clockwork, serving

KLINES = "/fapi/v1/klines"
NOW = at("2025-04-10 07:07:30")
START = at("2023-12-27")


@pytest.fixture(scope="module")
def venue() -> Iterator[Served]:
    with clockwork("2025-04-10 07:07:30", history="2023-12-27") as served:
        yield served


def rows_of(served: Served, path: str = KLINES, **query: Any) -> list[list[Any]]:
    return served.get(path, symbol="BTCUSDT", pair="BTCUSDT", **query)


@settings(max_examples=150, deadline=None)
@given(
    interval=st.sampled_from(INTERVALS),
    start=st.none() | st.integers(START - 40 * DAY_MS, NOW + DAY_MS),
    length=st.none() | st.integers(0, 500 * DAY_MS),
    limit=st.integers(1, 1_500),
)
def test_klines_are_bounded_ordered_and_past(
    venue: Served, interval: str, start: int | None, length: int | None, limit: int
) -> None:
    """Any window gives at most `limit` neighbouring candles, in it, none opened after now."""
    query: dict[str, Any] = {"interval": interval, "limit": limit}
    end = NOW if length is None else (START if start is None else start) + length
    if start is not None:
        query["startTime"] = max(start, 0)
    if length is not None:
        query["endTime"] = max(end, 0)
    rows = rows_of(venue, **query)
    opens = [row[0] for row in rows]
    assert all(intervals.next_open(interval, one) == two for one, two in pairwise(opens))
    assert all(row[6] == intervals.next_open(interval, row[0]) - 1 for row in rows)
    assert len(opens) <= limit
    assert all(max(start or 0, START) <= open_ms <= min(end, NOW) for open_ms in opens)
    first = intervals.first_open(interval, max(START if start is None else start, START))
    if start is not None and first <= min(end, NOW):
        assert opens[0] == first
    if start is None and length is None and opens:
        assert opens[-1] == intervals.open_of(interval, NOW)


def test_coarse_candles_are_those_pandas_makes_of_days(venue: Served) -> None:
    """Three days, weeks and months are pandas' aggregation of the daily candles served."""
    import pandas as pd

    names = ["open", "high", "low", "close", "volume"]
    days = pd.DataFrame(
        [[row[0], *map(float, row[1:6])] for row in rows_of(venue, interval="1d", limit=1_000)],
        columns=["time", *names],
    )
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    stamps = pd.to_datetime(days["time"], unit="ms")
    keys = {
        "3d": days["time"] // (3 * DAY_MS) * (3 * DAY_MS),
        "1w": stamps.dt.to_period("W-SUN").dt.start_time,
        "1M": stamps.dt.to_period("M").dt.start_time,
    }
    for interval, key in keys.items():
        expected = days.groupby(key)[names].agg(how)
        served = [list(map(float, row[1:6])) for row in rows_of(venue, interval=interval)]
        assert len(served) > 14
        assert served == expected.to_numpy().tolist()[-len(served) :]


def test_a_week_with_a_missing_day_is_missing() -> None:
    """A coarse candle is served only where each of its days is there; the others are."""
    hole = at("2025-03-19")
    with clockwork("2025-04-10", history="2025-03-03", missing=frozenset({hole})) as served:
        weeks = [row[0] for row in rows_of(served, interval="1w")]
        months = rows_of(served, interval="1M")
    assert weeks == [at(f"2025-{day}") for day in ("03-03", "03-10", "03-24", "03-31", "04-07")]
    assert [row[0] for row in months] == [at("2025-04-01")]


@pytest.mark.parametrize(("path", "shift"), [("markPriceKlines", 0.1), ("indexPriceKlines", -0.2)])
@pytest.mark.parametrize("interval", ["1m", "15m", "1d", "1w"])
def test_mark_and_index_candles(venue: Served, path: str, shift: float, interval: str) -> None:
    """They run beside the traded price, have no volume, and end with the unfinished one."""
    rows = rows_of(venue, f"/fapi/v1/{path}", interval=interval, limit=5)
    traded = rows_of(venue, interval=interval, limit=5)
    assert [row[0] for row in rows] == [row[0] for row in traded]
    assert all(row[5] == row[7] == "0" for row in rows)
    pairs = list(zip(rows, traded, strict=True))[:-1]
    closed = [round(float(row[4]) - float(other[4]), 6) for row, other in pairs]
    assert closed == [shift] * 4
    last = Clockwork().mark_bars("BTCUSDT", "1m", NOW - 2 * MINUTE_MS, NOW // 60_000 * 60_000)
    if path == "markPriceKlines":
        assert float(rows[-1][4]) == last.close[-1]


def test_the_unfinished_week_is_its_days_and_today_so_far(venue: Served) -> None:
    """It is the minutes that are over and the trades of the running one; its close is the last."""
    row = rows_of(venue, interval="1w", limit=1)[0]
    running_ms = NOW // MINUTE_MS * MINUTE_MS
    minutes = Clockwork().bars("BTCUSDT", "1m", row[0], running_ms)
    since = Clockwork().trades("BTCUSDT", running_ms, NOW + 1)
    assert row[0] == at("2025-04-07")
    assert len(since.price) == 3
    assert [float(value) for value in row[1:6]] == [
        minutes.open[0],
        max(minutes.high.max(), since.price.max()),
        min(minutes.low.min(), since.price.min()),
        since.price[-1],
        len(minutes) + 0.75,
    ]
    last = venue.get("/fapi/v1/ticker/price", symbol="BTCUSDT")
    assert float(last["price"]) == since.price[-1]


def test_a_candle_grows_trade_by_trade_into_the_closed_one() -> None:
    """Second by second the running minute is its trades so far, at last exactly its candle."""
    market = Clockwork()
    volume = 0.0
    with clockwork("2025-04-10 07:07:00") as served:
        for second in range(60):
            served.control("clock", advance_to_ms=at("2025-04-10 07:07:00") + 1_000 * second)
            running = rows_of(served, interval="1m", limit=1)[0]
            assert float(running[5]) == (volume := 0.25 * (second // 15 + 1))
        served.control("clock", advance_to_ms=at("2025-04-10 07:08:00"))
        closed = rows_of(served, interval="1m", limit=2)[0]
    minute = market.bars("BTCUSDT", "1m", closed[0], closed[0] + 1)
    assert volume == minute.volume[0]
    assert running == closed


def test_continuous_klines_are_the_perpetual_s(venue: Served) -> None:
    """The pair's perpetual has the symbol's candles; there is no other contract."""
    query = {"interval": "1h", "limit": 7, "contractType": "PERPETUAL"}
    assert rows_of(venue, "/fapi/v1/continuousKlines", **query) == rows_of(
        venue, interval="1h", limit=7
    )
    query["contractType"] = "CURRENT_QUARTER"
    answer = venue.http.get("/fapi/v1/continuousKlines", params={"pair": "BTCUSDT", **query})
    assert (answer.status_code, answer.json()["code"]) == (400, -1130)


PRICES = st.floats(1e-9, 1e9, allow_nan=False) | st.integers(1, 10**9).map(lambda n: n / 10_000)


@settings(max_examples=200)
@given(st.lists(st.tuples(PRICES, PRICES, PRICES, st.just(0.0) | PRICES), max_size=8))
def test_a_page_is_the_json_of_its_rows(values: list[tuple[float, float, float, float]]) -> None:
    """Every number of the fast page is the decimal that one by one would give."""
    times = 900_000 * np.arange(len(values), dtype=np.int64)
    prices = np.sort(np.array([row[:3] for row in values]).reshape(-1, 3), axis=1)
    volume = np.array([row[3] for row in values])
    bars = Bars(
        open_time_ms=times,
        open=prices[:, 1],
        high=prices[:, 2],
        low=prices[:, 0],
        close=prices[:, 1],
        volume=volume,
    )
    page = json.loads(wire.kline_page(bars, "15m"))
    assert [row[:7] for row in page] == [
        [t, decimal(p[1]), decimal(p[2]), decimal(p[0]), decimal(p[1]), decimal(v), t + 899_999]
        for t, p, v in zip(times.tolist(), prices, volume, strict=True)
    ]
    assert all(row[8] == 0 and float(row[9]) == 0 for row in page if float(row[5]) == 0)
    assert all(float(row[9]) <= float(row[5]) + 5e-4 for row in page)


@pytest.mark.skipif(
    not RECORDED.is_dir(), reason="recorded data (../shared/data) is not on this machine"
)
@pytest.mark.parametrize(("interval", "unit"), [("1M", "month"), ("1w", "week"), ("1d", "day")])
def test_recorded_coarse_candles_are_those_of_sql(interval: str, unit: str) -> None:
    """Each complete recorded month, week and day is DuckDB's aggregate of the file's quarters."""
    import duckdb

    now = "2025-10-20"
    rows = duckdb.execute(
        f"""
        select epoch_ms(date_trunc('{unit}', t)::timestamp), first(open order by t), max(high),
               min(low), last(close order by t), sum(volume)
        from (select *, timezone('UTC', timestamp) as t from read_parquet(?))
        where t < timestamp '{now}'
        group by 1
        having 96 * date_diff('day', date_trunc('{unit}', min(t)),
               date_trunc('{unit}', min(t)) + interval 1 {unit}) = count(*)
        order by 1
        """,
        [str(RECORDED / "ohlcv_BTCUSDT_15m_okx-swap.parquet")],
    ).fetchall()
    words = ["--market", "recorded", "--data", str(RECORDED), "--venue", "okx-swap"]
    with serving(*words, "--symbols", "BTCUSDT", "--start", now) as served:
        served.control("clock", pause=True)
        found = rows_of(served, interval=interval, limit=1_500)
    assert len(rows) > 10
    served_rows = {row[0]: [float(value) for value in row[1:6]] for row in found[:-1]}
    assert len(served_rows) == len(rows[-1_499:])
    for open_ms, *values in rows[-1_499:]:
        assert served_rows[open_ms] == pytest.approx(values, rel=1e-12)
