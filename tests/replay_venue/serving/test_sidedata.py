"""On-chain metrics in Coin Metrics' pages and the index in alternative.me's shape."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.onchain_metrics import METRICS as NAMES
from tests.replay_venue.clockwork import DAY_MS
from tests.replay_venue.served import Served, at, clockwork

NOW = at("2025-04-10 07:07:30")
START = at("2025-03-31")


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
        {"assets": "btc", "metrics": "CapMVRVCur", "frequency": "1b"},
        {"assets": "btc", "metrics": "CapMVRVCur", "next_page_token": "7"},
        {"assets": "btc", "metrics": "CapMVRVCur", "next_page_token": "%%"},
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


@pytest.fixture(scope="module")
def formula() -> Iterator[Served]:
    with clockwork("2025-04-10 07:07:30", history="2025-03-01") as served:
        yield served


def every_page(served: Served, **query: Any) -> list[list[dict[str, Any]]]:
    """Follow next_page_url to the end, as a client of the API does."""
    answer = served.get(METRICS, **query)
    pages = [answer["data"]]
    while "next_page_url" in answer:
        response = served.http.get(answer["next_page_url"])
        response.raise_for_status()
        answer = response.json()
        pages.append(answer["data"])
    return pages


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 50),
    paging_from=st.sampled_from(["start", "end"]),
    metrics=st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    days=st.integers(0, 45),
)
def test_onchain_urls_lead_through_everything(
    formula: Served, size: int, paging_from: str, metrics: list[str], days: int
) -> None:
    """Every row once, full pages but the last, in order, whatever the page size and the metrics."""
    query = {
        "assets": "eth,btc",
        "metrics": ",".join(metrics),
        "start_time": f"2025-03-{1 + days % 31:02}",
        "paging_from": paging_from,
    }
    whole = formula.get(METRICS, **query, page_size=10_000)["data"]
    pages = every_page(formula, **query, page_size=size)
    assert all(len(page) == size for page in pages[:-1])
    ordered = pages if paging_from == "start" else pages[::-1]
    assert [row for page in ordered for row in page] == whole
    assert [row["asset"] for row in whole] == sorted(row["asset"] for row in whole)[::-1]


@pytest.mark.parametrize("paging_from", ["start", "end"])
def test_onchain_pages_hold_still_while_days_pass(paging_from: str) -> None:
    """A day that is published between two pages moves no row of the pages that follow."""
    query = {"assets": "btc", "metrics": "TxCnt", "page_size": 10, "paging_from": paging_from}
    with clockwork("2025-04-10 07:07:30", history="2025-03-01") as served:
        whole = served.get(METRICS, **query | {"page_size": 1_000})["data"]
        page = served.get(METRICS, **query)
        found = page["data"]
        token = page["next_page_token"]
        served.control("clock", advance_to_ms=NOW + 2 * DAY_MS)
        while token:
            page = served.get(METRICS, **query, next_page_token=token)
            found = found + page["data"]
            token = page.get("next_page_token")
    days = sorted(row["time"] for row in found)
    assert len(days) == len(set(days))
    assert set(days) >= {row["time"] for row in whole}


def test_onchain_says_null_for_what_it_lacks(formula: Served) -> None:
    """A metric that is missing that day is null beside others, and no row where it is alone."""
    both = formula.get(METRICS, assets="btc", metrics="HashRate,TxCnt", page_size=30)["data"]
    alone = formula.get(METRICS, assets="btc", metrics="HashRate", page_size=30)["data"]
    lacking = [row for row in both if row["HashRate"] is None]
    assert len(lacking) == 10
    assert all(row["TxCnt"] is not None for row in both)
    assert all(row["HashRate"] is not None for row in alone)


def test_onchain_leaves_ends_out_if_asked(formula: Served) -> None:
    """start_inclusive and end_inclusive false narrow the window by their day."""
    query = {"assets": "btc", "metrics": "TxCnt", "start_time": "2025-04-02"}
    query |= {"end_time": "2025-04-04", "start_inclusive": "false", "end_inclusive": "false"}
    assert [row["time"][:10] for row in formula.get(METRICS, **query)["data"]] == ["2025-04-03"]


def test_the_catalogue_tells_what_there_is(formula: Served) -> None:
    """Each asset's metrics with their first and last day, in the order of the request."""
    path = "/coinmetrics/v4/catalog-v2/asset-metrics"
    rows = formula.get(path)["data"]
    assert [row["asset"] for row in rows] == ["btc", "eth"]
    assert [one["metric"] for one in rows[0]["metrics"]] == list(NAMES)
    daily = formula.get(path, assets="eth", metrics="TxCnt")["data"][0]["metrics"][0]["frequencies"]
    assert daily == [
        {
            "frequency": "1d",
            "min_time": "2025-03-01T00:00:00.000000000Z",
            "max_time": "2025-04-09T00:00:00.000000000Z",
            "community": True,
        }
    ]
    assert formula.http.get(path, params={"assets": "doge"}).status_code == 400


def test_fear_greed_as_csv_and_with_dates(formula: Served) -> None:
    """format=csv has the same rows as lines; date_format writes days for a part of the world."""
    rows = formula.get("/alternative/fng/", limit=3)["data"]
    lines = formula.http.get("/alternative/fng/", params={"limit": 3, "format": "csv"}).text
    assert lines.splitlines()[1:] == [
        f"{row['timestamp']},{row['value']},{row['value_classification']}" for row in rows
    ]
    dated = formula.get("/alternative/fng/", limit=2, date_format="world")["data"]
    assert [row["timestamp"] for row in dated] == ["10-04-2025", "09-04-2025"]
    assert rows[0]["time_until_update"] == str((DAY_MS - NOW % DAY_MS) // 1_000)
