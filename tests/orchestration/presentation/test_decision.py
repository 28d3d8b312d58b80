"""What a person decides by, as Dagster, MLflow and the shell show it."""

import math

import dagster as dg

from orchestration.presentation.decision import DecisionPage
from orchestration.presentation.metadata import figures, table
from orchestration.presentation.places import approval_page
from research.evaluation.metrics import Metrics
from research.gates.accounts import Accounts, Contest
from research.gates.gates import GateReport, at_least, at_most
from research.promotion.records import PromotionRequest


def metrics(score: float) -> Metrics:
    return Metrics(
        trades=40, win_rate=0.6, profit_factor=2.0, sharpe=26.0, sortino=30.0, max_drawdown=0.05,
        turnover=10.0, exposure=0.2, total_return=0.1, score=score,
    )  # fmt: skip


def request(**thresholds: float) -> PromotionRequest:
    return PromotionRequest(
        symbol="BTCUSDT", timeframe="15m", week="2025-12-14", bundle_digest="b",
        gate_report_digest="g", data_digest="d", as_of_ms=1, champion_digest="", created_at_ms=2,
        thresholds=thresholds,
    )  # fmt: skip


def decision(champion: Metrics | None) -> DecisionPage:
    mine = metrics(26.05)
    contest = Contest(candidate=mine, champion=champion, share=1.0) if champion else None
    held = champion.score if champion else 0.0
    outcomes = (
        at_least("score", mine.score, held * 1.02, origin="champion 26.87 × 1.02"),
        at_least("fold_profit_factor", 2.5, 1.8, 0),
        at_least("fold_profit_factor", 2.1, 1.8, 1),
        at_most("calibration_mae", 0.03, 0.05),
        at_most("believable_sharpe", 26.0, 30.0),
    )
    return DecisionPage(
        symbol="BTCUSDT",
        week="2025-12-21",
        report=GateReport(outcomes, {"min_shared_bars": 0.4, "believable_sharpe": 5.0}),
        accounts=Accounts(
            folds=(mine,), whole=mine, stressed=mine, contest=contest, champion_digest="",
            funding_share=1.0, scrutiny=None,
        ),
        before=request(min_shared_bars=0.5, believable_sharpe=5.0),
    )  # fmt: skip


def test_candidate_champion_difference_and_limit_stand_side_by_side() -> None:
    """A row per figure on the same bars, and the worst fold below with its limit."""
    rows = {one["figure"]: one for one in decision(metrics(26.87)).rows}
    score = {"figure": "score", "candidate": "26.05", "champion": "26.87", "Δ": "-0.82"}
    assert rows["score"] == score | {"limit": "≥ 27.41"}
    assert rows["worst fold's profit factor"]["candidate"] == "2.1"
    assert rows["worst fold's profit factor"]["limit"] == "≥ 1.8"
    assert rows["calibration mae"]["limit"] == "≤ 0.05"
    assert {one["champion"] for one in decision(None).rows} == {"–"}


def test_what_is_too_good_and_what_was_eased_is_said() -> None:
    """The approver reads both before the figures."""
    good, changed = decision(metrics(26.87)).doubts
    assert good.startswith("too good: Sharpe 26 > 5")
    assert changed == "thresholds changed since the champion: min_shared_bars 0.5 → 0.4"


def test_the_note_names_the_request_and_what_promote_does_not_do() -> None:
    """In MLflow the page ends with how to approve, and that its own button promotes nothing."""
    one = decision(metrics(26.87))
    note = one.note("BTCUSDT-2025-12-21-abc")
    assert "tidegate approve BTCUSDT-2025-12-21-abc" in note
    assert "promotes nothing" in note
    assert "| score | 26.05 | 26.87 | -0.82 | ≥ 27.41 |" in note
    assert one.sentence in note


def test_plots_get_numbers_and_a_person_few_digits() -> None:
    """What is no number is left out of the figures, and a dash in a table."""
    shown = decision(metrics(26.87)).metadata()
    assert shown["refused"] == 1
    assert shown["score_delta"] == -0.82
    assert figures({"a": 0.123456789, "b": math.nan, "c": None, "d": 7}) == {"a": 0.1235, "d": 7}
    cells = table([{"a": 0.123456789, "b": math.nan, "c": None, "d": 7}])
    assert isinstance(cells, dg.TableMetadataValue)
    assert cells.records[0].data == {"a": "0.1235", "b": "–", "c": "–", "d": "7"}


def test_the_launchpad_waits_for_a_name_only() -> None:
    """The address holds the run configuration with the request filled in."""
    assert "request_id%3A%20BTCUSDT-x" in approval_page("BTCUSDT-x")
