"""Keys come and go: the log stays readable, what stands stays published, a leaked key ends."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kernel.bundle import SIGNATURE, BundleRefused, Refusal
from kernel.publication import read_publication
from live_runner.models.inference import read_keys
from orchestration.resources.key_cycle import KeyCycle, KeyCycleError
from orchestration.resources.keys import SigningKeyMissingError, WrongKeyError, signer
from orchestration.resources.promotion_store import PromotionStore, ensure_keys
from research.promotion.audit import AuditBrokenError
from research.promotion.records import PromotionRequest
from research.promotion.rules import FoundEvidence
from tests.kernel.bundle_maker import unsigned

WHY = "left on a laptop"


@pytest.fixture
def store(tmp_path: Path) -> PromotionStore:
    return PromotionStore(home=str(tmp_path), approval_valid_hours=1)


@pytest.fixture
def cycle(tmp_path: Path) -> KeyCycle:
    return KeyCycle(tmp_path)


def published(store: PromotionStore, name: str, champion: str = "") -> str:
    """Take a bundle through request, approval and publication; return its digest."""
    digest = unsigned(Path(store.home) / "bundles", name)
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
    store.publish(request.id, lambda _: FoundEvidence(digest, "g", True, "d"), 30)
    return digest


def trusted(home: Path, digest: str) -> int:
    """Return the epoch under which a runner would read a bundle now; raises BundleRefused."""
    keys = read_keys(home / "keys" / "public")
    return read_publication((home / "bundles" / digest / SIGNATURE).read_bytes(), keys)["epoch"]


def states(cycle: KeyCycle) -> dict[str, str]:
    return {one.key_id: one.state for one in cycle.known()}


def test_after_a_rotation_both_keys_verify_and_the_new_one_signs(
    store: PromotionStore, cycle: KeyCycle, tmp_path: Path
) -> None:
    """What was signed before stands, what comes after is the new key's, and the log says so."""
    old = signer(tmp_path / "keys").key_id
    first = published(store, "first")
    new = cycle.rotate("Ada", WHY, 40)
    second = published(store, "second", first)
    assert states(cycle) == {old: "verifies", new: "signs"}
    assert [trusted(tmp_path, first), trusted(tmp_path, second)] == [1, 2]
    assert store.standing("BTCUSDT").publications[-1]["key_id"] == new
    (entry,) = [one for one in store.entries() if one.kind == "key_rotated"]
    assert entry.body == {"from": old, "to": new, "actor": "Ada", "reason": WHY}
    assert (tmp_path / "keys" / "signing.key").stat().st_mode & 0o777 == 0o600


def test_a_lost_signing_key_is_never_made_anew_in_silence(
    store: PromotionStore, cycle: KeyCycle, tmp_path: Path
) -> None:
    """Reading goes on, signing says what to do, and what it says helps."""
    first = published(store, "first")
    published(store, "second", first)
    private = tmp_path / "keys" / "signing.key"
    private.unlink()
    ensure_keys(tmp_path)
    assert not private.exists()
    assert store.heads()["BTCUSDT"]["epoch"] == 2
    with pytest.raises(SigningKeyMissingError, match="tidegate keys rotate"):
        store.roll_back("BTCUSDT", "Ada", "loses", 50)
    assert [one.kind for one in store.entries()][-1] == "published"
    cycle.rotate("Ada", "lost with the disk", 60)
    assert store.roll_back("BTCUSDT", "Ada", "loses", 70)["digest"] == first
    assert trusted(tmp_path, first) == 3


def test_a_log_whose_keys_are_all_gone_is_not_sealed_by_a_new_one(
    store: PromotionStore, cycle: KeyCycle, tmp_path: Path
) -> None:
    """A restore without keys/ says which folder is missing, for every verb, and makes no key."""
    published(store, "first")
    shutil.rmtree(tmp_path / "keys")
    acts: list[Callable[[], object]] = [
        store.entries,
        lambda: store.roll_back("BTCUSDT", "Ada", "loses", 50),
        lambda: cycle.rotate("Ada", WHY, 50),
    ]
    for act in acts:
        with pytest.raises(AuditBrokenError, match="restore keys/public"):
            act()
    ensure_keys(tmp_path)
    assert not (tmp_path / "keys" / "signing.key").exists()


def test_a_revoked_key_is_trusted_no_more_and_what_stands_is_signed_anew(
    store: PromotionStore, cycle: KeyCycle, tmp_path: Path
) -> None:
    """The champion keeps its epoch under the present key; an older bundle is foreign to a runner,
    and what the key signed before stays in the log.
    """
    old = signer(tmp_path / "keys").key_id
    leaked = (tmp_path / "keys" / "signing.key").read_bytes()
    first = published(store, "first")
    second = published(store, "second", first)
    new = cycle.rotate("Ada", WHY, 40)
    assert cycle.revoke(old, "Ada", WHY, 50) == ["BTCUSDT"]
    assert cycle.revoke(old, "Ada", WHY, 60) == []
    assert states(cycle) == {old: "revoked", new: "signs"}
    assert trusted(tmp_path, second) == 2
    with pytest.raises(BundleRefused) as refused:
        trusted(tmp_path, first)
    assert refused.value.reason is Refusal.FOREIGN_KEY
    assert [one.kind for one in store.entries()].count("key_revoked") == 1
    stands = store.standing("BTCUSDT")
    assert (stands.epoch, stands.champion) == (2, second)
    assert [one["key_id"] for one in stands.publications] == [old, old]
    assert store.roll_back("BTCUSDT", "Ada", "loses", 70)["digest"] == first
    assert trusted(tmp_path, first) == 3
    (tmp_path / "keys" / "signing.key").write_bytes(leaked)
    with pytest.raises(WrongKeyError, match="revoked"):
        store.note("drill", {}, 80)


def test_a_repeated_publication_leaves_the_newer_signature_in_place(
    store: PromotionStore, cycle: KeyCycle, tmp_path: Path
) -> None:
    """A run that is launched again after a revocation does not put the revoked signature back."""
    old = signer(tmp_path / "keys").key_id
    digest = published(store, "first")
    cycle.rotate("Ada", WHY, 40)
    cycle.revoke(old, "Ada", WHY, 50)
    (request,) = store.requests()
    store.publish(request.id, lambda _: FoundEvidence(digest, "g", True, "d"), 60)
    assert trusted(tmp_path, digest) == 1


@pytest.mark.parametrize("wanted", ["present", "unknown"])
def test_only_an_earlier_key_can_be_revoked(
    store: PromotionStore, cycle: KeyCycle, tmp_path: Path, wanted: str
) -> None:
    """The key that signs, and one that nobody knows, are named and left."""
    published(store, "first")
    key_id = signer(tmp_path / "keys").key_id if wanted == "present" else "0" * 16
    before = len(store.entries())
    with pytest.raises(KeyCycleError, match=key_id):
        cycle.revoke(key_id, "Ada", WHY, 40)
    assert len(store.entries()) == before


def test_a_revocation_that_was_cut_off_is_finished_by_asking_again(
    store: PromotionStore, cycle: KeyCycle, tmp_path: Path
) -> None:
    """Recorded but not carried out, as after a kill: the same command does the rest, once."""
    old = signer(tmp_path / "keys").key_id
    digest = published(store, "first")
    cycle.rotate("Ada", WHY, 40)
    cycle.revoke(old, "Ada", WHY, 50)
    public = tmp_path / "keys" / "public"
    (public / "revoked" / f"{old}.pub").rename(public / f"{old}.pub")
    (tmp_path / "bundles" / digest / SIGNATURE).unlink()
    cycle.revoke(old, "Ada", WHY, 60)
    assert trusted(tmp_path, digest) == 1
    assert states(cycle)[old] == "revoked"
    assert [one.kind for one in store.entries()].count("key_revoked") == 1
