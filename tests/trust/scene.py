"""The promotion layer as plain objects in a folder: three bundles, their requests, a registry and
a runner that remember in files what they were told.
"""

import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from market_data.storage.locks import only_one
from market_data.storage.parquet import replace_file
from orchestration.resources import registry
from orchestration.resources.bundle_store import BundleStore
from orchestration.resources.clock import now_ms
from orchestration.resources.key_cycle import KeyCycle
from orchestration.resources.notifier import Notifier
from orchestration.resources.promotion_store import PromotionStore, ensure_keys
from orchestration.resources.runner_client import RunnerClient, RunnerUnreachableError
from orchestration.resources.tracking import (
    State,
    TaggedApproval,
    Tracking,
    TrackingUnreachableError,
    UnknownVersionError,
)
from research.promotion.records import PromotionRequest
from research.promotion.rules import FoundEvidence, PublicationRefusedError
from sensors.approval import adopt_tagged_approvals
from sensors.swap import move
from tests.kernel.bundle_maker import unsigned
from tests.trust.faults import PORT

SYMBOL = "BTCUSDT"
CHECK = "datasets/training_set training_set_reaches_the_cutoff"
TICKS = 2
WEEK_MS = 7 * 86_400_000


@contextmanager
def away(error: type[Exception]) -> Iterator[None]:
    """Call a port: a step of its own, at which the other side may be away."""
    try:
        sys.audit(PORT)
        yield
    except OSError as fault:
        raise error(str(fault)) from fault


class Registry(Tracking):
    """A registry of models in `artifacts`: a file with its state per bundle, and one alias."""

    @property
    def folder(self) -> Path:
        return Path(self.artifacts)

    def known(self, digest: str) -> Path:
        if not (self.folder / digest).exists():
            raise UnknownVersionError(f"found no version for {digest}")
        return self.folder / digest

    def add_version(self, digest: str) -> None:
        """Register a bundle, once; what a person decided on it stands."""
        with away(TrackingUnreachableError):
            self.folder.mkdir(exist_ok=True)
            if not (self.folder / digest).exists():
                (self.folder / digest).write_text("pending")

    def set_state(self, model: str, bundle_digest: str, state: State) -> None:
        with away(TrackingUnreachableError):
            self.known(bundle_digest).write_text(state)

    def crown(self, model: str, bundle_digest: str, epoch: int) -> str:
        with away(TrackingUnreachableError):
            version = self.known(bundle_digest)
            with only_one(self.folder / ".lock"):
                alias = self.folder / "alias"
                held = json.loads(alias.read_text()) if alias.exists() else ["", 0]
                if held[1] > epoch:
                    return bundle_digest
                if held[0] and held[0] != bundle_digest:
                    self.known(held[0]).write_text("retired")
                version.write_text("champion")
                replace_file(alias, json.dumps([bundle_digest, epoch]).encode())
        return bundle_digest

    def tagged_approvals(self, models: Any, *, decided: bool = False) -> list[TaggedApproval]:
        with away(TrackingUnreachableError):
            return []

    @property
    def champion(self) -> str:
        return str(json.loads((self.folder / "alias").read_text())[0])


class FileRunner(RunnerClient):
    """A runner that keeps what it trades by in the file `url`; an epoch that is not newer is
    refused, as the real one does.
    """

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        with away(RunnerUnreachableError):
            state = Path(self.url)
            held = json.loads(state.read_text()) if state.exists() else {"digest": "", "epoch": 0}
            if path == "/model/info":
                return httpx.Response(200, json=held)
            order = options["json"]
            with only_one(state.with_suffix(".lock")):
                held = json.loads(state.read_text()) if state.exists() else held
                if order["epoch"] <= held["epoch"]:
                    stale = {"reason": "stale_epoch", "found": order["epoch"], "expected": "above"}
                    return httpx.Response(409, json=stale)
                taken = {"digest": order["digest"], "epoch": order["epoch"]}
                replace_file(state, json.dumps(taken).encode())
        return httpx.Response(200, json={"outcome": "swapped"})


@dataclass
class Scene:
    """One installation's trust chain in `home`."""

    home: Path

    @cached_property
    def store(self) -> PromotionStore:
        return PromotionStore(home=str(self.home), approval_valid_hours=72)

    @cached_property
    def bundles(self) -> BundleStore:
        return BundleStore(home=str(self.home))

    @cached_property
    def registry(self) -> Registry:
        return Registry(uri="files", artifacts=str(self.home / "registry"))

    @cached_property
    def runner(self) -> FileRunner:
        token = self.home / "keys" / "admin.token"
        return FileRunner(url=str(self.home / "runner"), token_file=str(token), timeout_s=1.0)

    @cached_property
    def notifier(self) -> Notifier:
        return Notifier(path=str(self.home / "notifications.jsonl"))

    # What people and jobs do, as the ops of jobs/promotion.py and the last assets do it.

    def retrain(self, bundle: str, *, week: int, champion: str) -> str:
        """File the request for a bundle whose data end after so many weeks; return its id."""
        asked = PromotionRequest(
            symbol=SYMBOL,
            timeframe="15m",
            week=f"2025-12-{week:02d}",
            bundle_digest=bundle,
            gate_report_digest="g",
            data_digest="d",
            as_of_ms=week * WEEK_MS,
            champion_digest=champion,
            created_at_ms=now_ms(),
            verdicts={CHECK: "c"},
        )
        self.bundles.keep_candidate(bundle, {"candidate.json": b"{}"})
        filed = self.store.submit(asked, now_ms())
        self.registry.add_version(bundle)
        return filed.id

    def approve(self, request_id: str, approver: str = "Ada") -> None:
        answer = self.store.decide(request_id, "approved", approver, "ok", now_ms())
        registry.tell_decision(answer, self.store, self.registry)

    def decline(self, request_id: str) -> None:
        answer = self.store.decide(request_id, "declined", "Ada", "too few trades", now_ms())
        registry.tell_decision(answer, self.store, self.registry)

    def publish(self, request_id: str) -> None:
        head = self.store.publish(request_id, self.derive, now_ms())
        registry.tell_publication(head, self.registry)

    def roll_back(self, reason: str = "loses", to: str = "") -> None:
        head = self.store.roll_back(SYMBOL, "Ada", reason, now_ms(), to)
        registry.tell_publication(head, self.registry)

    def rotate(self, reason: str = "leaked") -> None:
        KeyCycle(self.home).rotate("Ada", reason, now_ms())

    def derive(self, request: PromotionRequest) -> FoundEvidence:
        """Look at the lake, the bundle and the instance's checks, each of which may be away."""
        with away(ConnectionError):
            red = {CHECK: "a week is missing"} if (self.home / "red").exists() else {}
        with away(ConnectionError):
            found = self.bundles.standing_digest(request.bundle_digest, SYMBOL, "15m")
        same = FoundEvidence(found, request.gate_report_digest, True, request.data_digest)
        return replace(same, judged={CHECK: "c"}, red=red)

    def follow(self) -> None:
        """Let both sensors look once, and run the publications that are asked for."""
        adopt_tagged_approvals(self.store, self.registry)
        cursor = self.home / "approval.cursor"
        told = int(cursor.read_text() or 0) if cursor.exists() else 0
        followed = registry.follow(self.store.entries(), told, self.store, self.registry)
        replace_file(cursor, str(followed.entries).encode())
        for request, _ in self.store.publishable():
            with suppress(PublicationRefusedError):  # the run is red, and the sensors go on
                self.publish(request.id)
        self.swap()

    def swap(self) -> None:
        cursor = self.home / "swap.cursor"
        told = json.loads(cursor.read_text() or "{}") if cursor.exists() else {}
        moved = move(told, self.store, self.runner, self.notifier)
        replace_file(cursor, json.dumps(moved.told).encode())

    def catch_up(self) -> None:
        for _ in range(TICKS):
            self.follow()


def promises_broken(scene: Scene) -> list[str]:
    """Return what does not hold, a sentence each: the log is whole and true, what was asked for was
    done once, and one champion that verifies is what the log, the registry and the runner say.
    """
    entries = scene.store.entries()
    head = scene.store.heads()[SYMBOL]
    standing = scene.store.standing(SYMBOL)
    held = json.loads((scene.home / "runner").read_text())
    done = [
        (entry.kind, entry.body.get("request_id") or entry.body.get("reason"))
        for entry in entries
        if entry.kind in ("requested", "published", "rolled_back")
    ]
    # The same answer again is a new one only where publishing was refused on the one before.
    decided = [
        (entry.kind, entry.body["request_id"], entry.body.get("approver", entry.seq))
        for entry in entries
        if entry.kind in ("approved", "declined", "publish_refused")
    ]
    found = {
        "something was done twice": len(done) != len(set(done)),
        "something was decided twice": any(
            one == other for one, other in itertools.pairwise(decided)
        ),
        "the log names another champion": head["digest"] != standing.champion,
        "the champion does not verify": standing.champion
        != scene.bundles.standing_digest(standing.champion, SYMBOL, "15m"),
        "the champion is not signed": scene.bundles.publication(standing.champion) != head,
        "the runner trades another": [held["digest"], held["epoch"]]
        != [head["digest"], head["epoch"]],
        "the registry names another": scene.registry.champion != standing.champion
        or scene.registry.known(standing.champion).read_text() != "champion",
        "an epoch is not its predecessor's next": [one["epoch"] for one in standing.publications]
        != list(range(1, standing.epoch + 1)),
        "a red one was published": (scene.home / "red").exists() and standing.epoch > 2,
        "a record on disk does not read back": bool(scene.store.damaged()),
    }
    return [sentence for sentence, broken in found.items() if broken]


def staged(home: Path) -> tuple[str, str, str]:
    """Make a scene in which X was champion and Y is, on the runner too; Z is a bundle only."""
    ensure_keys(home)
    scene = Scene(home)
    older, newer, newest = (unsigned(home / "bundles", name) for name in ("x", "y", "z"))
    for week, (bundle, champion) in enumerate([(older, ""), (newer, older)], start=1):
        request_id = scene.retrain(bundle, week=week, champion=champion)
        scene.approve(request_id)
        scene.catch_up()
    assert promises_broken(scene) == []
    return older, newer, newest
