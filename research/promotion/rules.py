"""When an approved bundle may be published, and what stands published."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kernel.errors import TidegateError
from research.chain import Entry
from research.promotion.records import Approval, PromotionRequest

PUBLISHING = ("published", "rolled_back")
KEY_REVOKED = "key_revoked"  # its body holds the newest publications, signed anew, same epochs


class Rule(StrEnum):
    """Name each rule that keeps a bundle from being published."""

    NOT_APPROVED = "not_approved"
    DECLINED = "declined"
    APPROVAL_NOT_RECORDED = "approval_not_recorded"
    APPROVAL_OF_ANOTHER_REQUEST = "approval_of_another_request"
    EXPIRED = "expired"
    BUNDLE_CHANGED = "bundle_changed"
    GATE_REPORT_CHANGED = "gate_report_changed"
    GATES_REFUSED = "gates_refused"
    DATA_CHANGED = "data_changed"
    CHAMPION_CHANGED = "champion_changed"
    OLDER_THAN_CHAMPION = "older_than_champion"
    CHECK_RED = "check_red"
    CHECK_STALE = "check_stale"
    CHECK_MISSING = "check_missing"
    NOT_IN_THE_LEDGER = "not_in_the_ledger"


@dataclass(frozen=True, slots=True)
class FoundEvidence:
    """Hold what a request rests on, derived again from the files at the moment of publishing.

    `bundle` is the digest of the folder when every file in it still matches, else the sentence that
    says what does not; `gate_report` and `data` are digests. `judged` names every blocking check
    that the bundle rests on with the digest of what is stored now of the asset that it judges, and
    `red` those whose last verdict is red, with what they said. `ledger` says why the candidate's
    trial is not on record, '' where it is.
    """

    bundle: str
    gate_report: str
    gates_accepted: bool
    data: str
    judged: Mapping[str, str] = field(default_factory=dict[str, str])
    red: Mapping[str, str] = field(default_factory=dict[str, str])
    ledger: str = ""


@dataclass(frozen=True, slots=True)
class Broken:
    """Name a broken rule with what was found and what was expected."""

    rule: Rule
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.rule}: found {self.found}, expected {self.expected}"


class PublicationRefusedError(TidegateError):
    """Refuse to publish a request, with every broken rule in `.broken`."""

    def __init__(self, request_id: str, broken: Sequence[Broken]) -> None:
        super().__init__(f"request {request_id} is not published: " + "; ".join(map(str, broken)))
        self.broken = tuple(broken)


def broken_rules(
    request: PromotionRequest,
    approval: Approval | None,
    evidence: FoundEvidence,
    *,
    champion: str,
    recorded: Collection[str],
    now_ms: int,
) -> list[Broken]:
    """Return every rule that publishing `request` at `now_ms` would break.

    `champion` is the digest that stands published now ('' for none), `recorded` the approval
    digests in the audit log.
    """
    return [
        *_broken_by_approval(request, approval, recorded, now_ms),
        *broken_by_evidence(request, evidence, champion),
    ]


def _broken_by_approval(
    request: PromotionRequest, approval: Approval | None, recorded: Collection[str], now_ms: int
) -> list[Broken]:
    if approval is None:
        return [Broken(Rule.NOT_APPROVED, "no decision", "an approval by a named person")]
    if approval.decision == "declined":
        declined = f"declined by {approval.approver}: {approval.note}"
        return [Broken(Rule.DECLINED, declined, "an approval")]
    broken: list[Broken] = []
    if approval.digest not in recorded:
        broken.append(
            Broken(
                Rule.APPROVAL_NOT_RECORDED,
                f"approval {approval.digest}",
                "an approval in the audit log",
            )
        )
    if approval.request_digest != request.digest:
        found, expected = f"approval of {approval.request_digest}", f"approval of {request.digest}"
        broken.append(Broken(Rule.APPROVAL_OF_ANOTHER_REQUEST, found, expected))
    if now_ms >= approval.expires_at_ms:
        broken.append(
            Broken(
                Rule.EXPIRED, f"the time {now_ms} ms", f"a time before {approval.expires_at_ms} ms"
            )
        )
    return broken


def broken_by_evidence(
    request: PromotionRequest, evidence: FoundEvidence, champion: str
) -> list[Broken]:
    """Return the rules that the evidence, derived again, breaks; `champion` '' is none."""
    compared = (
        (Rule.BUNDLE_CHANGED, evidence.bundle, request.bundle_digest),
        (Rule.GATE_REPORT_CHANGED, evidence.gate_report, request.gate_report_digest),
        (Rule.DATA_CHANGED, evidence.data, request.data_digest),
        (
            Rule.CHAMPION_CHANGED,
            champion or "no champion",
            request.champion_digest or "no champion",
        ),
    )
    broken = [
        Broken(rule, found, expected) for rule, found, expected in compared if found != expected
    ]
    if not evidence.gates_accepted:
        broken.append(Broken(Rule.GATES_REFUSED, "a gate report that refuses", "one that accepts"))
    if evidence.ledger:
        on_record = "the candidate's trial on record in a sound ledger"
        broken.append(Broken(Rule.NOT_IN_THE_LEDGER, evidence.ledger, on_record))
    return [*broken, *_broken_by_checks(request, evidence)]


def _broken_by_checks(request: PromotionRequest, evidence: FoundEvidence) -> Iterator[Broken]:
    """Yield a broken rule for each blocking check that is not green on what it judged then."""
    for check in sorted({*request.verdicts, *evidence.judged, *evidence.red}):
        judged = request.verdicts.get(check)
        stored = evidence.judged.get(check, "nothing that it judges")
        if check in evidence.red:
            yield Broken(Rule.CHECK_RED, f"{check} red: {evidence.red[check]}", "it green")
        elif judged is None:
            missing = f"a request that does not bind the verdict of {check}"
            remedy = "it bound and green: materialize promotion/request again"
            yield Broken(Rule.CHECK_MISSING, missing, remedy)
        elif judged != stored:
            found = f"{check} judged the content {judged}, and stored is {stored}"
            remedy = "one content: materialize promotion/request again"
            yield Broken(Rule.CHECK_STALE, found, remedy)


def broken_by_age(
    request: PromotionRequest, stands: "Standing", filed: Iterable[PromotionRequest]
) -> list[Broken]:
    """Return the rule that a request breaks whose data end before those of what stands published.

    `filed` are the requests on file; the champion's own says how far its data reach.
    """
    if not stands.champion:
        return []
    digest = stands.publications[-1]["request_digest"]
    reached = [one.as_of_ms for one in filed if one.digest == digest]
    if reached and request.as_of_ms >= reached[0]:
        return []
    until = f"to {reached[0]} ms" if reached else "to a time that no request on file tells"
    return [
        Broken(
            Rule.OLDER_THAN_CHAMPION,
            f"data to {request.as_of_ms} ms under a champion that saw them {until}",
            "none older than the champion: retrain on a later week, or roll back to an earlier "
            "champion",
        )
    ]


@dataclass(frozen=True, slots=True)
class Standing:
    """Say what is published for one symbol: its last epoch and its champions, newest last.

    Publishing pushes a champion. Rolling back publishes an earlier one under a new epoch: one that
    is below is uncovered, one that was rolled back before is put on top. `publications` are the
    signed records in order.
    """

    epoch: int
    champions: tuple[str, ...]
    publications: tuple[dict[str, Any], ...]

    @property
    def champion(self) -> str:
        """Return the digest that should be trading, '' where there is none."""
        return self.champions[-1] if self.champions else ""

    @property
    def earlier(self) -> tuple[dict[str, Any], ...]:
        """Return a publication of each other version, first those below the champion, newest first,
        then those that were rolled back.
        """
        by_digest = {one["digest"]: one for one in self.publications}
        order = dict.fromkeys([*reversed(self.champions), *reversed(by_digest)])
        return tuple(by_digest[digest] for digest in order if digest != self.champion)


def standing(entries: Iterable[Entry], symbol: str) -> Standing:
    """Fold the audit log into what stands published for `symbol`."""
    champions: list[str] = []
    publications: list[dict[str, Any]] = []
    for entry in entries:
        if entry.kind not in PUBLISHING or entry.body["publication"]["symbol"] != symbol:
            continue
        publications.append(dict(entry.body["publication"]))
        digest = publications[-1]["digest"]
        below = champions[:-1]
        if entry.kind == "rolled_back" and digest in below:
            champions = champions[: len(below) - below[::-1].index(digest)]
        else:
            champions.append(digest)
    epoch = publications[-1]["epoch"] if publications else 0
    return Standing(epoch, tuple(champions), tuple(publications))


def newest_publications(entries: Iterable[Entry]) -> dict[str, dict[str, Any]]:
    """Return the newest publication of each symbol, as it was signed last."""
    newest: dict[str, dict[str, Any]] = {}
    for entry in entries:
        signed = [entry.body["publication"]] if entry.kind in PUBLISHING else []
        if entry.kind == KEY_REVOKED:
            signed = entry.body["publications"]
        newest.update({str(one["symbol"]): dict(one) for one in signed})
    return newest


def published(entries: Iterable[Entry], request_id: str) -> dict[str, Any] | None:
    """Return the publication that answered a request, None where there is none."""
    for entry in entries:
        if entry.kind == "published" and entry.body["request_id"] == request_id:
            return dict(entry.body["publication"])
    return None


def rolled_back(
    entries: Iterable[Entry], symbol: str, actor: str, reason: str, to: str
) -> dict[str, Any] | None:
    """Return the publication by which the last rollback of a symbol answered just this request.

    None where anything was published or rolled back for the symbol since, or was asked otherwise.
    """
    asked = {"actor": actor, "reason": reason, "to": to}
    newest: Entry | None = None
    for entry in entries:
        if entry.kind in PUBLISHING and entry.body["publication"]["symbol"] == symbol:
            newest = entry
    if newest is None or newest.kind != "rolled_back":
        return None
    found = {name: newest.body.get(name, "") for name in asked}
    return dict(newest.body["publication"]) if found == asked else None


@dataclass(frozen=True, slots=True)
class Answered:
    """What the log says of all requests, read once.

    `published` and `decided` are by request id: its publication, and the body of the newest
    decision on it. `decisions` are the digests of all decisions, for and against, `refused` those
    of the approvals on which publishing was refused.
    """

    published: Mapping[str, Mapping[str, Any]]
    decided: Mapping[str, Mapping[str, Any]]
    decisions: frozenset[str]
    refused: frozenset[str]

    def last_decision(self, request_id: str) -> Approval | None:
        """Return the newest decision on a request."""
        body = self.decided.get(request_id)
        return None if body is None else Approval.from_dict(body)


def answered(entries: Iterable[Entry]) -> Answered:
    """Fold the audit log into what became of each request."""
    published_by: dict[str, Mapping[str, Any]] = {}
    decided: dict[str, Mapping[str, Any]] = {}
    decisions: set[str] = set()
    refused: set[str] = set()
    for entry in entries:
        if entry.kind == "published":
            published_by.setdefault(str(entry.body["request_id"]), entry.body["publication"])
        elif entry.kind in ("approved", "declined"):
            decided[str(entry.body["request_id"])] = entry.body
            decisions.add(str(entry.body["digest"]))
        elif entry.kind == "publish_refused":
            refused.add(str(entry.body["approval_digest"]))
    return Answered(
        published=published_by,
        decided=decided,
        decisions=frozenset(decisions),
        refused=frozenset(refused),
    )


def requested(entries: Iterable[Entry], request_id: str) -> bool:
    """Return whether the log says that a request was filed."""
    return any(
        entry.kind == "requested" and entry.body["request_id"] == request_id for entry in entries
    )


def recorded_approvals(entries: Iterable[Entry]) -> frozenset[str]:
    """Return the digests of the approvals in the log."""
    return frozenset(str(entry.body["digest"]) for entry in entries if entry.kind == "approved")
