"""Every REST fault over a real server: what a client sees, on every service, counted exactly."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.replay_venue.served import Served, at, clockwork

START = at("2025-03-31")
CANDLES: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "15m", "startTime": START, "limit": 50}
ENDPOINTS: dict[str, dict[str, Any]] = {
    "/fapi/v1/klines": CANDLES,
    "/fapi/v1/fundingRate": {"symbol": "BTCUSDT", "startTime": START},
    "/futures/data/openInterestHist": {"symbol": "BTCUSDT", "period": "15m", "startTime": START},
    "/fapi/v1/aggTrades": {"symbol": "BTCUSDT"},
    "/fapi/v1/exchangeInfo": {},
    "/coinmetrics/v4/timeseries/asset-metrics": {"assets": "btc", "metrics": "CapMVRVCur"},
    "/alternative/fng/": {"limit": 0},
    "/coinbase/api/v3/brokerage/market/products/BTC-USDT/candles": {
        "granularity": "FIFTEEN_MINUTE",
        "start": START // 1_000,
        "end": START // 1_000 + 90_000,
    },
    "/hyperliquid/info": {"type": "fundingHistory", "coin": "BTC", "startTime": START},
}


@pytest.fixture(autouse=True)
def _quiet(standing: Served) -> Iterator[None]:
    yield
    standing.http.delete("/control/faults").raise_for_status()


def ask(served: Served, path: str) -> httpx.Response:
    """Return the answer of an endpoint: Hyperliquid's is a POST."""
    if path.startswith("/hyperliquid"):
        return served.http.post(path, json=ENDPOINTS[path])
    return served.http.get(path, params=ENDPOINTS[path])


def injected(served: Served) -> dict[str, int]:
    return served.get("/control/faults")["injected"]


def rows(body: Any) -> list[Any]:
    """Return the rows of an answer."""
    return body if isinstance(body, list) else max(body.values(), key=_length)


def _length(value: object) -> int:
    return len(value) if isinstance(value, list) else -1


@pytest.mark.parametrize("path", sorted(ENDPOINTS))
@pytest.mark.parametrize(("kind", "status"), [("http418", 418), ("http429", 429), ("http5xx", 503)])
def test_refusals_carry_status_and_pause(
    standing: Served, path: str, kind: str, status: int
) -> None:
    """A refusal has its status, and Retry-After where the exchange gives one; then all is well."""
    before = injected(standing)[kind]
    standing.control("faults", kind=kind, count=1, match=path, retry_after_s=0.05)
    answer = ask(standing, path)
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == (None if kind == "http5xx" else "1")
    time.sleep(0.05)  # the ban's length
    assert ask(standing, path).status_code == 200
    assert injected(standing)[kind] == before + 1


@pytest.mark.parametrize("path", sorted(set(ENDPOINTS) - {"/fapi/v1/exchangeInfo"}))
@pytest.mark.parametrize("kind", ["duplicate_rows", "reorder_rows", "skip_rows", "garbage_rows"])
def test_rows_are_spoiled_in_an_answer_of_200(standing: Served, path: str, kind: str) -> None:
    """Two rows of a sound answer are hit on every endpoint; the next answer is whole again."""
    whole = rows(ask(standing, path).json())
    before = injected(standing)[kind]
    standing.control("faults", kind=kind, count=1, match=path, rows=2)
    answer = ask(standing, path)
    assert answer.status_code == 200
    found = rows(answer.json())
    assert found != whole
    more = {"duplicate_rows": 2, "skip_rows": -2}.get(kind, 0)
    assert len(found) == max(len(whole) + more, 0)
    assert rows(ask(standing, path).json()) == whole
    assert injected(standing)[kind] == before + 1


@pytest.mark.parametrize("path", sorted(ENDPOINTS))
def test_broken_answers_come_from_every_endpoint(standing: Served, path: str) -> None:
    """A drop breaks the connection, half a body is no JSON."""
    standing.control("faults", kind="drop", count=1, match=path)
    with pytest.raises(httpx.RemoteProtocolError):
        ask(standing, path)
    whole = ask(standing, path)
    standing.control("faults", kind="truncate", count=1, match=path)
    half = ask(standing, path)
    assert half.content == whole.content[: len(whole.content) // 2]
    assert ask(standing, path).content == whole.content


def test_a_ban_holds_for_one_service_until_it_is_lifted(standing: Served) -> None:
    """Banned from the exchange on one path is banned on all of them; other services answer."""
    standing.control("faults", kind="http418", count=1, match="klines", retry_after_s=600)
    assert ask(standing, "/fapi/v1/klines").status_code == 418
    again = standing.http.get("/fapi/v1/ping")
    assert (again.status_code, again.headers["retry-after"]) == (418, "600")
    assert ask(standing, "/alternative/fng/").status_code == 200
    assert standing.get("/control/faults")["banned_s"]["binance"] > 590
    standing.http.delete("/control/faults").raise_for_status()
    assert standing.http.get("/fapi/v1/ping").status_code == 200


def test_a_body_drips_in_pieces(standing: Served) -> None:
    """A dripping body is whole in the end, and took as long as ordered; its head came before."""
    whole = ask(standing, "/fapi/v1/klines").content
    standing.control("faults", kind="drip", count=1, match="klines", delay_ms=300)
    began = time.monotonic()
    with standing.http.stream("GET", "/fapi/v1/klines", params=CANDLES) as answer:
        head_s = time.monotonic() - began
        pieces = list(answer.iter_raw())
    assert b"".join(pieces) == whole
    assert len(pieces) > 5
    assert time.monotonic() - began > max(0.25, head_s)


def test_row_faults_wait_for_an_answer_with_rows(standing: Served) -> None:
    """An answer without rows neither suffers nor uses up a fault."""
    before = injected(standing)["skip_rows"]
    standing.control("faults", kind="skip_rows", count=1)
    assert standing.get("/fapi/v1/ping") == {}
    assert standing.http.get("/fapi/v1/klines", params={"symbol": "NOPE"}).status_code == 400
    assert injected(standing)["skip_rows"] == before
    assert len(ask(standing, "/fapi/v1/klines").json()) == 49


def test_a_post_is_matched_by_its_type(standing: Served) -> None:
    """Hyperliquid has one path; what is asked for tells its answers apart."""
    standing.control("faults", kind="http5xx", count=1, match="info/candleSnapshot")
    assert ask(standing, "/hyperliquid/info").status_code == 200
    wanted = {"coin": "BTC", "interval": "15m", "startTime": START, "endTime": START}
    order = {"type": "candleSnapshot", "req": wanted}
    assert standing.http.post("/hyperliquid/info", json=order).status_code == 503
    assert standing.http.post("/hyperliquid/info", json=order).status_code == 200


def test_the_same_seed_and_requests_meet_the_same_faults() -> None:
    """Two venues with one seed answer one sequence of requests alike, faults and all."""
    answers: list[list[bytes | int]] = []
    for _ in range(2):
        with clockwork("2025-04-10", history="2025-03-31") as served:
            for kind in ("skip_rows", "garbage_rows", "http429"):
                served.control("faults", kind=kind, rate=0.4, rows=3)
            found = [ask(served, path) for path in sorted(ENDPOINTS) * 3]
            answers.append([answer.content for answer in found])
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("/fapi/v1/time", lambda body: body["serverTime"]),
        ("/fapi/v1/exchangeInfo", lambda body: body["serverTime"]),
        ("/coinbase/v2/time", lambda body: body["data"]["epoch"] * 1_000),
    ],
)
def test_a_skewed_clock_is_stated_and_its_market_is_not(standing: Served, path: str, read) -> None:
    """The stated time is off; what is served is as it was, until the faults are cleared."""
    candles = ask(standing, "/fapi/v1/klines").json()
    true = read(standing.get(path))
    standing.control("faults", kind="skew", skew_ms=-3_600_000)
    assert read(standing.get(path)) == true - 3_600_000
    assert standing.get("/control/faults")["skew"]["offset_ms"] == -3_600_000
    assert ask(standing, "/fapi/v1/klines").json() == candles
    standing.http.delete("/control/faults").raise_for_status()
    assert read(standing.get(path)) == true


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "skew", "count": 1},
        {"kind": "skew", "skew_ms": 10**12},
        {"kind": "drop", "count": 1, "skew_ms": 5},
        {"kind": "http418", "count": 1, "retry_after_s": -1},
    ],
)
def test_faults_refuse_what_makes_no_sense(standing: Served, body: dict[str, Any]) -> None:
    """A wrong order is HTTP 422 and arms nothing."""
    assert standing.http.post("/control/faults", json=body).status_code == 422
    report = standing.get("/control/faults")
    assert (report["armed"], report["skew"]["offset_ms"]) == ([], 0)
