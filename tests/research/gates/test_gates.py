import dataclasses
import json
import math
import re

import pytest

from research.evaluation.metrics import Metrics
from research.gates.accounts import Contest
from research.gates.gates import (
    NOT_COMPARED,
    Evidence,
    GateReport,
    Outcome,
    at_least,
    at_most,
    evaluate,
    without_funding,
)
from research.gates.judgement import sentence
from research.gates.thresholds import changed_thresholds
from research.settings import GateSettings
from research.training.parity import Parity
from tests.research.worlds import settings

SETTINGS: GateSettings = settings().gates


def metrics(**changes: float) -> Metrics:
    good = Metrics(
        trades=60, win_rate=0.7, profit_factor=2.4, sharpe=3.0, sortino=4.0, max_drawdown=0.05,
        turnover=50.0, exposure=0.4, total_return=0.08, score=2.85,
    )  # fmt: skip
    return dataclasses.replace(good, **changes)


def evidence(**changes: object) -> Evidence:
    good = Evidence(
        folds=(metrics(), metrics(), metrics()),
        whole=metrics(),
        stressed=metrics(total_return=0.02),
        highest_confidence=(0.8, 0.75, 0.9),
        min_confidence=0.7,
        calibration_mae=0.03,
        parity=Parity(max_abs_dp=3e-8, max_abs_votes=4e-7, flipped_decisions=0, rows=25_000),
        coverage={"rsi_14": 1.0, "oi_change": 0.97},
        min_coverage=0.95,
        inference_cpu_ms=0.1,
        bundle_bytes=300_000,
        funding_share=1.0,
        without_funding="",
    )
    return dataclasses.replace(good, **changes)


def contest(candidate: Metrics, champion: Metrics, share: float = 1.0) -> Contest:
    return Contest(candidate=candidate, champion=champion, share=share)


def folds(**changes: float) -> tuple[Metrics, ...]:
    return (metrics(), metrics(**changes), metrics())


def test_gates_accept_what_meets_every_threshold():
    """Evidence above every threshold passes, with and without a champion it beats."""
    assert evaluate(evidence(), None, SETTINGS).accepted
    beaten = contest(metrics(), metrics(score=2.0))
    assert evaluate(evidence(), beaten, SETTINGS).accepted


def test_gates_pass_values_equal_to_their_thresholds():
    """A threshold belongs to the side that passes."""
    exact = metrics(trades=15, win_rate=0.55, profit_factor=2.0)
    report = evaluate(
        evidence(folds=(exact,) * 3, calibration_mae=0.05, bundle_bytes=20_000_000), None, SETTINGS
    )
    assert report.accepted


@pytest.mark.parametrize(
    ("gate", "fold", "changes", "value", "threshold"),
    [
        ("fold_trades", 1, {"folds": folds(trades=14)}, 14, 15),
        ("fold_win_rate", 1, {"folds": folds(win_rate=0.54)}, 0.54, 0.55),
        ("fold_profit_factor", 1, {"folds": folds(profit_factor=1.79)}, 1.79, 1.8),
        (
            "median_profit_factor",
            None,
            {"folds": (metrics(profit_factor=1.9),) * 2 + (metrics(),)},
            1.9,
            2.0,
        ),
        ("stress_return", None, {"stressed": metrics(total_return=-0.01)}, -0.01, 0.0),
        ("max_drawdown", None, {"whole": metrics(max_drawdown=0.21)}, 0.21, 0.2),
        ("calibration_mae", None, {"calibration_mae": 0.051}, 0.051, 0.05),
        ("parity_error", None, {"parity": Parity(2e-6, 1e-7, 0, 25_000)}, 2e-6, 1e-6),
        ("parity_error", None, {"parity": Parity(1e-7, 3e-6, 0, 25_000)}, 3e-6, 1e-6),
        ("flipped_decisions", None, {"parity": Parity(1e-8, 1e-8, 1, 25_000)}, 1, 0),
        ("feature_coverage", None, {"coverage": {"a": 1.0, "b": 0.9}}, 0.9, 0.95),
        ("funding", None, {"funding_share": 0.5}, 0.5, 0.95),
        ("inference_cpu_ms", None, {"inference_cpu_ms": 1.01}, 1.01, 1.0),
        ("bundle_bytes", None, {"bundle_bytes": 20_000_001}, 20_000_001, 20_000_000),
    ],
)
def test_each_gate_refuses_its_own_failing_evidence(
    gate: str, fold: int | None, changes: dict[str, object], value: float, threshold: float
):
    """One bad figure is refused by its gate alone, which names the value and the threshold."""
    report = evaluate(evidence(**changes), None, SETTINGS)
    refused = [outcome for outcome in report.outcomes if not outcome.passed]
    assert not report.accepted
    assert [(one.gate, one.fold, one.value, one.threshold) for one in refused] == [
        (gate, fold, value, threshold)
    ]
    assert report.refusals == (refused[0].reason,)
    place = f"{gate}{'' if fold is None else f' of fold {fold}'}"
    told = re.match(rf"{place} (\S+) [<>] (\S+)", refused[0].reason)
    assert told is not None
    shown = [float(number) for number in told.groups()]
    assert shown == [pytest.approx(value, rel=1e-3), pytest.approx(threshold, rel=1e-3)]


@pytest.mark.parametrize(
    ("gate", "whole", "champion"),
    [
        ("max_drawdown", metrics(max_drawdown=0.08), metrics(max_drawdown=0.05, score=1.0)),
        ("score", metrics(score=2.0), metrics(score=1.97)),
        ("score", metrics(score=-1.0), metrics(score=-1.01)),
    ],
)
def test_gates_refuse_what_does_not_beat_the_champion(gate: str, whole: Metrics, champion: Metrics):
    """Two points more drawdown, or a score less than 2 % better, is not worth a change."""
    report = evaluate(evidence(whole=whole), contest(whole, champion), SETTINGS)
    assert [one.gate for one in report.outcomes if not one.passed] == [gate]


def test_gates_judge_candidate_and_champion_on_the_bars_they_share():
    """What the candidate earned where the champion could not be asked does not beat it."""
    report = evaluate(
        evidence(whole=metrics(score=9.0)),
        contest(metrics(score=2.0), metrics(score=2.0), share=0.8),
        SETTINGS,
    )
    assert [one.gate for one in report.outcomes if not one.passed] == ["score"]


def test_gates_cap_the_drawdown_on_the_bars_that_the_champion_does_not_share():
    """Beyond the contest the cap of a candidate without a champion holds."""
    report = evaluate(
        evidence(whole=metrics(max_drawdown=0.21)),
        contest(metrics(), metrics(score=1.0), share=0.8),
        SETTINGS,
    )
    assert [one.gate for one in report.outcomes if not one.passed] == ["max_drawdown_of_all_bars"]


@pytest.mark.parametrize(
    "unknown",
    [Contest(None, None, 0.0), contest(metrics(score=9.0), metrics(score=0.0), share=0.49)],
)
def test_what_cannot_be_compared_with_the_champion_is_refused(unknown: Contest):
    """Too few shared bars: the report says that nothing was compared, and nobody passes by it."""
    report = evaluate(evidence(), unknown, SETTINGS)
    refused = [one for one in report.outcomes if not one.passed]
    assert [one.gate for one in refused] == ["shared_bars", "score"]
    assert refused[1].reason == NOT_COMPARED


def test_gates_refuse_a_figure_that_is_not_a_number():
    """NaN never passes, on either side of a threshold."""
    nan = float("nan")
    report = evaluate(evidence(calibration_mae=nan, folds=folds(win_rate=nan)), None, SETTINGS)
    assert {one.gate for one in report.outcomes if not one.passed} == {
        "calibration_mae",
        "fold_win_rate",
    }


def test_report_says_when_there_is_no_champion():
    """Without a champion the score stands alone and the drawdown has an absolute cap."""
    outcomes = {one.gate: one for one in evaluate(evidence(), None, SETTINGS).outcomes}
    assert outcomes["score"] == Outcome(
        gate="score",
        fold=None,
        value=2.85,
        threshold=None,
        passed=True,
        reason="no champion to beat",
    )
    assert outcomes["max_drawdown"].threshold == 0.2


def test_report_survives_json_and_notices_a_changed_value():
    """Read back it is the same; a value edited afterwards no longer fits its digest."""
    report = evaluate(evidence(), None, SETTINGS)
    stored = json.loads(json.dumps(report.to_dict()))
    assert GateReport.from_dict(stored) == report
    stored["outcomes"][0]["value"] = 61.0
    with pytest.raises(ValueError, match="gate report: found digest"):
        GateReport.from_dict(stored)


def test_report_digest_ignores_only_the_measured_cost():
    """Two runs on one data set agree in digest although no two measurements are equal."""
    first = evaluate(evidence(inference_cpu_ms=0.1), None, SETTINGS)
    assert evaluate(evidence(inference_cpu_ms=0.2), None, SETTINGS).digest == first.digest
    assert evaluate(evidence(inference_cpu_ms=9.0), None, SETTINGS).digest != first.digest
    assert evaluate(evidence(calibration_mae=0.031), None, SETTINGS).digest != first.digest


def test_report_of_the_time_when_the_wall_clock_was_judged_is_still_read():
    """Its digest hid the measured latency, and still does."""
    old = GateReport(
        (
            Outcome(
                gate="latency_p99_ms",
                fold=None,
                value=0.4,
                threshold=5.0,
                passed=True,
                reason="found 0.4",
            ),
        )
    )
    slower = dataclasses.replace(old.outcomes[0], value=0.5, reason="found 0.5")
    assert GateReport.from_dict(json.loads(json.dumps(old.to_dict()))) == old
    assert GateReport((slower,)).digest == old.digest


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (at_least("sharpe", 0.5499999, 0.55, 2), "sharpe of fold 2 0.5499999 < 0.55"),
        (at_least("sharpe", math.nan, 0.55), "sharpe nan is not ≥ 0.55"),
        (at_most("drawdown", 0.2, 0.2), "drawdown 0.2 ≤ 0.2"),
        (at_most("drawdown", 0.25, 0.2, origin="champion 0.18 + 0.02"),
         "drawdown 0.25 > 0.2 = champion 0.18 + 0.02"),
    ],
)  # fmt: skip
def test_a_reason_is_the_comparison_itself(outcome: Outcome, told: str):
    """Value, relation and threshold, with as many digits as tell them apart."""
    assert outcome.reason == told


def test_a_refusal_is_one_sentence_that_says_what_a_threshold_is_made_of():
    """Symbol, week, the figure, the limit, and where the limit comes from."""
    contest = Contest(candidate=metrics(score=26.05), champion=metrics(score=26.87), share=1.0)
    report = evaluate(evidence(), contest, SETTINGS)
    assert sentence(report, "BTCUSDT", "2025-12-21") == (
        "BTCUSDT 2025-12-21 refused: score 26.05 < 27.41 = champion 26.87 × 1.02"
    )


def test_a_report_binds_the_thresholds_that_were_in_force():
    """Other thresholds are another report though every outcome is the same; each change is named.

    A report of before they were kept reads back under its own digest.
    """
    first = evaluate(evidence(), None, SETTINGS)
    eased = dataclasses.replace(SETTINGS, min_shared_bars=0.4)
    second = evaluate(evidence(), None, eased)
    assert first.outcomes == second.outcomes
    assert first.digest != second.digest
    assert changed_thresholds(first.thresholds, second.thresholds) == ["min_shared_bars 0.5 → 0.4"]
    for one in (first, GateReport(first.outcomes)):
        assert GateReport.from_dict(json.loads(json.dumps(one.to_dict()))) == one


@pytest.mark.parametrize(("sharpe", "noted"), [(5.0, False), (26.0, True)])
def test_a_sharpe_that_is_too_good_is_said_and_refuses_nothing(sharpe: float, noted: bool):
    """Beyond the stated bound it is first of all a leak: the report carries the note."""
    report = evaluate(evidence(whole=metrics(sharpe=sharpe)), None, SETTINGS)
    assert report.accepted
    assert report.note.startswith("too good: Sharpe 26 > 5") == noted


def test_results_without_funding_pass_by_name_only_and_say_so():
    """A perpetual is refused until a person names it; spot has no funding to miss."""
    named = dataclasses.replace(SETTINGS, accept_without_funding=("SOLUSDT",))
    assert without_funding("BTCUSDT", named, spot=False) == ""
    for why in (
        without_funding("SOLUSDT", named, spot=False),
        without_funding("BTCUSDT", SETTINGS, spot=True),
    ):
        report = evaluate(evidence(funding_share=0.0, without_funding=why), None, named)
        outcome = next(one for one in report.outcomes if one.gate == "funding")
        assert report.accepted
        assert "results exclude funding" in outcome.reason
        assert outcome.reason.endswith(why)
    refused = evaluate(evidence(funding_share=0.0), None, named)
    assert "results exclude funding" in refused.refusals[0]


def test_one_cause_is_one_line():
    """Where no bar was sure enough for a trade, ten gates refuse in one sentence; where one fold
    was silent, it is named once beside what the others lack.
    """
    nothing = metrics(trades=0, win_rate=0.0, profit_factor=0.0, total_return=0.0)
    silent = evidence(
        folds=(nothing,) * 3, whole=nothing, stressed=metrics(total_return=-0.0),
        highest_confidence=(0.61, 0.641, 0.6),
    )  # fmt: skip
    report = evaluate(silent, None, SETTINGS)
    assert report.refusals == ("no bar reached 0.70; highest 0.641",)
    assert sum(not one.passed for one in report.outcomes) == 10
    partly = evidence(
        folds=(metrics(), nothing, metrics(win_rate=0.1)), highest_confidence=(0.8, 0.5, 0.8)
    )
    first, second = evaluate(partly, None, SETTINGS).refusals
    assert first == "no bar reached 0.70 in fold 1; highest 0.500"
    assert second.startswith("fold_win_rate of fold 2 0.1 < 0.55")
