"""REST answers keep the exchange's bounds, errors and order, and never show the future."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_venue.market.weather import GENESIS_MS
from replay_venue.serving import rest
from replay_venue.serving.wire import decimal
from tests.replay_venue.served import BAR_MS, Served, at, clockwork

KLINES = "/fapi/v1/klines"
NOW = at("2025-04-10 07:07:30")
START = at("2025-03-31")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_decimal_reads_back_as_the_same_double(value: float) -> None:
    """A decimal string has no exponent and is the same double again."""
    text = decimal(value)
    assert "e" not in text
    assert float(text) == value


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        (KLINES, {"interval": "15m"}, -1102),
        (KLINES, {"symbol": "BTCUSDT"}, -1102),
        (KLINES, {"symbol": "NOPEUSDT", "interval": "15m"}, -1121),
        (KLINES, {"symbol": "BTCUSDT", "interval": "17m"}, -1120),
        (KLINES, {"symbol": "BTCUSDT", "interval": "15m", "limit": "1501"}, -1130),
        (KLINES, {"symbol": "BTCUSDT", "interval": "15m", "limit": "0"}, -1130),
        (KLINES, {"symbol": "BTCUSDT", "interval": "15m", "limit": "ten"}, -1100),
        (KLINES, {"symbol": "BTCUSDT", "interval": "15m", "startTime": "-5"}, -1100),
        (KLINES, {"symbol": "BTCUSDT", "interval": "15m", "startTime": "9" * 19}, -1100),
        (KLINES, {"symbol": "BTCUSDT", "interval": "15m", "startTime": 9, "endTime": 8}, -1023),
        ("/fapi/v1/fundingRate", {"symbol": "BTCUSDT", "limit": "1001"}, -1130),
        ("/futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "1y"}, -1120),
        (
            "/futures/data/openInterestHist",
            {"symbol": "BTCUSDT", "period": "15m", "limit": 501},
            -1130,
        ),
        ("/futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "3m"}, -1120),
        ("/fapi/v1/markPriceKlines", {"symbol": "BTCUSDT", "interval": "2w"}, -1120),
        ("/fapi/v1/indexPriceKlines", {"symbol": "BTCUSDT", "interval": "1h"}, -1102),
        ("/fapi/v1/indexPriceKlines", {"pair": "NOPEUSDT", "interval": "1h"}, -1121),
        ("/fapi/v1/premiumIndex", {"symbol": "NOPEUSDT"}, -1121),
        ("/fapi/v1/openInterest", {}, -1102),
        ("/fapi/v1/trades", {"symbol": "BTCUSDT", "limit": "1001"}, -1130),
        ("/fapi/v1/ticker/price", {"symbol": "NOPEUSDT"}, -1121),
        ("/fapi/v1/ticker/bookTicker", {"symbol": "NOPEUSDT"}, -1121),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": "7"}, -4021),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": "1001"}, -1130),
        ("/fapi/v1/aggTrades", {"symbol": "BTCUSDT", "limit": "1001"}, -1130),
        ("/fapi/v1/ticker/24hr", {"symbol": "NOPEUSDT"}, -1121),
    ],
)
def test_rest_refuses_as_the_exchange_does(
    still: Served, path: str, query: dict[str, Any], code: int
) -> None:
    """A wrong parameter is HTTP 400 with the exchange's code and a message."""
    answer = still.http.get(path, params=query)
    assert answer.status_code == 400
    assert answer.json()["code"] == code
    assert answer.json()["msg"]


def test_klines_without_a_window_are_the_latest(still: Served) -> None:
    """The default is the last 500 candles, the unfinished one at the end."""
    rows = still.get(KLINES, symbol="ETHUSDT", interval="15m")
    assert len(rows) == 500
    assert rows[-1][0] == NOW // BAR_MS * BAR_MS
    assert rows[-1][6] == rows[-1][0] + BAR_MS - 1 > NOW


def test_klines_of_a_past_page_never_change(still: Served) -> None:
    """The same window answers with the same bytes each time."""
    query = {"symbol": "BTCUSDT", "interval": "15m", "startTime": START, "limit": 300}
    first = still.http.get(KLINES, params=query).content
    assert still.http.get(KLINES, params=query).content == first


def test_funding_of_all_symbols_is_in_time_order(still: Served) -> None:
    """Without a symbol both are returned, ascending by settlement."""
    rows = still.get("/fapi/v1/fundingRate", limit=10)
    assert [row["symbol"] for row in rows] == ["BTCUSDT", "ETHUSDT"] * 5
    stamps = [row["fundingTime"] for row in rows]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= NOW


def test_open_interest_periods_sample_one_series(still: Served) -> None:
    """An hourly value is the 15m value of the same stamp, of value amount × price then."""
    path = "/futures/data/openInterestHist"
    fine = still.get(path, symbol="BTCUSDT", period="15m", startTime=START, limit=96)
    hourly = still.get(path, symbol="BTCUSDT", period="1h", startTime=START, limit=24)
    assert hourly == fine[::4]
    latest = still.get(path, symbol="BTCUSDT", period="15m")
    assert len(latest) == 30
    assert latest[-1]["timestamp"] == NOW // BAR_MS * BAR_MS


def test_exchange_info_lists_what_is_traded(still: Served) -> None:
    """Symbols carry the fields and filters that clients read."""
    symbols = still.get("/fapi/v1/exchangeInfo")["symbols"]
    assert [one["symbol"] for one in symbols] == ["BTCUSDT", "ETHUSDT"]
    filters = {one["filterType"]: one for one in symbols[1]["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01"
    assert filters["LOT_SIZE"]["stepSize"] == "0.001"
    assert symbols[0]["onboardDate"] == START > GENESIS_MS


def test_funding_pages_by_time(still: Served) -> None:
    """startTime gives the first settlements from there on, without it the latest are given."""
    path = "/fapi/v1/fundingRate"
    query = {"symbol": "BTCUSDT", "limit": 4}
    first = still.get(path, **query, startTime=START)
    assert [row["fundingTime"] for row in first] == [START + 28_800_000 * k for k in range(4)]
    assert still.get(path, **query)[-1]["fundingTime"] == NOW // 28_800_000 * 28_800_000
    assert still.get(path, **query, startTime=NOW + 1) == []


def test_funding_states_the_mark_price_at_settlement(still: Served) -> None:
    """markPrice is the close of the mark candle that ended with the settlement."""
    rows = still.get("/fapi/v1/fundingRate", symbol="BTCUSDT", limit=6)
    assert len(rows) == 6
    for row in rows:
        minute = still.get(
            "/fapi/v1/markPriceKlines",
            symbol="BTCUSDT",
            interval="1m",
            startTime=row["fundingTime"] - 60_000,
            limit=1,
        )
        assert row["markPrice"] == minute[0][4]


def test_premium_index_is_the_last_whole_minute(still: Served) -> None:
    """Mark and index price are the closes of their last complete minute, for one and for all."""
    query = {"symbol": "BTCUSDT", "pair": "BTCUSDT", "interval": "1m", "limit": 2}
    row = still.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")
    assert row["markPrice"] == still.get("/fapi/v1/markPriceKlines", **query)[0][4]
    assert row["indexPrice"] == still.get("/fapi/v1/indexPriceKlines", **query)[0][4]
    assert row["nextFundingTime"] == at("2025-04-10 08:00")
    assert still.get("/fapi/v1/premiumIndex")[0] == row


def test_the_day_s_ticker_adds_up(still: Served) -> None:
    """It sums the last 96 quarters of an hour; its price is the last trade's."""
    day = still.get("/fapi/v1/ticker/24hr", symbol="ETHUSDT")
    rows = still.get(KLINES, symbol="ETHUSDT", interval="15m", limit=96)
    trade = still.get("/fapi/v1/trades", symbol="ETHUSDT", limit=1)[0]
    assert float(day["volume"]) == pytest.approx(sum(float(row[5]) for row in rows), abs=1e-3)
    assert float(day["highPrice"]) == max(float(row[2]) for row in rows)
    assert day["count"] == sum(row[8] for row in rows)
    assert (day["lastPrice"], day["lastQty"]) == (trade["price"], trade["qty"])
    assert day["firstId"] < day["lastId"] == trade["id"]
    assert still.get("/fapi/v2/ticker/price", symbol="ETHUSDT")["price"] == trade["price"]
    assert [one["symbol"] for one in still.get("/fapi/v1/ticker/24hr")] == ["BTCUSDT", "ETHUSDT"]


def test_rest_answers_at_a_clock_before_everything() -> None:
    """At the very start of history nothing has happened: empty lists and refusals, no failure."""
    with clockwork("2025-03-01", history="2025-03-01") as served:
        query = {"symbol": "BTCUSDT", "pair": "BTCUSDT", "interval": "15m", "period": "15m"}
        for path in (*rest.ANSWERS, "/fapi/v1/depth"):
            answer = served.http.get(path, params={**query, "contractType": "PERPETUAL"})
            assert answer.status_code in (200, 400), path
            assert answer.status_code == 200 or answer.json()["code"] < 0
