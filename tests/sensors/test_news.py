"""Whoever has to decide is told that something waits, and what became of it, each once."""

import json
from pathlib import Path

import dagster as dg
import pytest

from orchestration.resources.notifier import Notifier
from orchestration.resources.promotion_store import PromotionStore
from research.promotion.rules import PublicationRefusedError
from sensors.news import promotion_news_sensor
from tests.orchestration.resources.test_promotion_store import (
    HOUR_MS,
    A,
    B,
    request_for,
    unchanged,
)


@pytest.fixture
def store(tmp_path: Path) -> PromotionStore:
    for digest in (A, B):
        (tmp_path / "bundles" / digest).mkdir(parents=True)
    return PromotionStore(home=str(tmp_path), approval_valid_hours=1)


@pytest.fixture
def notifier(tmp_path: Path) -> Notifier:
    return Notifier(path=str(tmp_path / "notifications.jsonl"))


def tick(store: PromotionStore, notifier: Notifier, cursor: str | None = None) -> str | None:
    """Let the sensor look once; return where it stands."""
    context = dg.build_sensor_context(
        cursor=cursor, resources={"promotion_store": store, "notifier": notifier}
    )
    result = promotion_news_sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result.cursor


def told(notifier: Notifier) -> list[tuple[str, str, str]]:
    path = Path(notifier.path)
    lines = path.read_text().splitlines() if path.exists() else []
    records = [json.loads(line) for line in lines]
    return [(one["kind"], one["subject"], one["detail"]) for one in records]


def test_every_step_of_a_promotion_is_told_once(store: PromotionStore, notifier: Notifier) -> None:
    """A request with the command that approves it, the decision, and the publication."""
    request = store.submit(request_for(A), 10)
    cursor = tick(store, notifier)
    store.decide(request.id, "approved", "Ada", "looks right", 20)
    store.publish(request.id, unchanged, 30)
    cursor = tick(store, notifier, cursor)
    assert tick(store, notifier, cursor) == cursor
    waits = f'waits for approval: tidegate approve {request.id} --as "<your name>"'
    assert told(notifier) == [
        ("requested", "BTCUSDT 2025-12-07", waits),
        ("approved", "BTCUSDT 2025-12-07", "approved by Ada: looks right"),
        ("published", "BTCUSDT 2025-12-07", f"bundle {A[:12]} is published as epoch 1"),
    ]


def test_a_publication_that_is_refused_names_its_rule(
    store: PromotionStore, notifier: Notifier
) -> None:
    """Nobody waits for a model that will not come."""
    request = store.submit(request_for(A), 10)
    store.decide(request.id, "approved", "Ada", "", 20)
    with pytest.raises(PublicationRefusedError):
        store.publish(request.id, unchanged, 20 + HOUR_MS)
    tick(store, notifier)
    kind, subject, detail = told(notifier)[-1]
    assert (kind, subject) == ("publish_refused", "BTCUSDT 2025-12-07")
    assert detail.startswith("not published: expired")


def test_a_lost_cursor_tells_nothing_again(store: PromotionStore, notifier: Notifier) -> None:
    """The last notification says until when everything was told."""
    store.submit(request_for(A), 10)
    tick(store, notifier)
    before = told(notifier)
    tick(store, notifier, cursor=None)
    assert told(notifier) == before
