"""A restated row is served in its new value everywhere, and the rest of the market is as it was."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.bars import TIMEFRAME_MS
from replay_venue.serving.restated import Restated, Restatement
from tests.replay_venue.clockwork import Clockwork
from tests.replay_venue.served import BAR_MS, Served, at

DAY_MS = 86_400_000
START = at("2025-04-02")
NOW = at("2025-04-10")
SOURCE = Clockwork()


@pytest.fixture(autouse=True)
def _as_it_was(standing: Served) -> Iterator[None]:
    yield
    standing.http.delete("/control/restatements").raise_for_status()


def candles(served: Served, interval: str = "15m", path: str = "klines") -> list[list[Any]]:
    query = {"interval": interval, "startTime": START, "endTime": START + DAY_MS - 1}
    return served.get(f"/fapi/v1/{path}", symbol="BTCUSDT", **query)


def test_restated_candle_is_served_and_withdrawn(standing: Served) -> None:
    """The close is the new one, nothing else of other bars moves; withdrawn, all is as before."""
    before = candles(standing)
    bar = before[10]
    listed = standing.control(
        "restatements", table="candles", symbol="BTCUSDT", time_ms=bar[0], value=1.5
    )
    number = next(iter(listed["restated"]))
    after = candles(standing)
    assert after[10][:5] == [bar[0], bar[1], bar[2], "1.5", "1.5"]
    assert [row for row in after if row[0] != bar[0]] == before[:10] + before[11:]
    assert standing.http.delete("/control/restatements/999").status_code == 404
    standing.http.delete(f"/control/restatements/{number}").raise_for_status()
    assert candles(standing) == before


@given(
    minute=st.integers(0, 95),
    factor=st.floats(0.5, 2.0),
    timeframe=st.sampled_from(["1m", "5m", "15m", "1h"]),
)
def test_restated_candles_agree_in_every_interval(
    minute: int, factor: float, timeframe: str
) -> None:
    """Coarse candles are still what their minutes add up to, and each is a candle."""
    market = Restated(SOURCE)
    step_ms = TIMEFRAME_MS[timeframe]
    time_ms = (START + minute * BAR_MS) // step_ms * step_ms
    value = round(float(SOURCE.bars("BTCUSDT", "1h", START, START + 1).close[0]) * factor, 1)
    market.order(Restatement("candles", time_ms, value, "BTCUSDT", timeframe), NOW)
    fine = market.bars("BTCUSDT", "1m", START, START + 2 * DAY_MS)
    for coarse in ("5m", "15m", "1h", "4h", "1d"):
        bars = market.bars("BTCUSDT", coarse, START, START + 2 * DAY_MS)
        parts = TIMEFRAME_MS[coarse] // TIMEFRAME_MS["1m"]
        assert (bars.high == fine.high.reshape(-1, parts).max(1)).all()
        assert (bars.low == fine.low.reshape(-1, parts).min(1)).all()
        assert (bars.close == fine.close[parts - 1 :: parts]).all()
        assert (bars.high >= bars.close).all()
        assert (bars.low <= bars.close).all()
        if coarse == timeframe:
            assert bars.close[bars.open_time_ms == time_ms].tolist() == [value]


def test_restated_minute_moves_its_last_trade() -> None:
    """The trades of the minute still end at its close."""
    market = Restated(SOURCE)
    minute = SOURCE.bars("BTCUSDT", "1m", START, START + 60_000)
    value = float(minute.close[0]) + 100.0
    market.order(Restatement("candles", START, value, "BTCUSDT", "1m"), NOW)
    before = SOURCE.trades("BTCUSDT", START, START + 120_000)
    after = market.trades("BTCUSDT", START, START + 120_000)
    moved = (before.price != after.price).nonzero()[0].tolist()
    assert len(moved) == 1
    assert after.price[moved[0]] == value
    assert before.time_ms[moved[0]] < START + 60_000 <= before.time_ms[moved[0] + 1]


@pytest.mark.parametrize(
    ("order", "path", "query", "shown"),
    [
        (
            {"table": "funding", "symbol": "BTCUSDT", "value": 0.00321},
            "/fapi/v1/fundingRate",
            {"symbol": "BTCUSDT", "startTime": START, "limit": 1},
            lambda body: (body[0]["fundingTime"], body[0]["fundingRate"]),
        ),
        (
            {"table": "open_interest", "symbol": "ETHUSDT", "value": 77_777.0},
            "/futures/data/openInterestHist",
            {"symbol": "ETHUSDT", "period": "15m", "startTime": START, "limit": 1},
            lambda body: (body[0]["timestamp"], body[0]["sumOpenInterest"]),
        ),
        (
            {"table": "fear_greed", "value": 3.0},
            "/alternative/fng/",
            {"limit": 0},
            lambda body: (int(body["data"][5]["timestamp"]) * 1_000, body["data"][5]["value"]),
        ),
        (
            {"table": "onchain", "symbol": "BTC", "metric": "CapMVRVCur", "value": 9.25},
            "/coinmetrics/v4/timeseries/asset-metrics",
            {"assets": "btc", "metrics": "CapMVRVCur", "start_time": "2025-04-02"},
            lambda body: (at(body["data"][0]["time"][:10]), body["data"][0]["CapMVRVCur"]),
        ),
        (
            {"table": "mark_candles", "symbol": "BTCUSDT", "value": 4.5},
            "/fapi/v1/markPriceKlines",
            {"symbol": "BTCUSDT", "interval": "15m", "startTime": START, "limit": 1},
            lambda body: (body[0][0], body[0][4]),
        ),
        (
            {"table": "index_candles", "symbol": "BTCUSDT", "value": 4.5},
            "/fapi/v1/indexPriceKlines",
            {"pair": "BTCUSDT", "interval": "15m", "startTime": START, "limit": 1},
            lambda body: (body[0][0], body[0][4]),
        ),
    ],
)
def test_restated_rows_of_every_table(
    standing: Served, order: dict[str, Any], path: str, query: dict[str, Any], shown
) -> None:
    """Funding, open interest, the index and on-chain values are restated as candles are."""
    time_ms, before = shown(standing.get(path, **query))
    standing.control("restatements", time_ms=time_ms, **order)
    again, after = shown(standing.get(path, **query))
    assert again == time_ms
    assert float(after) == order["value"] != float(before)
    standing.http.delete("/control/restatements").raise_for_status()
    assert shown(standing.get(path, **query)) == (time_ms, before)


@pytest.mark.parametrize(
    "order",
    [
        {"table": "weather"},
        {"table": "candles", "symbol": "NOPEUSDT"},
        {"table": "candles", "time_ms": START + 1},
        {"table": "candles", "time_ms": at("2025-04-10 07:00")},
        {"table": "candles", "timeframe": "2s"},
        {"table": "candles", "value": -1.0},
        {"table": "candles", "metric": "TxCnt"},
        {"table": "funding", "time_ms": START + BAR_MS},
        {"table": "fear_greed"},
        {"table": "onchain", "symbol": "BTC"},
        {"table": "onchain", "symbol": "BTC", "metric": "TxCnt", "time_ms": at("2025-04-10")},
    ],
)
def test_restatements_of_rows_never_served_are_refused(
    standing: Served, order: dict[str, Any]
) -> None:
    """Only a row that was over and was served can be restated; the rest is HTTP 422."""
    whole = {"symbol": "BTCUSDT", "time_ms": START, "value": 1.0, **order}
    assert standing.http.post("/control/restatements", json=whole).status_code == 422
    assert standing.get("/control/restatements") == {"restated": {}}
