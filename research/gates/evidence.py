"""From a candidate and its market to the evidence that the gates judge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from research.backtest.walk_forward import WalkForward
from research.datasets.table import TrainingTable
from research.evaluation.bootstrap import BLOCK_HORIZONS
from research.evaluation.reliability import Reliability, calibration_mae, disagreement, reliability
from research.evaluation.skill import STACK, Said, SkillReport, measure
from research.gates.accounts import Accounts
from research.gates.gates import Evidence
from research.settings import Settings
from research.training.candidate import Candidate, Predecessor
from research.training.references import CALENDAR, PRIOR

CHAMPION = "champion"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Calibration of the gate folds, pooled, how often the bases disagree on their rows, and the
    skill of every model beside what knows nothing; None in evaluations of before it was measured.
    """

    calibration_mae: float
    curves: tuple[Reliability, ...]
    disagreement: float
    rows: int
    skill: SkillReport | None

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation, ready for JSON."""
        curves = [
            {
                "class": curve.name,
                "mae": curve.mae,
                "predicted": curve.predicted.tolist(),
                "observed": curve.observed.tolist(),
                "rows": curve.rows.tolist(),
            }
            for curve in self.curves
        ]
        return {
            "calibration_mae": self.calibration_mae,
            "disagreement": self.disagreement,
            "rows": self.rows,
            "curves": curves,
            "skill": self.skill.to_record() if self.skill else None,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Return the evaluation that `to_dict` wrote."""
        curves = (
            Reliability(
                name=curve["class"],
                predicted=np.array(curve["predicted"], np.float64),
                observed=np.array(curve["observed"], np.float64),
                rows=np.array(curve["rows"], np.int64),
            )
            for curve in raw["curves"]
        )
        return cls(
            calibration_mae=raw["calibration_mae"],
            curves=tuple(curves),
            disagreement=raw["disagreement"],
            rows=raw["rows"],
            skill=SkillReport.from_record(raw["skill"]) if raw.get("skill") else None,
        )


def evaluate(
    candidate: Candidate, settings: Settings, champion: Predecessor | None = None
) -> Evaluation:
    """Return how true the gate folds' probabilities were, and what they were worth.

    The champion is held against what it said itself out of fold, on the rows that both predicted.
    """
    rows = np.concatenate([fold.rows for fold in candidate.folds])
    p = np.concatenate([fold.probabilities for fold in candidate.folds])
    at = np.searchsorted(candidate.oof.rows, rows)
    y = candidate.oof.y[at]
    votes = candidate.oof.votes[at]
    there = votes[:, np.isfinite(votes).all(axis=0)]
    return Evaluation(
        calibration_mae=calibration_mae(p, y),
        curves=reliability(p, y),
        disagreement=disagreement(there),
        rows=len(rows),
        skill=_skill(candidate, at, p, settings, champion),
    )


def _skill(
    candidate: Candidate,
    at: NDArray[np.intp],
    p: NDArray[np.float32],
    settings: Settings,
    champion: Predecessor | None,
) -> SkillReport | None:
    """Return the skill of stack, bases and references; None for a candidate of before there were
    references.
    """
    oof = candidate.oof
    if not oof.references:
        return None
    votes = oof.votes[at]
    said = [
        Said(STACK, "stack", p),
        *(Said(name, "base", votes[:, 3 * k : 3 * k + 3]) for k, name in enumerate(oof.bases)),
        *(Said(name, "reference", one[at]) for name, one in oof.references.items()),
    ]
    if champion is not None and len(np.intersect1d(oof.start_ms[at], champion.decided_ms)):
        said.append(Said(CHAMPION, "reference", _of_champion(champion, oof.start_ms[at])))
    return measure(
        said,
        oof.y[at],
        oof.block[at],
        prior=PRIOR,
        calendar=CALENDAR,
        block_rows=BLOCK_HORIZONS * settings.labels.horizon_bars,
        seed=settings.models.stack.seed,
    )


def _of_champion(champion: Predecessor, decided_ms: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return what the champion said at these closes, NaN where it is not on record."""
    at = np.searchsorted(champion.decided_ms, decided_ms)
    at = np.minimum(at, len(champion.decided_ms) - 1)
    found = champion.decided_ms[at] == decided_ms
    return np.where(found[:, None], champion.probabilities[at], np.float32(np.nan))


def gather(
    candidate: Candidate,
    table: TrainingTable,
    walk: WalkForward | Accounts,
    evaluation: Evaluation,
    settings: Settings,
    *,
    without_funding: str,
) -> Evidence:
    """Return the evidence of a candidate trained on `table` and traded as in `walk`."""
    return Evidence(
        folds=walk.folds,
        whole=walk.whole,
        stressed=walk.stressed,
        highest_confidence=tuple(
            float(fold.decisions[:, [0, 2]].max()) for fold in candidate.folds
        ),
        min_confidence=settings.trading.min_confidence,
        calibration_mae=evaluation.calibration_mae,
        parity=candidate.parity,
        coverage={name: table.coverage[name] for name in candidate.feature_names},
        min_coverage=settings.validation.min_coverage,
        inference_cpu_ms=candidate.cost.cpu_ms,
        bundle_bytes=len(candidate.signal),
        funding_share=walk.funding_share,
        without_funding=without_funding,
    )
