"""The runner process from outside: HTTP, tokens, limits, imports, signals."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from kernel.features.engine import compute
from tests.hung import HUNG_S
from tests.live_runner.bundles import FEW, Publisher, write_bundle
from tests.live_runner.stage import (
    BAR_MS,
    ROOT,
    START_MS,
    SYMBOLS,
    UNHURRIED_SPEED,
    RunnerProcess,
    VenueProcess,
    call,
    free_port,
    market_observations,
    runner,
    until,
    venue,
)

NEVER = (
    *("dagster", "pandas", "mlflow", "sklearn", "torch", "numba", "onnx", "scipy", "polars"),
    *("duckdb", "ccxt", "xgboost", "lightgbm", "matplotlib", "research", "orchestration", "assets"),
)
OPEN = [
    "/ready",
    "/health",
    "/model/info",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/",
    "/cards",
    "/page.css",
    "/page.js",
    "/favicon.svg",
    "/journal/summary?symbol=BTCUSDT",
]
ADMIN = {
    "/admin/swap": {"symbol": "BTCUSDT", "digest": "0" * 64, "epoch": 1},
    "/admin/rollback": {"symbol": "BTCUSDT"},
    "/admin/kill": {},
    "/admin/resume": {},
}


@pytest.fixture(scope="module")
def market() -> Iterator[VenueProcess]:
    """Run a venue whose bars close when a test says so, and one in fifteen seconds by itself."""
    with venue(speed=UNHURRIED_SPEED) as one:
        yield one


@pytest.fixture(scope="module")
def live(market: VenueProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunnerProcess]:
    """Run a runner that has decided two bars."""
    with runner(tmp_path_factory.mktemp("runner"), market.url) as one:
        one.until_trading()
        one.next_bar(market)
        one.next_bar(market)
        yield one


def test_views_answer_without_a_token(live: RunnerProcess) -> None:
    """Everything that only looks is open."""
    assert {path: call(live.url + path)[0] for path in OPEN} == dict.fromkeys(OPEN, 200)


def test_page_shows_both_symbols_and_asks_again(live: RunnerProcess) -> None:
    """The document loads its script, which asks for the cards: they name the symbols and draw."""
    assert "src='page.js'" in call(f"{live.url}/")[1]
    assert 'fetch("cards")' in call(f"{live.url}/page.js")[1]
    page = call(f"{live.url}/cards")[1]
    for part in ("BTCUSDT", "ETHUSDT", "<svg", "rules, no bundle", "by the market&#39;s clock"):
        assert part in page


def test_docs_let_an_admin_authorize_and_tell_of_the_socket(live: RunnerProcess) -> None:
    """The verbs are marked as behind the token; what only looks is not."""
    schema = live.get("/openapi.json")
    assert schema["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    guarded = {
        path
        for path, verbs in schema["paths"].items()
        for one in verbs.values()
        if "security" in one
    }
    assert guarded == set(ADMIN)
    assert "/ws/signal" in schema["info"]["description"]


@pytest.mark.parametrize("path", ADMIN)
@pytest.mark.parametrize("token", [None, "", "Bearer ", "Bearer wrong", "Basic abc", "Bearer é"])
def test_admin_verbs_refuse_without_the_token(
    live: RunnerProcess, path: str, token: str | None
) -> None:
    """No token, a wrong one and a wrong scheme are all 401 and change nothing."""
    headers = {} if token is None else {"Authorization": token.encode().decode("latin-1")}
    assert call(live.url + path, ADMIN[path], headers)[0] == 401
    assert live.get("/health")["killed"] is False


def test_admin_verbs_are_shut_when_the_token_can_be_read_by_others(live: RunnerProcess) -> None:
    """A token file with loose permissions opens nothing, not even for its bearer."""
    token = live.home / "admin.token"
    token.chmod(0o644)
    assert live.admin("/admin/kill")[0] == 503
    token.chmod(0o600)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/predict", {"symbol": "DOGEUSDT"}, 404),
        ("/predict", {"symbol": "BTCUSDT", "features": [1.0]}, 409),
        ("/predict/batch", {"symbol": "BTCUSDT", "rows": []}, 422),
        ("/predict", b"{", 422),
    ],
)
def test_bad_requests_are_named(live: RunnerProcess, path: str, body: object, status: int) -> None:
    """Unknown symbols, wrong shapes and broken bodies each get their own status."""
    assert call(live.url + path, body)[0] == status


def test_body_announced_above_the_limit_is_refused_before_it_is_sent(live: RunnerProcess) -> None:
    """The length in the header is enough: nothing of the body has to come."""
    host, port = live.url.removeprefix("http://").split(":")
    link = http.client.HTTPConnection(host, int(port), timeout=HUNG_S)
    link.putrequest("POST", "/predict")
    link.putheader("content-type", "application/json")
    link.putheader("content-length", str(2**20 + 1))
    link.endheaders()
    assert link.getresponse().status == 413
    link.close()


def test_chunked_body_above_the_limit_is_refused(live: RunnerProcess) -> None:
    """A body that does not announce its size is counted while it comes in."""
    host, port = live.url.removeprefix("http://").split(":")
    link = http.client.HTTPConnection(host, int(port), timeout=HUNG_S)
    chunks = iter([b"x" * 65_536] * 17)  # the last is one too many
    link.request(
        "POST", "/predict", chunks, {"content-type": "application/json"}, encode_chunked=True
    )
    assert link.getresponse().status == 413
    link.close()


def test_swap_over_http_is_signed_traced_and_used(live: RunnerProcess) -> None:
    """A published bundle goes in by HTTP, answers predictions and shows in info and journal."""
    cut_ms = START_MS - 10 * BAR_MS
    observations = market_observations("BTCUSDT", cut_ms - 1_400 * BAR_MS, cut_ms)
    folder = write_bundle(
        live.home / "bundles",
        "BTCUSDT",
        seed=3,
        state=compute(observations)[1],
        state_open_ms=cut_ms - BAR_MS,
        features=FEW,
    )
    Publisher.make(live.home / "keys").publish(folder, "BTCUSDT", 1)
    order = {"symbol": "BTCUSDT", "digest": folder.name, "epoch": 1}
    status, answer = live.admin("/admin/swap", order)
    assert (status, answer["outcome"], answer["previous"]) == (200, "swapped", "")
    info = live.get("/model/info?symbol=BTCUSDT")
    assert (info["digest"], info["epoch"], info["features"]) == (folder.name, 1, list(FEW))
    row = [0.1, None, 55.0, 1.0, 0.2, 0.0]
    status, view = call(f"{live.url}/predict", {"symbol": "BTCUSDT", "features": row})
    assert status == 200
    assert sum(view["probabilities"].values()) == pytest.approx(1.0, abs=1e-6)
    assert {name: len(votes) for name, votes in view["votes"].items()} == {
        "one": 3,
        "two": 3,
        "three": 3,
    }
    assert view["abstain"] == "none"
    batch = call(f"{live.url}/predict/batch", {"symbol": "BTCUSDT", "rows": [row, row]})[1]
    assert [one["probabilities"] for one in batch] == [view["probabilities"]] * 2
    again = live.admin("/admin/swap", order)
    assert (again[0], again[1]["reason"]) == (409, "stale_epoch")
    missing = live.admin("/admin/swap", {**order, "digest": "f" * 64})
    assert (missing[0], missing[1]["reason"]) == (409, "missing_file")
    summary = live.get("/journal/summary?symbol=BTCUSDT")
    assert summary["swaps"][-1]["digest"] == folder.name
    assert [one["digest"] for one in summary["refusals"]] == [folder.name, "f" * 64]
    back = live.admin("/admin/rollback", {"symbol": "BTCUSDT"})
    assert (back[0], back[1]["outcome"], back[1]["digest"]) == (200, "rolled_back", "")


def test_digest_that_is_a_path_is_refused(live: RunnerProcess) -> None:
    """A digest is 64 hex characters and nothing that could leave the bundles' folder."""
    order = {"symbol": "BTCUSDT", "digest": "../../etc", "epoch": 1}
    assert live.admin("/admin/swap", order)[0] == 422


def test_kill_switch_bars_entries_until_resumed(live: RunnerProcess, market: VenueProcess) -> None:
    """Killed, bars are still decided, each with the reason why it may not trade."""
    assert live.admin("/admin/kill")[0] == 200
    status, health = call(f"{live.url}/health")
    assert (status, health["status"], health["killed"]) == (503, "halted", True)
    assert {one["abstain"] for one in health["symbols"].values()} == {"killed"}
    with connect(live.url.replace("http", "ws") + "/ws/signal") as socket:
        for _ in range(2):  # one may close before the socket listens
            live.next_bar(market)
        heard = [json.loads(socket.recv(timeout=HUNG_S)) for _ in SYMBOLS]
    assert live.admin("/admin/resume")[0] == 200
    assert call(f"{live.url}/health")[0] == 200
    live.next_bar(market)
    assert {one["reason"] for one in heard} == {"kill switch is on"}
    assert {one["order"] for one in heard} == {0.0}


def test_health_is_documented_with_its_shape(live: RunnerProcess) -> None:
    """What a reader of /docs sees is what comes, and every field of it."""
    answer = live.get("/health")
    assert set(answer) == {"status", "killed", "market_now_ms", "symbols"}
    schemas = live.get("/openapi.json")["components"]["schemas"]
    for one in answer["symbols"].values():
        assert set(one) == set(schemas["SymbolCondition"]["properties"])
        assert (one["status"], one["abstain"], one["stale"]) == ("trading", "none", {})
        assert one["reason"] == "no bundle: rules decide"
        assert one["last_bar_open_ms"] % BAR_MS == 0
        assert one["last_bar_age_s"] >= 0.0


def test_a_runner_without_a_venue_is_ready_but_halted(tmp_path: Path) -> None:
    """It answers, says that it still starts, and nobody takes it for well."""
    with runner(tmp_path, f"http://127.0.0.1:{free_port()}") as one:
        assert one.get("/ready") == {"ready": True}
        status, health = call(f"{one.url}/health")
        assert (status, health["status"]) == (503, "halted")
        assert {told["status"] for told in health["symbols"].values()} == {"starting"}


def test_metrics_count_what_the_journal_counts(live: RunnerProcess) -> None:
    """Prometheus' counter of decided bars follows the journal's."""

    def counted() -> int:
        lines = call(f"{live.url}/metrics")[1].splitlines()
        names = 'tidegate_bars_decided_total{by="rules",symbol="ETHUSDT"} '
        return int(float(next(line for line in lines if line.startswith(names)).split()[-1]))

    until(lambda: counted() == live.decided("ETHUSDT"), "the counter to meet the journal")


def test_process_loads_only_what_it_needs() -> None:
    """A fresh interpreter that imports the whole runner loads none of the heavy libraries."""
    code = (
        "import sys, live_runner.__main__; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "onnxruntime" in loaded
    assert loaded & set(NEVER) == set()


def test_bad_settings_end_the_process_with_a_named_reason(tmp_path: Path) -> None:
    """An unknown key is an error that names file, key and what was expected."""
    config = tmp_path / "runner.yaml"
    config.write_text("hots: 127.0.0.1\n")
    done = subprocess.run(
        [sys.executable, "-m", "live_runner", "--config", str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "unknown key hots" in done.stderr
    assert "Traceback" not in done.stderr
