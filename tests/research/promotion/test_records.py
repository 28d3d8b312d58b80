"""Requests and approvals: what they hold is what their digests say."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from research.promotion.records import (
    Approval,
    DecisionRefusedError,
    PromotionRequest,
    RecordAlteredError,
)

requests = st.builds(
    PromotionRequest,
    symbol=st.sampled_from(["BTCUSDT", "ETHUSDT"]),
    timeframe=st.just("15m"),
    week=st.dates().map(str),
    bundle_digest=st.text("0123456789abcdef", min_size=64, max_size=64),
    gate_report_digest=st.text("0123456789abcdef", min_size=64, max_size=64),
    data_digest=st.text("0123456789abcdef", min_size=64, max_size=64),
    as_of_ms=st.integers(0, 2**53),
    champion_digest=st.just("") | st.text("0123456789abcdef", min_size=64, max_size=64),
    created_at_ms=st.integers(0, 2**53),
    thresholds=st.sampled_from([{}, {"min_fold_trades": 15, "accept_without_funding": ["SOL"]}]),
    figures=st.sampled_from([{}, {"score": 2.5, "sharpe": 3.0}]),
)


def approval_of(request: PromotionRequest, **changes: object) -> Approval:
    fields_of: dict[str, object] = {
        "request_id": request.id,
        "request_digest": request.digest,
        "approver": "Ada",
        "decision": "approved",
        "note": "",
        "at_ms": 1,
        "expires_at_ms": 2,
    }
    return Approval(**(fields_of | changes))  # type: ignore[arg-type]


@given(requests)
def test_records_round_trip(request: PromotionRequest) -> None:
    """A request and its approval read back from their dictionaries as they were."""
    assert PromotionRequest.from_dict(request.to_dict()) == request
    approval = approval_of(request)
    assert Approval.from_dict(approval.to_dict()) == approval


@given(requests, st.data())
def test_request_refuses_to_load_once_any_field_is_changed(
    request: PromotionRequest, data: st.DataObject
) -> None:
    """No field of a stored request can change without its digest telling."""
    raw = request.to_dict()
    name = data.draw(st.sampled_from([field.name for field in fields(PromotionRequest)]))
    raw[name] = raw[name] + 1 if isinstance(raw[name], int) else f"{raw[name]}0"
    with pytest.raises(RecordAlteredError):
        PromotionRequest.from_dict(raw)


@given(requests, st.integers(0, 2**53))
def test_request_id_names_the_evidence_and_not_the_moment(
    request: PromotionRequest, later_ms: int
) -> None:
    """Asking again on the same evidence is the same request; other evidence is another one."""
    assert replace(request, created_at_ms=later_ms).id == request.id
    assert replace(request, champion_digest="f" * 64 + request.champion_digest).id != request.id


@given(requests)
def test_a_request_of_before_a_field_was_kept_hashes_as_it_did(request: PromotionRequest) -> None:
    """What a request has nothing of may be absent from its file, as in those of earlier builds."""
    bare = replace(request, thresholds={}, figures={})
    old = {name: one for name, one in bare.to_dict().items() if one != {}}
    assert "thresholds" not in old
    assert PromotionRequest.from_dict(old) == bare
    assert replace(bare, thresholds={"min_fold_trades": 1}).id != bare.id


def test_request_refuses_unknown_keys() -> None:
    """A stored request with a key too many or too few is refused by name."""
    request = PromotionRequest(
        symbol="BTCUSDT",
        timeframe="15m",
        week="2025-12-14",
        bundle_digest="b",
        gate_report_digest="g",
        data_digest="d",
        as_of_ms=1,
        champion_digest="",
        created_at_ms=2,
    )
    with pytest.raises(RecordAlteredError, match="extra"):
        PromotionRequest.from_dict({**request.to_dict(), "extra": 1})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"approver": ""}, "approver"),
        ({"approver": "  "}, "approver"),
        ({"decision": "declined", "note": ""}, "note"),
        ({"decision": "perhaps"}, "perhaps"),
        ({"expires_at_ms": 1}, "expires"),
    ],
)
def test_approval_refuses_an_answer_that_nobody_could_stand_by(
    changes: dict[str, object], named: str
) -> None:
    """Nameless approvers, declines without a reason and answers that never held are refused."""
    request = PromotionRequest(
        symbol="BTCUSDT",
        timeframe="15m",
        week="2025-12-14",
        bundle_digest="b",
        gate_report_digest="g",
        data_digest="d",
        as_of_ms=1,
        champion_digest="",
        created_at_ms=2,
    )
    with pytest.raises(DecisionRefusedError, match=named):
        approval_of(request, **changes)
