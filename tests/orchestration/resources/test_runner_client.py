"""The runner's admin side: one question, at most one order, and what it says of itself after."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.resources.keys import admin_token
from orchestration.resources.runner_client import RunnerClient, RunnerUnreachableError, Running
from tests.sensors.runner import FakeRunner

HEAD = {"symbol": "BTCUSDT", "digest": "a" * 64, "epoch": 3}


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[FakeRunner]:
    fake = FakeRunner(admin_token(tmp_path))
    yield fake
    fake.close()


@pytest.fixture
def client(runner: FakeRunner, tmp_path: Path) -> RunnerClient:
    return RunnerClient(url=runner.url, token_file=str(tmp_path / "admin.token"), timeout_s=5.0)


def test_running_is_rules_before_the_first_swap(client: RunnerClient) -> None:
    """A fresh runner trades by its rules: no digest, epoch 0."""
    assert client.running("BTCUSDT") == Running("", 0)


def test_settle_orders_a_swap_and_confirms_it(client: RunnerClient, runner: FakeRunner) -> None:
    """The answer that counts is what the runner says it runs afterwards."""
    settled = client.settle(HEAD)
    assert (settled.outcome, settled.epoch) == ("confirmed", 3)
    assert client.running("BTCUSDT") == Running("a" * 64, 3)
    assert client.settle(HEAD).outcome == "confirmed"
    assert len(runner.asked) == 1


def test_settle_reports_a_refusal_with_what_was_found_and_expected(
    client: RunnerClient, runner: FakeRunner
) -> None:
    """The rule that the runner named comes through."""
    runner.refuses = "foreign_key"
    settled = client.settle(HEAD)
    assert settled.outcome == "refused"
    assert settled.detail == "foreign_key: found this, expected that"


def test_an_order_that_the_runner_carried_out_meanwhile_is_confirmed(
    client: RunnerClient, runner: FakeRunner
) -> None:
    """A first order timed out here and went on there; the second is stale, and nothing is wrong."""
    runner.refuses = "stale_epoch"
    runner.meanwhile = HEAD
    assert client.settle(HEAD).outcome == "confirmed"


def test_settle_never_moves_a_runner_backwards(client: RunnerClient, runner: FakeRunner) -> None:
    """A runner that is ahead, as after another platform's order, is left alone and told."""
    runner.epochs = {"BTCUSDT": 4}
    runner.digests = {"BTCUSDT": "b" * 64}
    settled = client.settle(HEAD)
    assert (settled.outcome, runner.asked) == ("refused", [])
    assert "epoch 4" in settled.detail


def test_a_runner_that_is_down_is_named(tmp_path: Path) -> None:
    """The error names the address and the call."""
    client = RunnerClient(url="http://127.0.0.1:9", token_file=str(tmp_path / "t"), timeout_s=1.0)
    with pytest.raises(RunnerUnreachableError, match=r"127\.0\.0\.1:9.*GET /model/info"):
        client.running("BTCUSDT")
    assert client.settle(HEAD).outcome == "unreachable"
