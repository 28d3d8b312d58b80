"""On-chain metrics and the fear & greed index, from a served venue and from files."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kernel.errors import TidegateError
from kernel.onchain_metrics import METRICS
from market_data.sources.backoff import Backoff
from market_data.sources.coinmetrics import PAGE_ROWS, CoinMetrics
from market_data.sources.coinmetrics_csv import CoinMetricsCsv
from market_data.sources.fear_greed import FearGreed
from replay_venue.market.series import OnChain
from replay_venue.serving.faults.faults import Fault, Kind
from tests.market_data.served_venue import SmallMarket, points, served, walk
from tests.market_data.sources.answering import Answering
from tests.market_data.sources.layouts import read, settings, wanted

DAY_MS = 86_400_000
START_MS = 1_764_547_200_000  # 2025-12-01T00:00Z
IMPATIENT = Backoff(attempts=5, first_delay_s=0.001, longest_delay_s=0.01)
OURS = {
    "mvrv": "CapMVRVCur",
    "active_addresses": "AdrActCnt",
    "transactions": "TxCnt",
    "hash_rate": "HashRate",
    "fees": "FeeTotNtv",
}


def coinmetrics(url: str) -> CoinMetrics:
    return CoinMetrics("cm", settings("coinmetrics"), f"{url}{CoinMetrics.PREFIX}", IMPATIENT)


def fear_greed(url: str) -> FearGreed:
    return FearGreed("mood", settings("fear_greed"), f"{url}{FearGreed.PREFIX}", IMPATIENT)


def days(count: int, metrics: tuple[str, ...] = METRICS) -> OnChain:
    rng = np.random.default_rng(1)
    times = START_MS + DAY_MS * np.arange(count, dtype=np.int64)
    return OnChain(times, {name: rng.uniform(1, 1e9, count) for name in metrics})


def market(**kinds: object) -> SmallMarket:
    return SmallMarket({"BTCUSDT": walk(START_MS, 4), "ETHUSDT": walk(START_MS, 4)}, **kinds)  # type: ignore[arg-type]


def onchain(count: int, symbol: str = "BTCUSDT"):
    return wanted("onchain", START_MS, START_MS + count * DAY_MS, symbol)


def as_expected(found: pd.DataFrame, expected: OnChain) -> bool:
    """Say whether the frame holds the days bit by bit, flows netted."""
    flow = expected.value["FlowInExUSD"] - expected.value["FlowOutExUSD"]
    return (
        found["event_time_ms"].tolist() == expected.time_ms.tolist()
        and found["exchange_net_flow"].tolist() == flow.tolist()
        and all(
            found[ours].tolist() == expected.value[name].tolist() for ours, name in OURS.items()
        )
    )


def test_onchain_pages_past_the_limit_bit_by_bit():
    """More days than one page holds arrive once each, every metric as the venue holds it."""
    held = days(2 * PAGE_ROWS + 3)
    with served(market(days={"BTC": held}), START_MS + 9_999 * DAY_MS) as venue:
        pages = list(coinmetrics(venue.url).pages(onchain(9_999)))
        assert as_expected(pd.concat(pages, ignore_index=True), held)
        assert len(pages) == 3


@pytest.mark.parametrize("kind", ["drop", "http429", "http5xx", "truncate"])
def test_web_sources_survive_a_bad_day(kind: Kind):
    """Dropped connections, throttling, errors and half payloads cost time and not one number."""
    held = days(9)
    mood = points(START_MS, DAY_MS, [float(k) for k in range(9)])
    with served(market(days={"BTC": held}, mood=mood), START_MS + 99 * DAY_MS) as venue:
        for path in ("asset-metrics", "fng"):
            venue.faults.arm(Fault(kind, count=2, match=path, retry_after_s=0.0))
        assert as_expected(read(coinmetrics(venue.url), onchain(9)), held)
        asked = wanted("fear_greed", START_MS, START_MS + 9 * DAY_MS)
        assert read(fear_greed(venue.url), asked)["fear_greed"].tolist() == mood.value.tolist()
        assert venue.faults.report()["injected"][kind] == 4


def test_day_without_a_value_is_nan_and_an_asset_without_days_has_no_rows():
    """Net flow needs both flows; nothing is filled; ether has no days at all."""
    held = days(3)
    held.value["FlowInExUSD"][2] = np.nan
    held.value["CapMVRVCur"][1] = np.nan
    with served(market(days={"BTC": held}), START_MS + 9 * DAY_MS) as venue:
        found = read(coinmetrics(venue.url), onchain(9))
        none = read(coinmetrics(venue.url), onchain(9, "ETHUSDT"))
    assert found["exchange_net_flow"].isna().tolist() == [False, False, True]
    assert found["mvrv"].isna().tolist() == [False, True, False]
    assert len(none) == 0


def test_asset_that_is_not_covered_is_refused_at_once():
    """No retry makes a metric appear; the failure says what the source said."""
    with served(market(), START_MS) as venue, pytest.raises(TidegateError) as failure:
        read(coinmetrics(venue.url), onchain(1, "DOGEUSDT"))
    assert "HTTP 400" in str(str(failure.value))
    assert "doge" in str(str(failure.value))


def rows(*names: str, count: int = 2) -> list[dict[str, str]]:
    """Return days as the API writes them."""
    return [
        {
            "asset": "eth",
            "time": f"2025-12-0{day + 1}T00:00:00.000000000Z",
            **{name: str(10 * day + METRICS.index(name)) for name in names},
        }
        for day in range(count)
    ]


def test_metric_that_is_left_out_of_the_answer_is_nan():
    """Where the API answers without a metric that the asset lacks, the others count."""
    with Answering(lambda query: (200, {"data": rows("CapMVRVCur", "TxCnt")})) as api:
        found = read(coinmetrics(api.url), onchain(9, "ETHUSDT"))
    assert found["mvrv"].tolist() == [2.0, 12.0]
    assert found["transactions"].tolist() == [4.0, 14.0]
    assert found[["exchange_net_flow", "hash_rate", "fees"]].isna().all().all()


@pytest.mark.parametrize("status", [400, 403])
def test_metric_that_refuses_the_whole_answer_costs_only_itself(status: int):
    """An API that refuses them all for the sake of one is asked for each alone."""
    lacking = {"HashRate", "FlowOutExUSD"}

    def api(query: dict[str, str]) -> tuple[int, object]:
        names = query["metrics"].split(",")
        if lacking & set(names):
            return status, {"error": {"type": "bad_parameter", "message": "not supported"}}
        return 200, {"data": rows(*names, count=1 if names == ["TxCnt"] else 2)}

    with Answering(api) as served_api:
        found = read(coinmetrics(served_api.url), onchain(9, "ETHUSDT"))
    assert found["event_time_ms"].tolist() == [START_MS, START_MS + DAY_MS]
    assert found["mvrv"].tolist() == [2.0, 12.0]
    assert found["transactions"].tolist()[0] == 4.0
    assert np.isnan(found["transactions"][1])
    assert found[["exchange_net_flow", "hash_rate"]].isna().all().all()
    assert len(served_api.asked) == 1 + len(METRICS)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"data": None},
        {"data": ["row"]},
        {"data": [{"asset": "btc"}]},
        {"data": [{"time": "yesterday"}]},
        {"data": [{"time": "2025-12-01", "TxCnt": "many"}]},
    ],
)
def test_answer_of_another_shape_is_refused(answer: object):
    """An answer that is JSON and no data names what was found."""
    with Answering(lambda query: (200, answer)) as api, pytest.raises(TidegateError) as failure:
        read(coinmetrics(api.url), onchain(9))
    assert "found" in str(str(failure.value))


def test_page_that_leads_to_itself_is_refused():
    """A token that never changes would be read for ever."""
    answer = {"data": rows("TxCnt"), "next_page_token": "same"}
    with Answering(lambda query: (200, answer)) as api:
        with pytest.raises(TidegateError, match="page 'same' twice"):
            read(coinmetrics(api.url), onchain(9))
        assert len(api.asked) == 2


def test_fear_greed_comes_in_order_and_within_the_span():
    """The index, served latest first and as a whole, arrives ascending and cut to the window."""
    mood = points(START_MS, DAY_MS, [10.0, 20.0, 30.0, 40.0])
    with served(market(mood=mood), START_MS + 9 * DAY_MS) as venue:
        asked = wanted("fear_greed", START_MS + DAY_MS, START_MS + 3 * DAY_MS)
        found = read(fear_greed(venue.url), asked)
    assert found["fear_greed"].tolist() == [20.0, 30.0]
    assert found["event_time_ms"].tolist() == [START_MS + DAY_MS, START_MS + 2 * DAY_MS]


@pytest.mark.parametrize(
    "answer",
    [3, {"data": {}}, {"data": [{"value": "1"}]}, {"data": [{"value": "low", "timestamp": "1"}]}],
)
def test_fear_greed_of_another_shape_is_refused(answer: object):
    """As above."""
    with Answering(lambda query: (200, answer)) as api, pytest.raises(TidegateError):
        read(fear_greed(api.url), wanted("fear_greed", START_MS, START_MS + DAY_MS))


def csv(folder: Path) -> CoinMetricsCsv:
    return CoinMetricsCsv("cm", settings("coinmetrics_csv"), str(folder))


@pytest.mark.parametrize("name", ["btc.csv", "csv/btc.csv", "btc.csv.gz"])
def test_csv_layout_gives_the_same_as_the_api(tmp_path: Path, name: str):
    """The files of the same data arrive bit by bit the same as over the API."""
    held = days(40)
    frame = pd.DataFrame({"time": pd.to_datetime(held.time_ms, unit="ms").strftime("%Y-%m-%d")})
    for metric in ("TxCnt", "PriceUSD", *sorted(set(METRICS) - {"TxCnt"})):
        frame[metric] = held.value.get(metric, 1.0)
    text = frame.to_csv(index=False).encode()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    assert as_expected(read(csv(tmp_path), onchain(40)), held)


def test_csv_may_lack_metrics_values_and_assets(tmp_path: Path):
    """A column or a cell that is empty is NaN; an asset without a file has no rows."""
    (tmp_path / "eth.csv").write_text("time,TxCnt,CapMVRVCur\n2025-12-01,5,\n2025-12-02,,1.5\n")
    found = read(csv(tmp_path), onchain(9, "ETHUSDT"))
    assert found["mvrv"].isna().tolist() == [True, False]
    assert found["transactions"].isna().tolist() == [False, True]
    assert found["exchange_net_flow"].isna().all()
    assert len(read(csv(tmp_path), onchain(9))) == 0
    with pytest.raises(TidegateError, match="cm: found no folder"):
        read(csv(tmp_path / "nowhere"), onchain(9))
    (tmp_path / "btc.csv").write_text("date,TxCnt\n2025-12-01,5\n")
    with pytest.raises(TidegateError, match="the columns date, TxCnt, expected also time"):
        read(csv(tmp_path), onchain(9))
