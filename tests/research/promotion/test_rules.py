"""When a bundle may be published: each way in which evidence can move has its own rule."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from research.chain import Entry, following
from research.promotion.records import Approval, PromotionRequest
from research.promotion.rules import (
    FoundEvidence,
    Rule,
    broken_rules,
    newest_publications,
    published,
    standing,
)

REQUEST = PromotionRequest(
    symbol="BTCUSDT",
    timeframe="15m",
    week="2025-12-14",
    bundle_digest="bundle",
    gate_report_digest="gates",
    data_digest="data",
    as_of_ms=9,
    champion_digest="old",
    created_at_ms=10,
)
APPROVAL = Approval(
    request_id=REQUEST.id,
    request_digest=REQUEST.digest,
    approver="Ada",
    decision="approved",
    note="",
    at_ms=20,
    expires_at_ms=30,
)
EVIDENCE = FoundEvidence("bundle", "gates", True, "data")


def rules_broken(
    *,
    request: PromotionRequest = REQUEST,
    approval: Approval | None = APPROVAL,
    evidence: FoundEvidence = EVIDENCE,
    champion: str = "old",
    recorded: tuple[str, ...] = (APPROVAL.digest,),
    now_ms: int = 29,
) -> list[Rule]:
    found = broken_rules(
        request, approval, evidence, champion=champion, recorded=recorded, now_ms=now_ms
    )
    return [one.rule for one in found]


def test_an_approved_request_on_unchanged_evidence_breaks_no_rule() -> None:
    """What was approved, and still is what it was, may be published."""
    assert rules_broken() == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"approval": None}, Rule.NOT_APPROVED),
        ({"now_ms": 30}, Rule.EXPIRED),
        ({"recorded": ()}, Rule.APPROVAL_NOT_RECORDED),
        ({"evidence": replace(EVIDENCE, bundle="a file differs")}, Rule.BUNDLE_CHANGED),
        ({"evidence": replace(EVIDENCE, gate_report="x")}, Rule.GATE_REPORT_CHANGED),
        ({"evidence": replace(EVIDENCE, gates_accepted=False)}, Rule.GATES_REFUSED),
        ({"evidence": replace(EVIDENCE, data="x")}, Rule.DATA_CHANGED),
        ({"evidence": replace(EVIDENCE, ledger="no trial x")}, Rule.NOT_IN_THE_LEDGER),
        ({"champion": "new"}, Rule.CHAMPION_CHANGED),
        ({"champion": ""}, Rule.CHAMPION_CHANGED),
    ],
)
def test_each_change_breaks_its_own_rule(change: dict[str, object], rule: Rule) -> None:
    """One changed thing is answered by exactly the rule that guards it."""
    assert rules_broken(**change) == [rule]  # type: ignore[arg-type]


def test_a_declined_request_is_not_published() -> None:
    """A decline is an answer, and the answer is no."""
    declined = replace(APPROVAL, decision="declined", note="too few trades")
    assert rules_broken(approval=declined) == [Rule.DECLINED]


def test_an_approval_does_not_carry_over_to_a_request_that_was_rewritten() -> None:
    """An approval names the request by digest, not by file name."""
    rewritten = replace(REQUEST, created_at_ms=11)
    assert rules_broken(request=rewritten) == [Rule.APPROVAL_OF_ANOTHER_REQUEST]


def test_every_broken_rule_is_told_at_once() -> None:
    """A person sees all that is wrong, not the first thing."""
    evidence = FoundEvidence("x", "x", False, "x")
    assert len(rules_broken(evidence=evidence, champion="new", now_ms=99)) == 6


@given(st.lists(st.sampled_from(["publish", "roll back"]), max_size=12))
def test_standing_keeps_epochs_monotone_and_champions_as_a_stack(steps: list[str]) -> None:
    """Epochs only grow; rolling back returns to the champion below, again and again."""
    entries: list[Entry] = []
    stack: list[str] = []
    for step, verb in enumerate(steps):
        before = standing(entries, "BTCUSDT")
        if verb == "publish":
            stack.append(f"bundle {step}")
            kind = "published"
            digest = stack[-1]
        elif len(stack) > 1:
            stack.pop()
            kind = "rolled_back"
            digest = stack[-1]
        else:
            continue
        publication = {"symbol": "BTCUSDT", "digest": digest, "epoch": before.epoch + 1}
        body = {"request_id": str(step), "publication": publication}
        entries.append(following(entries, step, kind, body))
        after = standing(entries, "BTCUSDT")
        assert after.champions == tuple(stack)
        assert after.epoch == before.epoch + 1
        assert newest_publications(entries)["BTCUSDT"]["digest"] == after.champion
    assert standing(entries, "ETHUSDT").champion == ""
    assert published(entries, "no such request") is None
