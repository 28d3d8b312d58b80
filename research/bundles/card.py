"""The card of a bundle: one page of what it is, for the person who decides on it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np

from kernel.decision import CLASSES
from kernel.features.regime import REGIMES
from research.datasets.table import TrainingTable
from research.evaluation.figures import features_png, reliability_png
from research.evaluation.reliability import reliability
from research.gates.gates import MEASURED, GateReport
from research.settings import WEEK_MS, Settings
from research.training.candidate import BaseScore, Candidate

CARD = "card.md"
TOP_FEATURES = 10


def card(
    *, symbol: str, candidate: Candidate, table: TrainingTable, report: GateReport,
    settings: Settings,
) -> dict[str, bytes]:  # fmt: skip
    """Return `card.md` and its pictures by file name; equal arguments give equal bytes.

    What a machine measured is not on it, but what was promised: the card is part of the bundle.
    """
    p = np.concatenate([fold.probabilities for fold in candidate.folds])
    y = np.concatenate([table.y[fold.rows] for fold in candidate.folds])
    curves = reliability(p, y)
    lines = [
        f"# {symbol}, bars of {settings.timeframe}",
        "",
        "Accepted by every gate." if report.accepted else "Refused.",
        *(f"- {name}" for name in _refusing(report)),
        "",
        *_section("Data", _data(candidate, table)),
        *_section("Folds", _folds(candidate)),
        *_section("Bases, in and out", _bases(candidate)),
        *_section("Skill, out of fold", _skill(candidate.scores, candidate.oof.y)),
        *_section("Calibration", [f"- {one.name}: off by {one.mae:.3f}" for one in curves]),
        "![predicted against observed](card-reliability.png)",
        "",
        *_section("Regimes", _regimes(table)),
        *_section("Features that count", _features(candidate)),
        "![mean absolute SHAP by base](card-features.png)",
        "",
        *_section("Cost", _cost(candidate, settings)),
        *_section("Rows unlike the training data", _hull(candidate, table)),
    ]
    return {
        CARD: "\n".join(lines).encode(),
        "card-reliability.png": reliability_png(curves),
        "card-features.png": features_png("Mean absolute SHAP", _strengths(candidate)),
    }


def hull_rates(candidate: Candidate, table: TrainingTable) -> list[list[float]]:
    """Return for each gate fold the share of rows out of the hull, week by week."""
    rates: list[list[float]] = []
    for fold in candidate.folds:
        week = (table.start_ms[fold.rows] - fold.start_ms) // WEEK_MS
        out = fold.abstain != 0
        rates.append([float(out[week == one].mean()) for one in np.unique(week)])
    return rates


def _refusing(report: GateReport) -> list[str]:
    """Return why gates refused; of those that measure the machine only the names."""
    return [
        one.gate if one.gate in MEASURED else one.reason
        for one in report.outcomes
        if not one.passed
    ]


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield from lines
    yield ""


def _data(candidate: Candidate, table: TrainingTable) -> list[str]:
    start_ms, end_ms = candidate.training_window_ms
    worst = sorted(table.coverage.items(), key=lambda item: (item[1], item[0]))[:3]
    return [
        f"- {len(table.y):,} rows from {_day(start_ms)} to {_day(end_ms)}, of which "
        f"{table.let_out:,} were let out after holes",
        f"- {len(candidate.feature_names)} features; least covered: "
        + ", ".join(f"{name} {share:.1%}" for name, share in worst),
        f"- left out for want of values: {', '.join(table.left_out) or 'none'}",
    ]


def _folds(candidate: Candidate) -> list[str]:
    judged = [f"{_day(fold.start_ms)} to {_day(fold.end_ms)}" for fold in candidate.folds]
    blocks = len(np.unique(candidate.oof.block))
    return [f"- {blocks} walk-forward blocks; the gates judge {'; '.join(judged)}"]


def _bases(candidate: Candidate) -> list[str]:
    """Return why each base is in the graph or not, as the training found it."""
    asked = candidate.earning.verdicts if candidate.earning else ()
    verdicts = [f"- {one.base} is {'in' if one.stays else 'out'}: {one.why}" for one in asked]
    absent = [
        f"- {one.base} took no part from {_day(one.from_ms)} on: {one.why}"
        for one in candidate.absent
    ]
    return [*(verdicts or [f"- in: {', '.join(candidate.shipped)}"]), *absent]


def _skill(scores: Sequence[BaseScore], y: np.ndarray) -> list[str]:
    """Return each base's log-loss over all blocks beside that of knowing the class shares."""
    labels = y[y >= 0]
    shares = np.bincount(labels, minlength=len(CLASSES)) / len(labels)
    prior = -float(np.sum(shares[shares > 0] * np.log(shares[shares > 0])))
    lines = ["| base | log-loss | against the class shares | accuracy |", "|---|---|---|---|"]
    for base in dict.fromkeys(score.base for score in scores):
        own = [score for score in scores if score.base == base]
        rows = np.array([score.rows for score in own], np.float64)
        loss = float(np.average([score.log_loss for score in own], weights=rows))
        hits = float(np.average([score.accuracy for score in own], weights=rows))
        lines.append(f"| {base} | {loss:.4f} | {1 - loss / prior:+.2%} | {hits:.1%} |")
    return [*lines, f"| class shares, known afterwards | {prior:.4f} | | {shares.max():.1%} |"]


def _regimes(table: TrainingTable) -> list[str]:
    if "regime" not in table.feature_names:
        return ["- `regime` is not among the features: bases are not weighed by it"]
    told = table.x[:, table.feature_names.index("regime")]
    return [
        f"- {name}: {float((told == code).mean()):.1%} of the rows"
        for code, name in enumerate(REGIMES)
    ]


def _strengths(candidate: Candidate) -> dict[str, dict[str, float]]:
    """Return SHAP values by base, or shares of the splits where no base has them, by the alphabet:
    a candidate that was stored has lost the order of its bases, and gives the same card.
    """
    found = candidate.contributions or candidate.importances
    return {base: dict(sorted(values.items())) for base, values in sorted(found.items())}


def _features(candidate: Candidate) -> list[str]:
    lines: list[str] = []
    for base, values in _strengths(candidate).items():
        strongest = sorted(values.items(), key=lambda item: (-item[1], item[0]))[:TOP_FEATURES]
        lines.append(f"- {base}: {', '.join(f'{name} {value:.3f}' for name, value in strongest)}")
    return lines


def _cost(candidate: Candidate, settings: Settings) -> list[str]:
    return [
        f"- the graph has {len(candidate.signal):,} bytes; a row may take "
        f"{settings.gates.max_inference_cpu_ms:g} ms of CPU",
        f"- the graph decides as its parts on {candidate.parity.rows:,} rows: "
        f"{candidate.parity.flipped_decisions} other decisions",
    ]


def _hull(candidate: Candidate, table: TrainingTable) -> list[str]:
    if candidate.hull is None:
        return ["- no guard: every row is decided"]
    lines = [
        f"- the graph abstains beyond a distance of {candidate.hull.distance:.2f} over "
        f"{len(candidate.hull.features)} features: {candidate.hull.target_rate:.1%} of the "
        "training rows"
    ]
    for fold, rates in zip(candidate.folds, hull_rates(candidate, table), strict=True):
        shown = ", ".join(f"{rate:.1%}" for rate in rates)
        lines.append(f"- of later rows, by week from {_day(fold.start_ms)}: {shown}")
    return lines


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d}"
