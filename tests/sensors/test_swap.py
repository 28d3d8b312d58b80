"""A publication moves the runner: asked once, confirmed, and told to people where it is refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from orchestration.resources.keys import admin_token
from orchestration.resources.notifier import Notifier
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.runner_client import RunnerClient
from research.promotion.records import PromotionRequest
from research.promotion.rules import Evidence
from sensors.swap import swap_sensor
from tests.kernel.bundle_maker import unsigned
from tests.sensors.runner import FakeRunner

A, B = "a" * 64, "b" * 64


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[FakeRunner]:
    fake = FakeRunner(admin_token(tmp_path / "keys"))
    yield fake
    fake.close()


@pytest.fixture
def store(tmp_path: Path) -> PromotionStore:
    return PromotionStore(home=str(tmp_path), approval_valid_hours=1)


def published(store: PromotionStore, digest: str, champion: str = "") -> None:
    """Put a bundle through request, approval and publication."""
    (Path(store.home) / "bundles" / digest).mkdir(parents=True, exist_ok=True)
    request = PromotionRequest("BTCUSDT", "15m", "2025-12-07", digest, "g", "d", 9, champion, 10)
    store.submit(request, 10)
    store.decide(request.id, "approved", "Ada", "", 20)
    store.publish(request.id, lambda _: Evidence(digest, "g", True, "d"), 30)


def tick(store: PromotionStore, url: str, cursor: str | None = None) -> dg.SensorResult:
    """Evaluate the sensor once against the runner at `url`."""
    home = Path(store.home)
    context = dg.build_sensor_context(
        cursor=cursor,
        resources={
            "promotion_store": store,
            "runner": RunnerClient(
                url=url, token_file=str(home / "keys" / "admin.token"), timeout_s=5.0
            ),
            "notifier": Notifier(path=str(home / "notifications.jsonl")),
        },
    )
    result = swap_sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def notifications(store: PromotionStore) -> list[dict[str, object]]:
    path = Path(store.home) / "notifications.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def swaps(store: PromotionStore) -> list[tuple[str, int]]:
    return [(e.kind, e.body["epoch"]) for e in store.entries() if e.kind.startswith("swap_")]


def test_swap_sensor_moves_the_runner_and_confirms_what_it_runs(
    store: PromotionStore, runner: FakeRunner
) -> None:
    """A runner that is behind is asked once; later ticks find it up to date and ask nothing."""
    published(store, A)
    first = tick(store, runner.url)
    second = tick(store, runner.url, first.cursor)
    assert runner.asked == [{"symbol": "BTCUSDT", "digest": A, "epoch": 1}]
    assert "confirmed" in str(second.skip_reason)
    assert swaps(store) == [("swap_confirmed", 1)]


def test_swap_sensor_follows_each_publication(store: PromotionStore, runner: FakeRunner) -> None:
    """The next epoch moves the runner again, and so does a rollback."""
    first = unsigned(Path(store.home) / "bundles", "first")
    published(store, first)
    cursor = tick(store, runner.url).cursor
    published(store, B, champion=first)
    cursor = tick(store, runner.url, cursor).cursor
    store.roll_back("BTCUSDT", "Ada", "drawdown", 40)
    tick(store, runner.url, cursor)
    assert [order["epoch"] for order in runner.asked] == [1, 2, 3]
    assert runner.digests == {"BTCUSDT": first}
    assert swaps(store) == [("swap_confirmed", 1), ("swap_confirmed", 2), ("swap_confirmed", 3)]


def test_swap_sensor_rests_after_a_refusal_and_tells_it_once(
    store: PromotionStore, runner: FakeRunner
) -> None:
    """A runner that refuses keeps what it has; people hear the rule once, not at every tick."""
    runner.refuses = "golden_mismatch"
    published(store, A)
    cursor = tick(store, runner.url).cursor
    tick(store, runner.url, cursor)
    assert len(runner.asked) == 1
    assert swaps(store) == [("swap_refused", 1)]
    assert [one["kind"] for one in notifications(store)] == ["swap_refused"]
    assert "golden_mismatch" in str(notifications(store)[0]["detail"])


def test_swap_sensor_names_a_runner_that_runs_something_else(
    store: PromotionStore, runner: FakeRunner
) -> None:
    """An equal epoch with another bundle, as after a rollback by hand, is told and not fought."""
    published(store, A)
    runner.epochs, runner.digests = {"BTCUSDT": 1}, {"BTCUSDT": B}
    result = tick(store, runner.url)
    assert runner.asked == []
    assert B in str(result.skip_reason)


def test_swap_sensor_waits_for_a_runner_that_is_down(
    store: PromotionStore, runner: FakeRunner
) -> None:
    """A dead runner fails no tick; once it answers, it is moved."""
    published(store, A)
    down = tick(store, "http://127.0.0.1:9")
    assert "unreachable" in str(down.skip_reason)
    assert swaps(store) == []
    tick(store, runner.url, down.cursor)
    assert swaps(store) == [("swap_confirmed", 1)]


def test_swap_sensor_names_a_token_that_the_runner_does_not_take(
    store: PromotionStore, runner: FakeRunner
) -> None:
    """A foreign admin token moves nothing and is told as the runner told it."""
    published(store, A)
    runner.token = "another"
    result = tick(store, runner.url)
    assert "401" in str(result.skip_reason)
    assert runner.digests == {}


def test_swap_sensor_does_nothing_before_the_first_publication(
    store: PromotionStore, runner: FakeRunner
) -> None:
    """Nothing published, nothing asked."""
    assert "nothing is published" in str(tick(store, runner.url).skip_reason)
    assert runner.asked == []
