"""Requests, approvals and publications on disk: what was not approved is never signed."""

import cProfile
import json
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from kernel.digest import canonical_json
from kernel.publication import read_publication
from orchestration.resources.audit_log import AuditLog
from orchestration.resources.bundle_store import BundleStore
from orchestration.resources.keys import admin_token, signer
from orchestration.resources.promotion_store import (
    PromotionStore,
    RollbackImpossibleError,
    ensure_keys,
)
from research.promotion.audit import AuditBrokenError
from research.promotion.records import DecisionRefusedError, PromotionRequest
from research.promotion.rules import FoundEvidence, PublicationRefusedError, Rule
from tests.forked import FORKED
from tests.hung import HUNG_S
from tests.kernel.bundle_maker import unsigned, write

HOUR_MS = 3_600_000
A, B, C = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def store(tmp_path: Path) -> PromotionStore:
    for digest in (A, B, C):
        (tmp_path / "bundles" / digest).mkdir(parents=True)
    return PromotionStore(home=str(tmp_path), approval_valid_hours=1)


def request_for(bundle: str, champion: str = "", symbol: str = "BTCUSDT") -> PromotionRequest:
    return PromotionRequest(
        symbol=symbol,
        timeframe="15m",
        week="2025-12-07",
        bundle_digest=bundle,
        gate_report_digest="g",
        data_digest="d",
        as_of_ms=9,
        champion_digest=champion,
        created_at_ms=10,
    )


def unchanged(request: PromotionRequest) -> FoundEvidence:
    """Find the evidence as the request names it."""
    return FoundEvidence(
        request.bundle_digest, request.gate_report_digest, True, request.data_digest
    )


def approved(
    store: PromotionStore, bundle: str, champion: str = "", symbol: str = "BTCUSDT"
) -> str:
    """File and approve a request; return its id."""
    request = store.submit(request_for(bundle, champion, symbol), 10)
    store.decide(request.id, "approved", "Ada", "", 20)
    return request.id


def test_publish_signs_what_a_runner_verifies(store: PromotionStore, tmp_path: Path) -> None:
    """The signature in the bundle's folder verifies under the public key beside it, as epoch 1."""
    head = store.publish(approved(store, A), unchanged, 30)
    key_file = tmp_path / "keys" / "public" / f"{head['key_id']}.pub"
    public = load_pem_public_key(key_file.read_bytes())

    def verify(signature: bytes, message: bytes) -> bool:
        public.verify(signature, message)  # type: ignore[call-arg, union-attr]
        return True

    content = (tmp_path / "bundles" / A / "signature").read_bytes()
    publication = read_publication(content, {head["key_id"]: verify})
    assert publication == head
    assert (head["digest"], head["epoch"], head["approver"]) == (A, 1, "Ada")
    assert store.standing("BTCUSDT").champion == A


def test_publish_refuses_an_expired_approval(store: PromotionStore) -> None:
    """An approval older than its validity publishes nothing, and the audit log says why."""
    request_id = approved(store, A)
    with pytest.raises(PublicationRefusedError) as refusal:
        store.publish(request_id, unchanged, 20 + HOUR_MS)
    assert [one.rule for one in refusal.value.broken] == [Rule.EXPIRED]
    assert store.heads() == {}
    assert store.entries()[-1].kind == "publish_refused"
    assert store.publishable() == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"bundle": "signal.onnx differs"}, Rule.BUNDLE_CHANGED),
        ({"gate_report": "x"}, Rule.GATE_REPORT_CHANGED),
        ({"gates_accepted": False}, Rule.GATES_REFUSED),
        ({"data": "x"}, Rule.DATA_CHANGED),
    ],
)
def test_publish_refuses_evidence_that_changed_after_the_approval(
    store: PromotionStore, change: dict[str, object], rule: Rule
) -> None:
    """Each piece of evidence is read again; what moved is named by its own rule."""
    request_id = approved(store, A)
    with pytest.raises(PublicationRefusedError) as refusal:
        store.publish(request_id, lambda request: replace(unchanged(request), **change), 30)
    assert [one.rule for one in refusal.value.broken] == [rule]


def test_publish_refuses_a_request_whose_champion_has_changed(store: PromotionStore) -> None:
    """Of two requests approved against the same champion, the second must be asked anew."""
    first, second = approved(store, A), approved(store, B)
    store.publish(first, unchanged, 30)
    with pytest.raises(PublicationRefusedError) as refusal:
        store.publish(second, unchanged, 31)
    assert [one.rule for one in refusal.value.broken] == [Rule.CHAMPION_CHANGED]


def test_publish_refuses_an_approval_that_was_edited_on_disk(
    store: PromotionStore, tmp_path: Path
) -> None:
    """An approval given a longer life with a matching digest is not the one in the audit log."""
    request_id = approved(store, A)
    answer = store.approval(request_id)
    assert answer is not None
    forged = replace(answer, expires_at_ms=answer.expires_at_ms + HOUR_MS)
    path = tmp_path / "promotion" / "approvals" / f"{request_id}.json"
    path.write_text(json.dumps(forged.to_dict()))
    with pytest.raises(PublicationRefusedError) as refusal:
        store.publish(request_id, unchanged, 30)
    assert [one.rule for one in refusal.value.broken] == [Rule.APPROVAL_NOT_RECORDED]


def test_publish_refuses_without_a_decision_and_after_a_decline(store: PromotionStore) -> None:
    """No answer and the answer no both publish nothing."""
    request = store.submit(request_for(A), 10)
    with pytest.raises(PublicationRefusedError, match="not_approved"):
        store.publish(request.id, unchanged, 30)
    store.decide(request.id, "declined", "Ada", "too few trades", 20)
    with pytest.raises(PublicationRefusedError, match="too few trades"):
        store.publish(request.id, unchanged, 30)


@pytest.mark.parametrize("name", ["", "   "])
def test_decide_refuses_a_nameless_approver(store: PromotionStore, name: str) -> None:
    """An approval is somebody's, and nothing is recorded for nobody."""
    request = store.submit(request_for(A), 10)
    with pytest.raises(DecisionRefusedError, match="approver"):
        store.decide(request.id, "approved", name, "", 20)
    assert store.pending() == [request]


@pytest.mark.parametrize("request_id", ["no-such-request", "", "../keys/signing.key"])
def test_decide_refuses_an_unknown_request(store: PromotionStore, request_id: str) -> None:
    """An id that was never filed is refused by name, and no path leads out of the folder."""
    with pytest.raises(DecisionRefusedError, match="found"):
        store.decide(request_id, "approved", "Ada", "", 20)


def test_submit_files_the_same_evidence_once(store: PromotionStore) -> None:
    """A retrain that is run again on the same evidence asks nobody twice."""
    first = store.submit(request_for(A), 10)
    again = store.submit(replace(request_for(A), created_at_ms=99), 99)
    assert again == first
    assert [entry.kind for entry in store.entries()] == ["requested"]


def test_publish_again_changes_nothing(store: PromotionStore, tmp_path: Path) -> None:
    """A published request published again is the same publication, and the log does not grow."""
    request_id = approved(store, A)
    head = store.publish(request_id, unchanged, 30)
    entries = store.entries()
    assert store.publish(request_id, unchanged, 99 * HOUR_MS) == head
    assert store.entries() == entries


def test_a_publisher_killed_before_the_signature_is_finished_by_the_next(
    store: PromotionStore, tmp_path: Path
) -> None:
    """Once the audit log names a publication, any later look puts its signature in place."""
    head = store.publish(approved(store, A), unchanged, 30)
    signature = tmp_path / "bundles" / A / "signature"
    for finish in (store.heads, lambda: store.publish(request_for(A).id, unchanged, 40)):
        signature.unlink()
        finish()
        assert json.loads(signature.read_bytes()) == head


def test_a_publisher_killed_in_the_middle_of_a_line_published_nothing(
    store: PromotionStore, tmp_path: Path
) -> None:
    """Half an entry never happened: the next publisher cuts it off and gives out the same epoch."""
    request_id = approved(store, A)
    log = tmp_path / "promotion" / "audit.jsonl"
    with log.open("ab") as file:
        file.write(b'{"at_ms":30,"body":{"publication":')
    assert store.standing("BTCUSDT").epoch == 0
    assert store.publish(request_id, unchanged, 31)["epoch"] == 1
    assert log.read_bytes().endswith(b"\n")


@pytest.fixture
def three(store: PromotionStore, tmp_path: Path) -> tuple[str, str, str]:
    """Publish three bundles that verify, one after the other; return their digests."""
    digests = tuple(unsigned(tmp_path / "bundles", name) for name in ("first", "second", "third"))
    champion = ""
    for at_ms, digest in enumerate(digests, 30):
        store.publish(approved(store, digest, champion), unchanged, at_ms)
        champion = digest
    first, second, third = digests
    return first, second, third


def test_roll_back_publishes_the_champion_before_under_the_next_epoch(
    store: PromotionStore, tmp_path: Path, three: tuple[str, str, str]
) -> None:
    """Rolling back walks down the champions; epochs only grow, and the signature follows."""
    first, second, _ = three
    reasons = enumerate(("drawdown", "the older one loses as well"), 33)
    rolled = [store.roll_back("BTCUSDT", "Ada", reason, at) for at, reason in reasons]
    assert [(head["digest"], head["epoch"]) for head in rolled] == [(second, 4), (first, 5)]
    assert json.loads((tmp_path / "bundles" / first / "signature").read_bytes()) == rolled[1]
    with pytest.raises(RollbackImpossibleError, match="a champion before the present one"):
        store.roll_back("BTCUSDT", "Ada", "drawdown", 35)


def test_the_same_rollback_asked_for_twice_goes_back_once(
    store: PromotionStore, three: tuple[str, str, str]
) -> None:
    """A run that is launched again finds its effect done, whenever it comes."""
    heads = [store.roll_back("BTCUSDT", "Ada", "drawdown", at_ms) for at_ms in (33, 99 * HOUR_MS)]
    assert heads[0] == heads[1]
    assert store.standing("BTCUSDT").champions == three[:2]


def test_the_same_reason_after_a_new_champion_is_a_new_rollback(
    store: PromotionStore, three: tuple[str, str, str], tmp_path: Path
) -> None:
    """What was published since makes it another request."""
    _, second, _ = three
    store.roll_back("BTCUSDT", "Ada", "drawdown", 33)
    fourth = unsigned(tmp_path / "bundles", "fourth")
    store.publish(approved(store, fourth, second), unchanged, 34)
    store.roll_back("BTCUSDT", "Ada", "drawdown", 35)
    assert store.standing("BTCUSDT").champions == three[:2]
    assert store.standing("BTCUSDT").epoch == 6


def lose(folder: Path) -> None:
    shutil.rmtree(folder)


def rot(folder: Path) -> None:
    (folder / "signal.onnx").write_bytes(b"another graph")


def outlive(folder: Path) -> None:
    """Make it a bundle of a catalogue that is no more; its digest is that of its manifest."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    content = canonical_json(manifest | {"feature_hash": "0" * 64})
    (folder / "manifest.json").write_bytes(content)


@pytest.mark.parametrize("spoil", [lose, rot, outlive])
def test_a_rollback_to_a_bundle_that_does_not_verify_records_nothing(
    store: PromotionStore,
    tmp_path: Path,
    three: tuple[str, str, str],
    spoil: Callable[[Path], None],
) -> None:
    """The champion stays, the log stays, and the next older version that is sound is offered."""
    first, second, third = three
    spoil(tmp_path / "bundles" / second)
    before = store.entries()
    with pytest.raises(RollbackImpossibleError, match=f"--to {first[:12]}"):
        store.roll_back("BTCUSDT", "Ada", "drawdown", 33)
    assert store.entries() == before
    assert store.standing("BTCUSDT").champion == third
    assert store.roll_back("BTCUSDT", "Ada", "drawdown", 34, first[:12])["digest"] == first


def test_a_bundle_of_another_catalogue_is_gone_back_to_by_nobody(
    store: PromotionStore, tmp_path: Path
) -> None:
    """A folder that is whole in itself, and signed once, but whose features no longer exist."""
    folder = write(tmp_path / "bundles", feature_hash="0" * 64)
    last = unsigned(tmp_path / "bundles", "last")
    store.publish(approved(store, folder.name), unchanged, 30)
    store.publish(approved(store, last, folder.name), unchanged, 31)
    with pytest.raises(RollbackImpossibleError, match="wrong_feature_hash"):
        store.roll_back("BTCUSDT", "Ada", "drawdown", 33)
    assert store.standing("BTCUSDT").champion == last


def test_any_earlier_version_can_be_named(
    store: PromotionStore, three: tuple[str, str, str]
) -> None:
    """Two steps down at once, and up again to what was rolled back; below stays what was below."""
    first, second, third = three
    store.roll_back("BTCUSDT", "Ada", "both lose", 33, first)
    assert store.standing("BTCUSDT").champions == (first,)
    store.roll_back("BTCUSDT", "Ada", "it was the market", 34, third[:8])
    assert store.standing("BTCUSDT").champions == (first, third)
    store.roll_back("BTCUSDT", "Ada", "it was not", 35)
    assert store.standing("BTCUSDT").champions == (first,)
    assert [one["digest"] for one in store.standing("BTCUSDT").earlier] == [third, second]


@pytest.mark.parametrize("to", ["f" * 64, "", "12"])
def test_a_rollback_to_what_was_never_published_names_what_was(
    store: PromotionStore, tmp_path: Path, to: str
) -> None:
    """An unknown digest, one too short, and no earlier champion at all: nothing is recorded."""
    store.publish(approved(store, unsigned(tmp_path / "bundles", "only")), unchanged, 30)
    with pytest.raises(RollbackImpossibleError, match="earlier versions: none"):
        store.roll_back("BTCUSDT", "Ada", "drawdown", 33, to)
    assert store.standing("BTCUSDT").epoch == 1


def test_an_approval_after_a_refusal_is_a_new_attempt(store: PromotionStore) -> None:
    """A bundle that was away for a moment spends no approval for good: the same words by the same
    person are asked to be published again, and are.
    """
    request_id = approved(store, A)
    with pytest.raises(PublicationRefusedError):
        store.publish(request_id, lambda _: FoundEvidence("no folder", "g", True, "d"), 30)
    assert store.publishable() == []
    last = store.approval(request_id)
    assert last is not None
    store.decide(request_id, "approved", last.approver, last.note, 40)
    assert [request.id for request, _ in store.publishable()] == [request_id]
    assert store.publish(request_id, unchanged, 50)["epoch"] == 1


def test_the_same_decision_asked_for_twice_is_recorded_once(store: PromotionStore) -> None:
    """A repeated run does not renew an approval; after it has expired a new one is a new one."""
    request = store.submit(request_for(A), 10)
    answers = [store.decide(request.id, "approved", "Ada", "", at_ms) for at_ms in (20, 21)]
    assert answers[0] == answers[1]
    later = store.decide(request.id, "approved", "Ada", "", 20 + HOUR_MS)
    assert later.expires_at_ms == 20 + 2 * HOUR_MS
    assert [entry.kind for entry in store.entries()] == ["requested", "approved", "approved"]


@pytest.mark.parametrize("folder", ["requests", "approvals"])
def test_a_damaged_record_stops_no_other_request(
    store: PromotionStore, tmp_path: Path, folder: str
) -> None:
    """The others are published; the damaged one is named with what is wrong with it."""
    bad, good = approved(store, A), approved(store, B, symbol="ETHUSDT")
    (tmp_path / "promotion" / folder / f"{bad}.json").write_text('{"id": "half of it')
    assert [request.id for request, _ in store.publishable()] == [good]
    (sentence,) = store.damaged()
    assert bad in sentence


@pytest.mark.parametrize(("actor", "reason"), [("", "drawdown"), ("Ada", " ")])
def test_roll_back_needs_a_name_and_a_reason(
    store: PromotionStore, actor: str, reason: str
) -> None:
    """Going back is a person's act with a reason, like going forward."""
    store.publish(approved(store, A), unchanged, 30)
    store.publish(approved(store, B, A), unchanged, 31)
    with pytest.raises(DecisionRefusedError, match="expected both"):
        store.roll_back("BTCUSDT", actor, reason, 32)


def test_epochs_of_two_symbols_do_not_touch(store: PromotionStore) -> None:
    """Each symbol counts its own epochs."""
    store.publish(approved(store, A), unchanged, 30)
    store.publish(approved(store, B, symbol="ETHUSDT"), unchanged, 31)
    assert {symbol: head["epoch"] for symbol, head in store.heads().items()} == {
        "BTCUSDT": 1,
        "ETHUSDT": 1,
    }


def race(
    home: str, request_id: str, start: Callable[[], None], answers: "multiprocessing.Queue[str]"
) -> None:
    """Publish from another process as soon as all are ready."""
    store = PromotionStore(home=home, approval_valid_hours=1)
    start()
    try:
        answers.put(f"epoch {store.publish(request_id, unchanged, 30)['epoch']}")
    except PublicationRefusedError as refusal:
        answers.put(str(refusal.broken[0].rule))


@pytest.mark.parametrize("same", [True, False])
def test_racing_publishers_give_out_one_epoch_each(
    store: PromotionStore, tmp_path: Path, same: bool
) -> None:
    """Processes racing for one request share its epoch; racing for two, the loser is refused."""
    requests = [approved(store, A)] * 2 if same else [approved(store, A), approved(store, B)]
    barrier, answers = FORKED.Barrier(2), FORKED.Queue()
    publishers = [
        FORKED.Process(target=race, args=(str(tmp_path), request_id, barrier.wait, answers))
        for request_id in requests
    ]
    for publisher in publishers:
        publisher.start()
    found = sorted(answers.get(timeout=HUNG_S) for _ in publishers)
    for publisher in publishers:
        publisher.join(HUNG_S)
    assert found == (["epoch 1", "epoch 1"] if same else ["champion_changed", "epoch 1"])
    assert [entry.kind for entry in store.entries()].count("published") == 1


def test_a_tampered_audit_log_stops_everything(store: PromotionStore, tmp_path: Path) -> None:
    """From a broken log nothing is published; the error names the first broken entry."""
    request_id = approved(store, A)
    log = tmp_path / "promotion" / "audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"Ada"', b'"Eve"'))
    with pytest.raises(AuditBrokenError) as broken:
        store.publish(request_id, unchanged, 30)
    assert broken.value.at.seq == 1


def test_an_audit_log_cut_short_is_found(store: PromotionStore, tmp_path: Path) -> None:
    """Cutting the last entry off leaves a chain that holds, but not the signed head."""
    approved(store, A)
    log = tmp_path / "promotion" / "audit.jsonl"
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(AuditBrokenError) as broken:
        AuditLog(tmp_path / "promotion", signer(tmp_path / "keys")).entries()
    assert broken.value.at.seq == 1


def calls_of_a_look(store: PromotionStore) -> int:
    """Count what a sensor's look at a home calls that it has looked at before."""

    def look() -> None:
        store.damaged()
        store.unpublished()
        store.publishable()
        store.heads()

    look()
    profile = cProfile.Profile()
    profile.runcall(look)
    return sum(one.callcount for one in profile.getstats())


def test_a_look_at_the_requests_grows_with_their_number_at_most(store: PromotionStore) -> None:
    """Four times the requests and decisions cost a sensor's look at most four times the calls."""
    few = 8
    for k in range(few):
        approved(store, f"{k:064x}")
    before = calls_of_a_look(store)
    for k in range(few, 4 * few):
        approved(store, f"{k:064x}")
    assert calls_of_a_look(store) <= 4 * before


def test_keys_are_made_once_for_one_user(tmp_path: Path) -> None:
    """Key and token are made on first use with mode 0600, and stay what they are."""
    ensure_keys(tmp_path)
    files = [tmp_path / "keys" / name for name in ("signing.key", "admin.token")]
    contents = [file.read_bytes() for file in files]
    key_id, token = signer(tmp_path / "keys").key_id, admin_token(tmp_path / "keys")
    ensure_keys(tmp_path)
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    assert [file.read_bytes() for file in files] == contents
    assert (tmp_path / "keys" / "public" / f"{key_id}.pub").exists()
    assert len(token) >= 32


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A signing key open to others signs nothing until its mode is mended."""
    ensure_keys(tmp_path)
    (tmp_path / "keys" / "signing.key").chmod(0o644)
    with pytest.raises(PermissionError, match="chmod 600"):
        signer(tmp_path / "keys")


def test_signing_leaves_no_stray_file_in_the_bundle(store: PromotionStore, tmp_path: Path) -> None:
    """A runner that lists the folder meets the signature and nothing else."""
    store.publish(approved(store, A), unchanged, 30)
    names = [path.name for path in (tmp_path / "bundles" / A).iterdir()]
    assert names == ["signature"]
    assert BundleStore(home=str(tmp_path)).publication(B) is None
