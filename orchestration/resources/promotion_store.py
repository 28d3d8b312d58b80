"""Requests, decisions and publications on disk, under one lock and one audit log."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from kernel.digest import canonical_json
from kernel.errors import TidegateError
from kernel.text import plain
from market_data.storage.parquet import replace_file
from orchestration.resources.audit_log import AuditLog, AuditSession
from orchestration.resources.bundle_store import BundleStore
from orchestration.resources.keys import Signer, admin_token, signer
from research.chain import Entry
from research.promotion.publication import publication
from research.promotion.records import (
    Approval,
    Decision,
    DecisionRefusedError,
    PromotionRequest,
    RecordAlteredError,
)
from research.promotion.rules import (
    Answered,
    Broken,
    FoundEvidence,
    PublicationRefusedError,
    Standing,
    answered,
    broken_by_age,
    broken_rules,
    newest_publications,
    published,
    recorded_approvals,
    requested,
    rolled_back,
    standing,
)

APPROVAL_VALID_HOURS = 72
HOUR_MS = 3_600_000
T = TypeVar("T", PromotionRequest, Approval)
SHORTEST_DIGEST = 8  # hex digits by which a person may name a bundle


class RollbackImpossibleError(TidegateError):
    """Say why there is no such champion to go back to, and to which one there is."""


def ensure_keys(home: Path) -> None:
    """Make the signing key, its public half and the admin token when an installation is first used.

    The signing key of one that has signed before is not made again: what needs it says so.
    """
    if not Signer(home / "keys").lacks_key():
        signer(home / "keys")
    admin_token(home / "keys")


def complete(bundles: BundleStore, entries: list[Entry], symbol: str) -> None:
    """Put the signature of a symbol's newest publication into its bundle where it is missing."""
    head = newest_publications(entries)[symbol]
    if bundles.publication(head["digest"]) != head:
        bundles.sign(head)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionStore:
    """Keep records in `home/promotion`, keys in `home/keys` and bundles in `home/bundles`.

    The audit log is what counts: a decision or publication stands once its entry is written.
    Files beside it are copies that a repeated call completes.
    """

    home: str
    approval_valid_hours: int

    def submit(self, request: PromotionRequest, now_ms: int) -> PromotionRequest:
        """File a request; return the one already filed where the evidence is the same."""
        path = self._file("requests", request.id)
        with self._log().session() as audit:
            # The file first: an entry that names a file which was never written asks for nothing.
            if not path.exists():
                _write(path, request.to_dict())
            filed = self.request(request.id)
            if not requested(audit.entries, request.id):
                body = {"request_id": filed.id, "digest": filed.digest}
                if filed.thresholds:
                    body["thresholds_digest"] = filed.thresholds_digest
                audit.append("requested", body, now_ms)
        return filed

    def request(self, request_id: str) -> PromotionRequest:
        """Return a filed request; raise DecisionRefusedError naming those that exist."""
        path = self._file("requests", request_id)
        if not path.exists():
            known = [one.id for one in self.requests()]
            raise DecisionRefusedError(f"request: found {request_id!r}, expected one of {known}")
        return PromotionRequest.from_dict(json.loads(path.read_bytes()))

    def request_of_champion(self, symbol: str) -> PromotionRequest | None:
        """Return the request by which what stands published of a symbol was asked for, if it is on
        file.
        """
        stands = self.standing(symbol)
        digest = stands.publications[-1]["request_digest"] if stands.champion else ""
        return next((one for one in self.requests() if one.digest == digest), None)

    def requests(self) -> list[PromotionRequest]:
        """Return every filed request that is whole, oldest first; `damaged` names the others."""
        found = [one for one in self._filed() if isinstance(one, PromotionRequest)]
        return sorted(found, key=lambda one: (one.created_at_ms, one.id))

    def damaged(self) -> list[str]:
        """Return a sentence for each request or decision on disk that does not read back."""
        answers = (Path(self.home) / "promotion" / "approvals").glob("*.json")
        kept = [_whole(Approval, file) for file in sorted(answers)]
        return [one for one in (*self._filed(), *kept) if isinstance(one, str)]

    def _filed(self) -> list[PromotionRequest | str]:
        """Return every filed request, or the sentence that says why one does not read back."""
        files = (Path(self.home) / "promotion" / "requests").glob("*.json")
        return [_whole(PromotionRequest, file) for file in sorted(files)]

    def _answer(self, request_id: str, log: Answered) -> Approval | str | None:
        """Return the latest decision on a request, or the sentence that says why it does not read
        back.

        A writer that died between the log and the file leaves a file that is absent or of the
        decision before: the log counts. A file that the log knows nothing of was not written here.
        """
        path = self._file("approvals", request_id)
        kept = _whole(Approval, path) if path.exists() else None
        if isinstance(kept, str) or (kept and kept.digest not in log.decisions):
            return kept
        return log.last_decision(request_id)

    def approval(self, request_id: str) -> Approval | None:
        """Return the latest decision on a request; raise RecordAlteredError for a damaged one."""
        answer = self._answer(request_id, answered(self.entries()))
        if isinstance(answer, str):
            raise RecordAlteredError(answer)
        return answer

    def decide(
        self, request_id: str, decision: Decision, approver: str, note: str, now_ms: int
    ) -> Approval:
        """Record a person's decision; a later one replaces it until the request is published.

        The same decision asked for again while it holds is the one on record, unless publishing was
        refused on it: what was wrong then may be right now. Raises DecisionRefusedError for an
        unknown request, an empty name, a decline without a reason, or a request that is published
        already.
        """
        request = self.request(request_id)
        expires_at_ms = now_ms + self.approval_valid_hours * HOUR_MS
        answer = Approval(
            request_id=request_id,
            request_digest=request.digest,
            approver=plain(approver),
            decision=decision,
            note=plain(note),
            at_ms=now_ms,
            expires_at_ms=expires_at_ms,
        )
        with self._log().session() as audit:
            log = answered(audit.entries)
            if request_id in log.published:
                raise DecisionRefusedError(
                    f"request {request_id}: found it published, expected it pending"
                )
            last = log.last_decision(request_id)
            if last is not None and last.digest in log.refused:
                last = None  # it came to nothing: whoever says the same again means a new attempt
            if last is not None and _same_answer(last, answer) and now_ms < last.expires_at_ms:
                answer = last
            else:
                audit.append(decision, answer.to_dict(), now_ms)
            _write(self._file("approvals", request_id), answer.to_dict())
        return answer

    def pending(self) -> list[PromotionRequest]:
        """Return the requests that wait for a person."""
        log = answered(self.entries())
        return [
            one
            for one in self.requests()
            if one.id not in log.published and self._answer(one.id, log) is None
        ]

    def unpublished(self) -> list[PromotionRequest]:
        """Return the requests that wait for a person, and the newest of each symbol that was
        decided on but not published.
        """
        log = answered(self.entries())
        requests = self.requests()
        newest = {one.symbol: one.id for one in requests}
        return [
            one
            for one in requests
            if one.id not in log.published
            and (newest[one.symbol] == one.id or self._answer(one.id, log) is None)
        ]

    def came_to_nothing(self, answer: Approval) -> bool:
        """Return whether publishing was refused on an approval."""
        return answer.digest in answered(self.entries()).refused

    def publishable(self) -> list[tuple[PromotionRequest, Approval]]:
        """Return approved requests that were neither published nor refused since their approval."""
        log = answered(self.entries())
        waiting = [one for one in self.requests() if one.id not in log.published]
        answers = [(request, self._answer(request.id, log)) for request in waiting]
        return [
            (request, answer)
            for request, answer in answers
            if isinstance(answer, Approval)
            and answer.decision == "approved"
            and answer.digest not in log.refused
        ]

    def entries(self) -> list[Entry]:
        """Return the audit log; raise AuditBrokenError naming the first broken entry."""
        return self._log().entries()

    def standing(self, symbol: str) -> Standing:
        """Return what stands published for a symbol."""
        return standing(self.entries(), symbol)

    def heads(self) -> dict[str, dict[str, Any]]:
        """Return the newest publication of each symbol, its signature in place in the bundle.

        A bundle whose folder is away for a moment gets its signature at a later call: until then
        the runner refuses that one, and the others are not held up.
        """
        with self._log().session() as audit:
            heads = newest_publications(audit.entries)
            for symbol in heads:
                with suppress(OSError):
                    self._complete(audit, symbol)
        return heads

    def note(self, kind: str, body: dict[str, Any], now_ms: int) -> None:
        """Append an observation to the audit log."""
        with self._log().session() as audit:
            audit.append(kind, body, now_ms)

    def publish(
        self, request_id: str, derive: Callable[[PromotionRequest], FoundEvidence], now_ms: int
    ) -> dict[str, Any]:
        """Sign an approved request's bundle as the next epoch; return the publication.

        `derive` reads the evidence anew. Raises PublicationRefusedError with every broken rule.
        Publishing again changes nothing but a signature file that is missing.
        """
        request, answer = self.request(request_id), self.approval(request_id)
        with self._log().session() as audit:
            stands = standing(audit.entries, request.symbol)
            head = published(audit.entries, request_id)
            if head is None:
                aged = broken_by_age(request, stands, self.requests())
                approver = _require_publishable(
                    audit, request, answer, evidence=derive(request), aged=aged, now_ms=now_ms
                )
                head = self._publication(
                    digest=request.bundle_digest,
                    symbol=request.symbol,
                    timeframe=request.timeframe,
                    epoch=stands.epoch + 1,
                    request_digest=request.digest,
                    approver=approver,
                    published_at_ms=now_ms,
                )
                audit.append("published", {"request_id": request_id, "publication": head}, now_ms)
            elif head != stands.publications[-1]:
                return head
            self._complete(audit, request.symbol)
        return head

    def roll_back(
        self, symbol: str, actor: str, reason: str, now_ms: int, to: str = ""
    ) -> dict[str, Any]:
        """Publish an earlier champion again, as the next epoch: the one before, or the one named.

        `to` is the digest, or its first eight digits or more, of any version that was published for
        the symbol. The bundle is verified before anything is recorded. The same person asking for
        the same with the same reason again, as a repeated run does, goes back once. Raises
        DecisionRefusedError without an actor or a reason, RollbackImpossibleError where there is no
        such champion or its bundle does not verify; it names the next older one that does.
        """
        by = plain(actor)
        why = plain(reason)
        if not by or not why:
            raise DecisionRefusedError(
                f"rollback of {symbol}: found actor {actor!r} and reason {reason!r}, expected both"
            )
        with self._log().session() as audit:
            done = rolled_back(audit.entries, symbol, by, why, to)
            if done is not None:
                self._complete(audit, symbol)
                return done
            stands = standing(audit.entries, symbol)
            earlier = _earlier_champion(symbol, stands, to)
            self._require_sound(symbol, earlier, stands)
            head = self._publication(
                digest=earlier["digest"],
                symbol=symbol,
                timeframe=earlier["timeframe"],
                epoch=stands.epoch + 1,
                request_digest=earlier["request_digest"],
                approver=by,
                published_at_ms=now_ms,
            )
            body = {"actor": by, "reason": why, "from": stands.champion, "to": to}
            audit.append("rolled_back", {**body, "publication": head}, now_ms)
            self._complete(audit, symbol)
        return head

    def _publication(self, **fields: Any) -> dict[str, Any]:
        key = self._signer()
        return publication(**fields, key_id=key.key_id, sign=key.sign)

    def _require_sound(self, symbol: str, target: dict[str, Any], stands: Standing) -> None:
        """Raise RollbackImpossibleError unless a version's bundle is what it was published as."""
        fault = self._fault(target)
        if not fault:
            return
        order = [one for one in stands.earlier if one["digest"] != target["digest"]]
        sound = next((one["digest"] for one in order if not self._fault(one)), None)
        offer = (
            f"go back to {sound} instead: `tidegate rollback {symbol} --to {sound[:12]}`"
            if sound
            else "no other version verifies: restore bundles/ from a copy"
        )
        raise RollbackImpossibleError(
            f"rollback of {symbol} to {target['digest']}: found {fault}, expected a bundle that "
            f"verifies; {offer}; to stop trading, use the runner's kill switch"
        )

    def _fault(self, version: dict[str, Any]) -> str:
        """Return what keeps a published version's bundle from being published again, '' if nothing.

        Looks at what publishing looks at: files, digests, schema, symbol and feature catalogue.
        """
        found = BundleStore(home=self.home).standing_digest(
            version["digest"], version["symbol"], version["timeframe"]
        )
        return "" if found == version["digest"] else found

    def _complete(self, audit: AuditSession, symbol: str) -> None:
        complete(BundleStore(home=self.home), audit.entries, symbol)

    def _signer(self) -> Signer:
        return Signer(Path(self.home) / "keys")

    def _log(self) -> AuditLog:
        return AuditLog(Path(self.home) / "promotion", self._signer())

    def _file(self, folder: str, request_id: str) -> Path:
        if not request_id or Path(request_id).name != request_id:
            raise DecisionRefusedError(
                f"request: found the id {request_id!r}, expected a plain name"
            )
        return Path(self.home) / "promotion" / folder / f"{request_id}.json"


def _require_publishable(
    audit: AuditSession,
    request: PromotionRequest,
    answer: Approval | None,
    *,
    evidence: FoundEvidence,
    aged: Sequence[Broken],
    now_ms: int,
) -> str:
    """Return the approver's name, or record every broken rule and raise PublicationRefusedError."""
    broken = [
        *broken_rules(
            request,
            answer,
            evidence,
            champion=standing(audit.entries, request.symbol).champion,
            recorded=recorded_approvals(audit.entries),
            now_ms=now_ms,
        ),
        *aged,
    ]
    if answer is not None and not broken:
        return answer.approver
    body = {
        "request_id": request.id,
        "approval_digest": answer.digest if answer else "",
        "rules": [str(one) for one in broken],
    }
    audit.append("publish_refused", body, now_ms)
    raise PublicationRefusedError(request.id, broken)


def _earlier_champion(symbol: str, stands: Standing, to: str) -> dict[str, Any]:
    """Return a publication of the version to go back to: the one named, or that of before."""
    wanted = to or (stands.champions[-2] if len(stands.champions) > 1 else "")
    named = [one for one in stands.earlier if one["digest"].startswith(wanted)]
    if len(wanted) >= SHORTEST_DIGEST and len(named) == 1:
        return named[0]
    known = ", ".join(one["digest"][:12] for one in stands.earlier) or "none"
    expected = (
        f"the first {SHORTEST_DIGEST} digits or more of one earlier version"
        if to
        else "a champion before the present one"
    )
    raise RollbackImpossibleError(
        f"rollback of {symbol} to {to or 'the champion before'}: expected {expected}, found these "
        f"earlier versions: {known}; name one with --to, or, to stop trading, use the runner's "
        "kill switch"
    )


def _same_answer(one: Approval, other: Approval) -> bool:
    """Return whether two decisions on a request are one person's, with one note."""
    return (one.request_digest, one.decision, one.approver, one.note) == (
        other.request_digest,
        other.decision,
        other.approver,
        other.note,
    )


def _whole(kind: type[T], path: Path) -> T | str:
    """Return the record in a file, or the sentence that says why it does not read back."""
    try:
        return _record(kind, path.read_bytes())
    except (RecordAlteredError, DecisionRefusedError, ValueError) as error:
        return f"{path.name}: {error}; restore promotion/ from a copy"


@lru_cache(maxsize=8_192)
def _record(kind: type[T], content: bytes) -> T:
    """Return the record of these very bytes: years of them are looked at every few seconds."""
    return kind.from_dict(json.loads(content))


def _write(path: Path, record: dict[str, Any]) -> None:
    replace_file(path, canonical_json(record))
