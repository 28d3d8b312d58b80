# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pandas ships no types for this; what leaves this file is typed.
"""The gates' verdict on what evaluation and backtest recorded of a candidate."""

from dataclasses import asdict

from research.datasets.matrix import Table
from research.datasets.table import TrainingTable
from research.gates import gates
from research.gates.accounts import Accounts
from research.gates.evidence import Evaluation, gather
from research.gates.gates import GateReport
from research.settings import Settings
from research.training.candidate import Candidate


def judge(
    candidate: Candidate,
    table: TrainingTable,
    evaluation: Evaluation,
    accounts: Accounts,
    settings: Settings,
    *,
    without_funding: str,
) -> GateReport:
    """Return the gates' report on what was recorded of a candidate.

    `without_funding` says why results may exclude funding, '' where they may not.
    """
    evidence = gather(
        candidate, table, accounts, evaluation, settings, without_funding=without_funding
    )
    return gates.evaluate(evidence, accounts.contest, settings.gates)


def sentence(report: GateReport, symbol: str, week: str) -> str:
    """Return the verdict on a symbol's week in one sentence, with every reason of a refusal."""
    if report.accepted:
        return f"{symbol} {week} accepted: every gate passed"
    return f"{symbol} {week} refused: {'; '.join(report.refusals)}"


def outcome_table(report: GateReport, symbol: str, week: str) -> Table:
    """Return a row per outcome; `fold` is a text, "all" for a gate over all folds.

    A threshold is NaN where there was nothing to compare.
    """
    import pandas as pd

    rows = [
        {
            "symbol": symbol,
            "week": week,
            **asdict(outcome),
            "fold": "all" if outcome.fold is None else str(outcome.fold),
        }
        for outcome in report.outcomes
    ]
    return pd.DataFrame(rows).astype({"value": "float64", "threshold": "float64"})
