"""A headline of "100 % complete" above a list that is not; ours is what the evidence says."""

import dataclasses

import pytest

from research.gates.gates import GateReport, Outcome, at_least, at_most
from research.promotion.records import PromotionRequest
from research.promotion.rules import FoundEvidence, Rule, broken_by_evidence

SEED_CHECKLIST = """
Status: 100% complete
- [x] 41 features
- [x] feature time
- [x] training script
- [x] backtest script
- [x] API
- [x] Docker
- [x] documentation
- [ ] model trained
- [ ] win rate 58-62 %
- [ ] tests
"""
REPORT = GateReport((at_least("fold_win_rate", 0.6, 0.55, 0), at_most("drawdown", 0.1, 0.2)))
REQUEST = PromotionRequest(
    symbol="BTCUSDT",
    timeframe="15m",
    week="2025-12-07",
    bundle_digest="b" * 64,
    gate_report_digest=REPORT.digest,
    data_digest="d" * 64,
    as_of_ms=1_765_670_400_000,
    champion_digest="",
    created_at_ms=1_765_670_500_000,
)


def test_the_seeds_headline_is_not_bound_to_its_list():
    """Nothing compares the two: the line says 100 %, the boxes 70 %."""
    ticked = SEED_CHECKLIST.count("[x]")
    open_ = SEED_CHECKLIST.count("[ ]")
    assert "100% complete" in SEED_CHECKLIST
    assert ticked / (ticked + open_) == 0.7


def test_our_verdict_follows_from_the_outcomes_whatever_a_record_claims():
    """A record that says "accepted" over a refused gate is read as refused; an outcome that was
    retouched no longer fits its digest.
    """
    failed = at_least("fold_win_rate", 0.5, 0.55, 1)
    record = GateReport((*REPORT.outcomes, failed)).to_dict() | {"accepted": True}
    assert not GateReport.from_dict(record).accepted
    retouched = [dataclasses.asdict(_passed(one)) for one in (*REPORT.outcomes, failed)]
    with pytest.raises(ValueError, match="gate report: found digest"):
        GateReport.from_dict(record | {"outcomes": retouched})


def _passed(outcome: Outcome) -> Outcome:
    return dataclasses.replace(outcome, passed=True)


def test_our_request_stands_or_falls_with_the_evidence_it_names():
    """Derived again from the files: the report it names, and gates that accepted."""
    sound = FoundEvidence("b" * 64, REPORT.digest, gates_accepted=True, data="d" * 64)
    assert broken_by_evidence(REQUEST, sound, "") == []
    refused = dataclasses.replace(sound, gates_accepted=False)
    other = dataclasses.replace(sound, gate_report="0" * 64)
    found = [broken_by_evidence(REQUEST, one, "")[0].rule for one in (refused, other)]
    assert found == [Rule.GATES_REFUSED, Rule.GATE_REPORT_CHANGED]
