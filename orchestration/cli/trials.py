"""`tidegate trials`: what was tried on each symbol, whatever came of it."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from orchestration.cli.words import shown
from orchestration.environments import Environment
from orchestration.resources.trial_ledger import TrialLedger
from research.tuning.ledger import TrialRow

SHOWN = 20


def print_trials(symbols: tuple[str, ...], every: bool, console: Console) -> None:
    """Print the newest trials of each symbol, and how many there are of each kind.

    Raises LedgerBrokenError where a ledger does not stand.
    """
    ledger = TrialLedger(home=str(Environment.from_environ().home))
    known = ledger.symbols()
    for symbol in symbols or known:
        rows = list(ledger.rows(symbol).values())
        console.print(shown(_counted(symbol, rows)), soft_wrap=True)
        if rows:
            console.print(_table(rows if every else rows[-SHOWN:]))
    if not known:
        console.print("nothing was tried yet: `tidegate retrain` and `tidegate tune` try something")


def _counted(symbol: str, rows: Sequence[TrialRow]) -> str:
    """Return the sentence that says how often the data of a symbol were looked at."""
    kinds = Counter[str]()
    for row in rows:
        kinds[row.trial.kind] += row.looks
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
    opened = sum(row.open for row in rows)
    sentence = f"{symbol}: {sum(kinds.values())} trials: {told}"
    if opened:
        sentence += f"; {opened} begun and not finished: they count all the same"
    return sentence


def _table(rows: Sequence[TrialRow]) -> Table:
    table = Table()
    for column in ("trial", "kind", "name", "learnt until", "outcome", "score", "return", "looks"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*map(shown, _cells(row)))
    return table


def _cells(row: TrialRow) -> tuple[str, ...]:
    from market_data.window import moment

    last = row.records[-1] if row.records else None
    scored = last is not None and bool(last.scores)
    return (
        row.trial.id[:12],
        row.trial.kind,
        row.trial.name,
        moment(row.trial.span_ms[1])[: len("2026-01-31")],
        last.outcome if last else "open",
        f"{last.objective} {sum(last.scores) / len(last.scores):.4f}" if last and scored else "",
        f"{last.total_return:+.2%}" if last and last.stream else "",
        str(row.looks),
    )
