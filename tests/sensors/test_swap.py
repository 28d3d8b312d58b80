"""A publication moves the runner: asked once, confirmed, and told to people where it is refused."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from orchestration.resources.keys import admin_token
from orchestration.resources.notifier import Notifier
from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.runner_client import RunnerClient
from research.promotion.records import PromotionRequest
from research.promotion.rules import FoundEvidence
from sensors.swap import RETRY_MS, swap_sensor
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


def published(
    store: PromotionStore, digest: str, champion: str = "", symbol: str = "BTCUSDT"
) -> None:
    """Put a bundle through request, approval and publication."""
    (Path(store.home) / "bundles" / digest).mkdir(parents=True, exist_ok=True)
    request = PromotionRequest(
        symbol=symbol,
        timeframe="15m",
        week="2025-12-07",
        bundle_digest=digest,
        gate_report_digest="g",
        data_digest="d",
        as_of_ms=9,
        champion_digest=champion,
        created_at_ms=10,
    )
    store.submit(request, 10)
    store.decide(request.id, "approved", "Ada", "", 20)
    store.publish(request.id, lambda _: FoundEvidence(digest, "g", True, "d"), 30)


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


def a_minute_later(cursor: str | None) -> str:
    """Return a sensor's cursor as it is when its refusals are a minute old."""
    told = json.loads(cursor or "{}")
    for one in told.values():
        one["at_ms"] -= RETRY_MS
    return json.dumps(told)


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


def test_swap_sensor_has_a_lost_bundle_taken_up_again(
    store: PromotionStore, runner: FakeRunner
) -> None:
    """A runner whose start could not read the champion is asked for the same epoch, every minute
    until it takes it; people hear once that it refuses, and the log that it is back.
    """
    published(store, A)
    cursor = tick(store, runner.url).cursor
    runner.digests = {}
    runner.lost = {"BTCUSDT": "missing_file"}
    runner.refuses = "missing_file"
    cursor = tick(store, runner.url, cursor).cursor
    assert [one["kind"] for one in notifications(store)] == ["swap_refused"]
    cursor = tick(store, runner.url, cursor).cursor
    assert len(runner.asked) == 2, "asked again within a minute"
    runner.refuses = ""
    tick(store, runner.url, a_minute_later(cursor))
    assert runner.digests == {"BTCUSDT": A}
    assert swaps(store) == [("swap_confirmed", 1), ("swap_refused", 1), ("swap_confirmed", 1)]


def test_swap_sensor_waits_for_a_runner_that_starts(
    store: PromotionStore, runner: FakeRunner
) -> None:
    """While a runner reads its history it runs nothing, which is no refusal and alarms nobody."""
    published(store, A)
    cursor = tick(store, runner.url).cursor
    runner.starting = True
    runner.digests = {}
    cursor = tick(store, runner.url, cursor).cursor
    runner.starting = False
    runner.digests = {"BTCUSDT": A}
    tick(store, runner.url, cursor)
    assert swaps(store) == [("swap_confirmed", 1)]
    assert notifications(store) == []


def test_swap_sensor_moves_one_symbol_while_the_bundle_of_another_is_away(
    store: PromotionStore, runner: FakeRunner
) -> None:
    """A folder that cannot be read holds up its own symbol and no other."""
    published(store, A)
    published(store, B, symbol="ETHUSDT")
    shutil.rmtree(Path(store.home) / "bundles" / A)
    tick(store, runner.url)
    assert runner.digests["ETHUSDT"] == B


def test_swap_sensor_says_once_that_a_champion_is_watched_by_nobody(
    store: PromotionStore, runner: FakeRunner
) -> None:
    """A symbol that was taken out of the universe keeps its champion, and people hear of it."""
    published(store, A)
    published(store, B, symbol="ETHUSDT")
    runner.unwatched = frozenset({"ETHUSDT"})
    cursor = tick(store, runner.url).cursor
    tick(store, runner.url, cursor)
    assert runner.digests == {"BTCUSDT": A}
    assert [one["kind"] for one in notifications(store)] == ["swap_unwatched"]
    assert "universe.yaml" in str(notifications(store)[0]["detail"])


def test_swap_sensor_names_a_token_that_cannot_be_read(
    store: PromotionStore, runner: FakeRunner
) -> None:
    """Keys that are away for a moment fail no tick; once they are back, the runner is moved."""
    published(store, A)
    token = Path(store.home) / "keys" / "admin.token"
    token.rename(token.with_name("away"))
    down = tick(store, runner.url)
    assert "admin token" in str(down.skip_reason)
    token.with_name("away").rename(token)
    tick(store, runner.url, down.cursor)
    assert swaps(store) == [("swap_confirmed", 1)]


def test_swap_sensor_moves_the_runner_without_a_signing_key(
    store: PromotionStore, runner: FakeRunner
) -> None:
    """What is published reaches the runner; the log hears of it when there is a key again."""
    published(store, A)
    private = Path(store.home) / "keys" / "signing.key"
    private.rename(private.with_name("away"))
    cursor = tick(store, runner.url).cursor
    assert runner.digests == {"BTCUSDT": A}
    assert swaps(store) == []
    private.with_name("away").rename(private)
    tick(store, runner.url, cursor)
    assert swaps(store) == [("swap_confirmed", 1)]


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
