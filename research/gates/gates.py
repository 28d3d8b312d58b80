"""The gates: which evidence lets a candidate pass, with a value, a threshold and a reason for
each.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any, Self

from kernel.digest import canonical_json, sha256_hex
from research.evaluation.metrics import Metrics
from research.gates.accounts import Contest
from research.gates.thresholds import thresholds_digest, thresholds_of, too_good
from research.settings import GateSettings
from research.training.parity import Parity

# Measured anew on each machine: the value is shown, but two runs on the same data have one digest.
# Reports that were stored while the wall clock was judged name it as their gate.
MEASURED = frozenset({"inference_cpu_ms", "latency_p99_ms"})
BELIEVABLE = "believable_sharpe"
NO_CHAMPION = "no champion to beat"
NOT_COMPARED = (
    "score not compared: too few of the champion's decisions are known on these bars; "
    "monitor the weeks since the champion's cutoff, so that its live decisions are in the lake"
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a candidate; every figure comes from rows its models had not seen.

    `folds` are the gate folds, `whole` one account through all of them, `stressed` that account
    under dearer and later fills. `highest_confidence` is, fold by fold, the highest probability
    that a side was given, of which `min_confidence` is asked before a trade. `coverage` is the
    lowest share of values of each feature used, `min_coverage` what was asked for, of funding as
    well: `funding_share` is that of the traded bars whose settlements are known. `without_funding`
    says why results may exclude funding all the same, '' where nothing does.
    """

    folds: tuple[Metrics, ...]
    whole: Metrics
    stressed: Metrics
    highest_confidence: tuple[float, ...]
    min_confidence: float
    calibration_mae: float
    parity: Parity
    coverage: Mapping[str, float]
    min_coverage: float
    inference_cpu_ms: float
    bundle_bytes: int
    funding_share: float
    without_funding: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """One gate's verdict; `fold` is None for a gate over all folds, `threshold` None where there
    is nothing to compare.
    """

    gate: str
    fold: int | None
    value: float
    threshold: float | None
    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class GateReport:
    """Every outcome, passed or not, and the thresholds of `gates.yaml` that were in force.

    Reports that were stored before thresholds were kept have none.
    """

    outcomes: tuple[Outcome, ...]
    thresholds: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def accepted(self) -> bool:
        """Return whether every gate passed."""
        return all(outcome.passed for outcome in self.outcomes)

    @property
    def refusals(self) -> tuple[str, ...]:
        """Return the reasons of the gates that refused, one cause once."""
        reasons = (outcome.reason for outcome in self.outcomes if not outcome.passed)
        return tuple(dict.fromkeys(reasons))

    @property
    def note(self) -> str:
        """Return what a person should doubt although every gate passed, '' where nothing."""
        sharpes = [one.value for one in self.outcomes if one.gate == BELIEVABLE]
        return too_good(sharpes[0], self.thresholds) if sharpes else ""

    @property
    def digest(self) -> str:
        """Return the digest of all outcomes and thresholds, less the values that depend on the
        machine; without thresholds it is the one that reports had before those were kept.
        """
        outcomes = [_digested(outcome) for outcome in self.outcomes]
        kept = {"outcomes": outcomes, "thresholds": dict(self.thresholds)}
        return sha256_hex(canonical_json(kept if self.thresholds else outcomes))

    @property
    def thresholds_digest(self) -> str:
        """Return the digest of the thresholds as they were read, '' where none are kept."""
        return thresholds_digest(self.thresholds)

    def to_dict(self) -> dict[str, Any]:
        """Return accepted, digests, outcomes and thresholds, ready for JSON."""
        kept = {
            "thresholds": dict(self.thresholds),
            "thresholds_digest": self.thresholds_digest,
        }
        return {
            "accepted": self.accepted,
            "digest": self.digest,
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
            **(kept if self.thresholds else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the report written by `to_dict`; raise ValueError where its digest is not its
        outcomes'.
        """
        report = cls(
            outcomes=tuple(Outcome(**outcome) for outcome in values["outcomes"]),
            thresholds=values.get("thresholds", {}),
        )
        if report.digest != values["digest"]:
            raise ValueError(
                f"gate report: found digest {values['digest']}, expected {report.digest}"
            )
        return report


def _digested(outcome: Outcome) -> dict[str, Any]:
    hidden = ("value", "reason") if outcome.gate in MEASURED else ()
    return {key: value for key, value in asdict(outcome).items() if key not in hidden}


def evaluate(candidate: Evidence, contest: Contest | None, settings: GateSettings) -> GateReport:
    """Return the report on `candidate`; `contest` is None only where there is no champion."""
    return GateReport(
        outcomes=(
            *_fold_outcomes(candidate, settings),
            *_champion_outcomes(candidate.whole, contest, settings),
            _funding_outcome(candidate),
            *_model_outcomes(candidate, settings),
            _believable_outcome(candidate.whole, settings),
        ),
        thresholds=thresholds_of(settings),
    )


def _fold_outcomes(evidence: Evidence, settings: GateSettings) -> Iterator[Outcome]:
    for k, fold in enumerate(evidence.folds):
        silence = _silence(evidence, k)
        for outcome in (
            at_least("fold_trades", fold.trades, settings.min_fold_trades, k),
            at_least("fold_win_rate", fold.win_rate, settings.min_fold_win_rate, k),
            at_least("fold_profit_factor", fold.profit_factor, settings.min_fold_profit_factor, k),
        ):
            yield _because(silence, outcome)
    middle = median(fold.profit_factor for fold in evidence.folds)
    whole = _silence(evidence, None)
    yield _because(
        whole, at_least("median_profit_factor", middle, settings.min_median_profit_factor)
    )
    yield _because(
        whole,
        at_least("stress_return", evidence.stressed.total_return, settings.min_stress_return),
    )


def _silence(evidence: Evidence, fold: int | None) -> str:
    """Return why nothing was traded in a fold, or in any of them: '' where a bar was sure enough.

    A fold without a trade fails every gate on its trades for one cause, which is told once.
    """
    highest = max(evidence.highest_confidence)
    place = ""
    if fold is not None and highest >= evidence.min_confidence:
        highest = evidence.highest_confidence[fold]
        place = f" in fold {fold}"
    if highest >= evidence.min_confidence:
        return ""
    return f"no bar reached {evidence.min_confidence:.2f}{place}; highest {highest:.3f}"


def _because(cause: str, outcome: Outcome) -> Outcome:
    return replace(outcome, reason=cause) if cause and not outcome.passed else outcome


def _champion_outcomes(
    whole: Metrics, contest: Contest | None, settings: GateSettings
) -> Iterator[Outcome]:
    cap = settings.max_drawdown_without_champion
    if contest is None:
        yield at_most("max_drawdown", whole.max_drawdown, cap)
        yield Outcome(
            gate="score",
            fold=None,
            value=whole.score,
            threshold=None,
            passed=True,
            reason=NO_CHAMPION,
        )
        return
    # A backfilled week shows what was, not what should trade: going back is a person's rollback.
    yield at_least("days_newer_than_champion", contest.days_newer, 0.0)
    shared = at_least("shared_bars", contest.share, settings.min_shared_bars)
    yield shared
    if contest.candidate is None or contest.champion is None or not shared.passed:
        # Letting it pass would put a worse model live after each change of the features.
        yield at_most("max_drawdown", whole.max_drawdown, cap)
        yield Outcome(
            gate="score",
            fold=None,
            value=whole.score,
            threshold=None,
            passed=False,
            reason=NOT_COMPARED,
        )
        return
    theirs = contest.champion.max_drawdown
    above = settings.max_drawdown_above_champion
    yield at_most(
        "max_drawdown",
        contest.candidate.max_drawdown,
        theirs + above,
        origin=f"champion {theirs:.4g} + {above:.4g}",
    )
    if contest.share < 1.0:  # on its other bars there is no champion to hold it against
        yield at_most("max_drawdown_of_all_bars", whole.max_drawdown, cap)
    held = contest.champion.score
    factor = settings.min_score_over_champion
    margin = (factor - 1.0) * abs(held)  # a negative score grows by it too, towards zero
    grown = f"× {factor:.6g}" if held >= 0.0 else f"+ {margin:.4g}"
    yield at_least(
        "score", contest.candidate.score, held + margin, origin=f"champion {held:.4g} {grown}"
    )


def _funding_outcome(evidence: Evidence) -> Outcome:
    """Return whether what was earned is net of funding, or a person accepts that it is not."""
    share = evidence.funding_share
    threshold = evidence.min_coverage
    if share >= threshold:
        return at_least("funding", share, threshold)
    found, due = _apart(share, threshold)
    excluded = (
        f"funding {found} < {due} of the traded bars with known settlements: results exclude "
        "funding"
    )
    if evidence.without_funding:
        reason = f"{excluded}: {evidence.without_funding}"
        return Outcome(
            gate="funding", fold=None, value=share, threshold=threshold, passed=True, reason=reason
        )
    remedy = (
        "ingest the table funding, or accept the symbol by name in gates.yaml under "
        "accept_without_funding"
    )
    return Outcome(
        gate="funding",
        fold=None,
        value=share,
        threshold=threshold,
        passed=False,
        reason=f"{excluded}: {remedy}",
    )


def _believable_outcome(whole: Metrics, settings: GateSettings) -> Outcome:
    """Return a gate that refuses nothing, and says of a Sharpe ratio that it is too good."""
    plain = at_most(BELIEVABLE, whole.sharpe, settings.believable_sharpe)
    note = too_good(whole.sharpe, thresholds_of(settings))
    return replace(plain, passed=True, reason=note or plain.reason)


def without_funding(symbol: str, settings: GateSettings, *, spot: bool) -> str:
    """Return why results of a symbol may exclude funding, '' where they may not."""
    if spot:
        return f"{symbol} is traded on a spot market, which has none"
    if symbol in settings.accept_without_funding:
        return f"accepted for {symbol} by name in gates.yaml"
    return ""


def _model_outcomes(evidence: Evidence, settings: GateSettings) -> Iterator[Outcome]:
    worst = min(evidence.coverage.values(), default=0.0)
    largest = max(evidence.parity.max_abs_dp, evidence.parity.max_abs_votes)
    yield at_most("calibration_mae", evidence.calibration_mae, settings.max_calibration_mae)
    yield at_most("parity_error", largest, settings.max_parity_error)
    yield at_most("flipped_decisions", evidence.parity.flipped_decisions, 0)
    yield at_least("feature_coverage", worst, evidence.min_coverage)
    yield at_most("inference_cpu_ms", evidence.inference_cpu_ms, settings.max_inference_cpu_ms)
    yield at_most("bundle_bytes", evidence.bundle_bytes, settings.max_bundle_bytes)


def at_least(
    gate: str, value: float, threshold: float, fold: int | None = None, *, origin: str = ""
) -> Outcome:
    """Return the outcome of value >= threshold; NaN does not pass. `origin` says what a threshold
    is made of that no file names.
    """
    return _outcome(
        gate=gate,
        fold=fold,
        value=value,
        threshold=threshold,
        passed=value >= threshold,
        relations=("≥", "<"),
        origin=origin,
    )


def at_most(
    gate: str, value: float, threshold: float, fold: int | None = None, *, origin: str = ""
) -> Outcome:
    """Return the outcome of value <= threshold; NaN does not pass. `origin` as in `at_least`."""
    return _outcome(
        gate=gate,
        fold=fold,
        value=value,
        threshold=threshold,
        passed=value <= threshold,
        relations=("≤", ">"),
        origin=origin,
    )


def _outcome(
    *,
    gate: str,
    fold: int | None,
    value: float,
    threshold: float,
    passed: bool,
    relations: tuple[str, str],
    origin: str,
) -> Outcome:
    place = "" if fold is None else f" of fold {fold}"
    asked, broken = relations
    relation = asked if passed else f"is not {asked}" if math.isnan(value) else broken
    found, due = _apart(value, threshold)
    made = f" = {origin}" if origin else ""
    return Outcome(
        gate=gate,
        fold=fold,
        value=float(value),
        threshold=float(threshold),
        passed=passed,
        reason=f"{gate}{place} {found} {relation} {due}{made}",
    )


def _apart(value: float, threshold: float) -> tuple[str, str]:
    """Return both numbers with as few digits as show that they differ, four at least."""
    for digits in (4, 6):
        found = f"{value:.{digits}g}"
        due = f"{threshold:.{digits}g}"
        if found != due or value == threshold:
            return found, due
    return repr(float(value)), repr(float(threshold))
