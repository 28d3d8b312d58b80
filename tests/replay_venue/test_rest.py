"""REST answers keep the exchange's bounds, errors and order, and never show the future."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay_venue.weather import GENESIS_MS
from replay_venue.wire import decimal
from tests.replay_venue.serving import BAR_MS, Served, at

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
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": "7"}, -4021),
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


@settings(max_examples=60, deadline=None)
@given(
    interval=st.sampled_from(["1m", "5m", "15m", "1h", "4h", "1d"]),
    start=st.none() | st.integers(START - 3 * 86_400_000, NOW + 86_400_000),
    length=st.none() | st.integers(0, 5 * 86_400_000),
    limit=st.integers(1, 1_500),
)
def test_klines_are_bounded_ordered_and_past(
    still: Served, interval: str, start: int | None, length: int | None, limit: int
) -> None:
    """Any window gives at most `limit` ascending gapless candles, in it, none opened after now."""
    query: dict[str, Any] = {"symbol": "BTCUSDT", "interval": interval, "limit": limit}
    if start is not None:
        query["startTime"] = start
    end = (start or START) + length if length is not None else NOW
    if length is not None:
        query["endTime"] = end
    opens = [row[0] for row in still.get(KLINES, **query)]
    step = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}[interval[-1]] * int(interval[:-1])
    assert all(later - earlier == step for earlier, later in pairwise(opens))
    assert len(opens) <= limit
    assert all(max(start or 0, START) <= open_ms <= min(end, NOW) for open_ms in opens)
    first = -(-max(start or START, START) // step) * step
    if start is not None and first <= min(end, NOW):
        assert opens[0] == first


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


def test_fear_greed_is_latest_first_and_past(still: Served) -> None:
    """limit=0 returns every day until today, once, in alternative.me's shape."""
    answer = still.get("/alternative/fng/", limit=0)
    stamps = [int(row["timestamp"]) * 1_000 for row in answer["data"]]
    assert stamps == list(range(NOW // 86_400_000 * 86_400_000, START - 1, -86_400_000))
    assert answer["metadata"] == {"error": None}
    assert all(0 <= int(row["value"]) <= 100 for row in answer["data"])
    assert len(still.get("/alternative/fng/")["data"]) == 1


METRICS = "/coinmetrics/v4/timeseries/asset-metrics"


@pytest.mark.parametrize("paging_from", ["start", "end"])
def test_onchain_pages_make_up_the_whole(still: Served, paging_from: str) -> None:
    """Following the tokens gives each past day of both assets once; today is not yet known."""
    query = {"assets": "btc,eth", "metrics": "FlowInExUSD,FlowOutExUSD,CapMVRVCur"}
    whole = still.get(METRICS, **query, paging_from=paging_from, page_size=10_000)["data"]
    assert [row["asset"] for row in whole] == ["btc"] * 10 + ["eth"] * 10
    assert whole[9]["time"] == "2025-04-09T00:00:00.000000000Z"
    pages: list[list[dict[str, str]]] = []
    more: dict[str, Any] = {}
    while True:
        page = still.get(METRICS, **query, paging_from=paging_from, page_size=7, **more)
        pages.append(page["data"])
        if "next_page_token" not in page:
            break
        assert "next_page_url" in page
        more = {"next_page_token": page["next_page_token"]}
    ordered = pages if paging_from == "start" else pages[::-1]
    assert [row for page in ordered for row in page] == whole


@pytest.mark.parametrize(
    "query",
    [
        {"metrics": "CapMVRVCur"},
        {"assets": "doge", "metrics": "CapMVRVCur"},
        {"assets": "btc", "metrics": "Luck"},
        {"assets": "btc", "metrics": "CapMVRVCur", "page_size": 10_001},
        {"assets": "btc", "metrics": "CapMVRVCur", "page_size": "many"},
        {"assets": "btc", "metrics": "CapMVRVCur", "start_time": "yesterday"},
        {"assets": "btc", "metrics": "CapMVRVCur", "paging_from": "middle"},
    ],
)
def test_onchain_refuses_bad_parameters(still: Served, query: dict[str, Any]) -> None:
    """A wrong parameter is HTTP 400 in Coin Metrics' error shape."""
    answer = still.http.get(METRICS, params=query)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "bad_parameter"


def test_onchain_keeps_to_the_times_asked(still: Served) -> None:
    """start_time and end_time are inclusive days."""
    query = {"assets": "btc", "metrics": "CapMVRVCur", "paging_from": "start"}
    rows = still.get(METRICS, **query, start_time="2025-04-02", end_time="2025-04-04")["data"]
    assert [row["time"][:10] for row in rows] == ["2025-04-02", "2025-04-03", "2025-04-04"]
