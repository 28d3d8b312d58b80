"""MLflow follows the audit log: in portions, and never back through what was overtaken."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestration.resources.promotion_store import PromotionStore
from orchestration.resources.registry import follow
from research.promotion.records import PromotionRequest
from research.promotion.rules import FoundEvidence


@dataclass
class Told:
    """A registry by hand: what it is told, in order."""

    said: list[tuple[str, str]] = field(default_factory=list)

    def crown(self, model: str, bundle_digest: str, epoch: int) -> str:
        self.said.append((bundle_digest[0], f"champion {epoch}"))
        return ""

    def set_state(self, model: str, bundle_digest: str, state: str) -> None:
        self.said.append((bundle_digest[0], state))


def history(home: Path, digests: Sequence[str]) -> PromotionStore:
    """Return a store in which each bundle was requested, approved and published, the last not."""
    store = PromotionStore(home=str(home), approval_valid_hours=1)
    champion = ""
    for name in digests:
        digest = name * 64
        (home / "bundles" / digest).mkdir(parents=True)
        request = PromotionRequest(
            symbol="BTCUSDT",
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
        if name != digests[-1]:
            evidence = FoundEvidence(digest, "g", True, "d")
            store.publish(request.id, lambda _, found=evidence: found, 30)
            champion = digest
    return store


def test_a_log_told_from_the_start_never_crowns_an_old_champion(tmp_path: Path) -> None:
    """After a lost cursor MLflow hears of what stands, not of each thing that once stood."""
    store = history(tmp_path, "abc")
    told: Any = Told()
    followed = follow(store.entries(), 0, store, told)
    assert followed.entries == len(store.entries())
    assert told.said == [("a", "retired"), ("b", "champion 2"), ("c", "approved")]


def test_a_portion_keeps_its_place(tmp_path: Path) -> None:
    """What one tick does not reach the next goes on with, and comes to the same end."""
    store = history(tmp_path, "abc")
    told: Any = Told()
    place = 0
    for _ in range(len(store.entries())):
        place = follow(store.entries(), place, store, told, portion=1).entries
    assert told.said == [("a", "retired"), ("b", "champion 2"), ("c", "approved")]
