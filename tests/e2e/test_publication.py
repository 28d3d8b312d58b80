"""From a retrain to a real runner and back, a bar of the venue after each step."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration.resources.runner_client import RunnerClient
from sensors.approval import approval_sensor
from sensors.swap import swap_sensor
from tests.installation import SYMBOL, Installation, partition
from tests.live_runner.stage import RunnerProcess, VenueProcess, venue

pytestmark = pytest.mark.e2e


class Runner(RunnerProcess):
    """A runner that looks for bundles and keys where the installation puts them."""

    def settings(self, port: int) -> dict[str, Any]:
        root = self.home.parent
        places = {"bundles_dir": root / "bundles", "public_keys_dir": root / "keys" / "public"}
        return super().settings(port) | {name: str(path) for name, path in places.items()}


@pytest.fixture
def market() -> Iterator[VenueProcess]:
    with venue(speed=1.0) as one:
        yield one


@pytest.fixture
def runner(copied: Installation, market: VenueProcess) -> Iterator[Runner]:
    one = Runner(copied.home / "runner", market.url)
    one.start()
    one.until_trading()
    yield one
    one.kill()


class Platform:
    """The code location's jobs and sensors on one instance, the cursor kept between ticks."""

    def __init__(self, home: Installation, instance: dg.DagsterInstance, runner: Runner) -> None:
        self.installation = home
        self.instance = instance
        self.cursor = ""
        token = runner.home / "admin.token"
        client = RunnerClient(url=runner.url, token_file=str(token), timeout_s=20.0)
        self.resources = home.resources | {"runner": client}

    def run(self, job: str, **config: str) -> None:
        found = self.installation.job(job)
        op = next(iter(found.nodes)).name
        found.execute_in_process(
            run_config={"ops": {op: {"config": config}}}, instance=self.instance
        )

    def retrain(self) -> None:
        self.installation.job("retrain_job").execute_in_process(
            partition_key=partition(), instance=self.instance
        )

    def approve(self) -> str:
        """Approve what is pending; return the digest of its bundle."""
        (request,) = self.installation.store.pending()
        self.run("approve_promotion_job", request_id=request.id, approver="Ada", note="read it")
        return request.bundle_digest

    def tick(self) -> str:
        """Let both sensors look once, run what they ask for; return what the swap sensor says."""
        names = ("promotion_store", "tracking")
        context = dg.build_sensor_context(
            self.instance, resources={name: self.resources[name] for name in names}
        )
        asked = approval_sensor(context)
        for request in getattr(asked, "run_requests", None) or []:
            self.installation.job("publish_promotion_job").execute_in_process(
                run_config=request.run_config, instance=self.instance
            )
        names = ("promotion_store", "runner", "notifier")
        swap = swap_sensor(
            dg.build_sensor_context(
                self.instance,
                cursor=self.cursor,
                resources={name: self.resources[name] for name in names},
            )
        )
        assert isinstance(swap, dg.SensorResult)
        self.cursor = str(swap.cursor)
        return str(swap.skip_reason)


def info(runner: Runner) -> tuple[str, int]:
    found = runner.get(f"/model/info?symbol={SYMBOL}")
    return found["digest"], found["epoch"]


def test_publications_and_a_rollback_reach_the_runner_without_a_missed_bar(
    copied: Installation, instance: dg.DagsterInstance, runner: Runner, market: VenueProcess
) -> None:
    """Two retrains are approved, published and swapped in; a rollback brings the first one back."""
    platform = Platform(copied, instance, runner)
    runner.next_bar(market)
    first = platform.approve()
    assert "confirmed" in platform.tick()
    assert info(runner) == (first, 1)
    runner.next_bar(market)
    platform.retrain()
    second = platform.approve()
    assert "confirmed" in platform.tick()
    assert info(runner) == (second, 2)
    runner.next_bar(market)
    platform.run("rollback_job", symbol=SYMBOL, actor="Ada", reason="worse than it looked")
    assert "confirmed" in platform.tick()
    assert info(runner) == (first, 3)
    for _ in range(4):
        runner.next_bar(market)
    summary = runner.get(f"/journal/summary?symbol={SYMBOL}")
    assert summary["missed"] == 0
    assert [swap["epoch"] for swap in summary["swaps"]] == [1, 2, 3]
    confirmed = [e.body["epoch"] for e in copied.store.entries() if e.kind == "swap_confirmed"]
    assert confirmed == [1, 2, 3]


def test_a_bundle_broken_after_publication_is_refused_and_told(
    copied: Installation, instance: dg.DagsterInstance, runner: Runner, market: VenueProcess
) -> None:
    """One byte flipped after the signature: the runner keeps its rules and says what it refused."""
    platform = Platform(copied, instance, runner)
    runner.next_bar(market)
    digest = platform.approve()
    (request,) = copied.store.requests()
    copied.store.publish(request.id, copied.resources["evidence"].derive, request.created_at_ms)
    graph: Path = copied.home / "bundles" / digest / "signal.onnx"
    content = bytearray(graph.read_bytes())
    content[100] ^= 1
    graph.write_bytes(content)
    assert "file_digest_mismatch" in platform.tick()
    assert info(runner) == ("", 0)
    assert copied.store.entries()[-1].kind == "swap_refused"
    told = Path(copied.resources["notifier"].path).read_text()
    assert "file_digest_mismatch" in told
