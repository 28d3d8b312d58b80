"""What a person decides by: verdict, doubts, and the candidate beside champion and limit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from market_data.window import moment
from orchestration.presentation.metadata import NOTHING, cell, figures, short, table
from research.evaluation.metrics import Metrics
from research.gates.accounts import Accounts
from research.gates.gates import GateReport, Outcome
from research.gates.judgement import sentence
from research.gates.thresholds import changed_thresholds
from research.promotion.records import PromotionRequest

SIDE_BY_SIDE = (
    "score",
    "sharpe",
    "total_return",
    "max_drawdown",
    "win_rate",
    "profit_factor",
    "trades",
)
ALONE = (  # what only the candidate is judged by
    "fold_profit_factor",
    "fold_win_rate",
    "fold_trades",
    "median_profit_factor",
    "stress_return",
    "calibration_mae",
)
AT_MOST = ("max_drawdown", "calibration_mae")  # the others have a least


@dataclass(frozen=True, slots=True)
class DecisionPage:
    """One candidate before whoever decides; `before` is the request of the champion, if there is
    one on file.
    """

    symbol: str
    week: str
    report: GateReport
    accounts: Accounts
    before: PromotionRequest | None

    @property
    def sentence(self) -> str:
        """Return the verdict with every reason of a refusal."""
        return sentence(self.report, self.symbol, self.week)

    @property
    def doubts(self) -> list[str]:
        """Return what to look at twice, a sentence each: too good, or other thresholds than the
        champion passed.
        """
        passed = self.before.thresholds if self.before else {}
        changed = changed_thresholds(passed, self.report.thresholds) if passed else []
        told = f"thresholds changed since the champion: {', '.join(changed)}"
        return [*filter(None, [self.report.note]), *([told] if changed else [])]

    @property
    def headline(self) -> dict[str, float]:
        """Return the figures that are looked at first; a champion's only where there is one.

        `score` and `max_drawdown` are on the bars that both share, where they were compared.
        """
        contest = self.accounts.contest
        mine = self._mine
        found = {
            "score": mine.score,
            "sharpe": self.accounts.whole.sharpe,
            "max_drawdown": mine.max_drawdown,
            "trades": float(mine.trades),
            "worst_fold_profit_factor": _worst(self.report, "fold_profit_factor"),
            "calibration_mae": _worst(self.report, "calibration_mae"),
        }
        if contest is not None and contest.champion is not None:
            found["champion_score"] = contest.champion.score
            found["champion_max_drawdown"] = contest.champion.max_drawdown
            found["score_delta"] = mine.score - contest.champion.score
        return {name: value for name, value in found.items() if value is not None}

    @property
    def rows(self) -> list[dict[str, str]]:
        """Return a row per figure: candidate, champion, difference and limit, on the same bars."""
        contest = self.accounts.contest
        champion = contest.champion if contest else None
        rows = [
            _row(
                name,
                float(getattr(self._mine, name)),
                float(getattr(champion, name)) if champion else None,
                _limit(self.report, name),
            )
            for name in SIDE_BY_SIDE
        ]
        return [*rows, *_alone(self.report)]

    @property
    def _mine(self) -> Metrics:
        contest = self.accounts.contest
        return contest.candidate if contest and contest.candidate else self.accounts.whole

    def note(self, request_id: str = "") -> str:
        """Return the decision page as markdown, for the note on a run in MLflow."""
        lines = [f"**{self.sentence}**", ""]
        lines += [f"- {one}" for one in self.doubts]
        lines += ["", *_markdown(self.rows), ""]
        if request_id:
            lines += [
                f"Request `{request_id}` waits for a person: `tidegate approve {request_id} "
                '--as "<your name>"`, the job `approve_promotion_job` in Dagster, or the tag '
                "`tidegate.approval` with your name on the model version.",
                "",
            ]
        lines.append(
            "*Promote* in MLflow copies a version to another model and promotes nothing here: what "
            "trades is what a person approved and Tidegate signed."
        )
        return "\n".join(lines)

    def metadata(self) -> dict[str, Any]:
        """Return what a page of Dagster opens with; *Plots* draws its figures over the weeks."""
        return {
            "verdict": self.sentence,
            "doubts": table({"look at": one} for one in self.doubts),
            "candidate_and_champion": table(self.rows),
            **figures({**self.headline, "refused": int(not self.report.accepted)}),
        }


def bound(request: PromotionRequest) -> dict[str, str]:
    """Return what an approval of a request binds, as a person reads it."""
    return {
        "bundle": short(request.bundle_digest),
        "gate report": short(request.gate_report_digest),
        "thresholds": short(request.thresholds_digest),
        "data": f"{short(request.data_digest)}, to {moment(request.as_of_ms)} UTC",
        "champion it was compared with": short(request.champion_digest),
        "checks that were green": str(len(request.verdicts)),
        "asked": f"{moment(request.created_at_ms)} UTC",
        "digest of all of it": short(request.digest),
    }


def _row(figure: str, mine: float, theirs: float | None, limit: str) -> dict[str, str]:
    return {
        "figure": figure.replace("_", " "),
        "candidate": cell(mine),
        "champion": cell(theirs),
        "Δ": NOTHING if theirs is None else f"{mine - theirs:+.4g}",
        "limit": limit,
    }


def _alone(report: GateReport) -> Iterator[dict[str, str]]:
    """Yield what only the candidate is judged by: its worst fold, and what holds over all."""
    for name in ALONE:
        value = _worst(report, name)
        if value is not None:
            shown = name.replace("fold_", "worst fold's ") if name.startswith("fold_") else name
            yield _row(shown, value, None, _limit(report, name))


def _of(report: GateReport, gate: str) -> list[Outcome]:
    return [one for one in report.outcomes if one.gate == gate]


def _worst(report: GateReport, gate: str) -> float | None:
    values = [one.value for one in _of(report, gate)]
    if not values:
        return None
    return max(values) if gate in AT_MOST else min(values)


def _limit(report: GateReport, gate: str) -> str:
    thresholds = [one.threshold for one in _of(report, gate) if one.threshold is not None]
    if not thresholds:
        return NOTHING
    return f"{'≤' if gate in AT_MOST else '≥'} {thresholds[0]:.4g}"


def _markdown(rows: Sequence[Mapping[str, str]]) -> list[str]:
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([row[name] for name in names] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]
