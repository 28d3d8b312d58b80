"""What a demo has to show when it is over: the figures, and one screen of them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from orchestration.cli.words import shown

WHY_REFUSED = (
    "A refusal is a correct answer: the gate asks more of a model than this one showed on weeks "
    "that it had not seen, so nothing was approved or swapped, and the runner went on with its "
    "rules."
)


@dataclass(slots=True)
class Stage:
    """One line of the closing table."""

    stage: str
    seconds: float = 0.0
    rows: int = 0
    result: str = ""


@dataclass(slots=True)
class Report:
    """The figures of a demo run, as printed and as written to out/demo.json."""

    market: str
    symbols: list[str]
    stages: list[Stage] = field(default_factory=list)
    gates: dict[str, Any] = field(default_factory=dict)
    bundles: dict[str, str] = field(default_factory=dict)
    runner: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def write_report(report: Report, path: Path) -> None:
    """Write the figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(report), indent=2, sort_keys=True) + "\n")


def print_report(report: Report, console: Console, home: Path, out: Path) -> None:
    """Print the closing screen: stages, what became of each symbol, where to look, what is next."""
    console.rule()
    console.print(_stages(report))
    for symbol in report.symbols:
        console.print(_fate(report, symbol), soft_wrap=True)
        for reason in _refusals(report.gates[symbol]):
            console.print(shown(f"  {reason}"), soft_wrap=True)
    refused = [symbol for symbol in report.symbols if not report.gates[symbol]["accepted"]]
    if refused:
        console.print(WHY_REFUSED)
    console.print()
    console.print(_pairs("Where to look", _places(home, out)))
    console.print(_pairs("What is next", _next_steps(refused=bool(refused))))


def _stages(report: Report) -> Table:
    title = f"{report.market}: {report.seconds:.0f} s in all"
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("stage", "seconds", "rows", "result"):
        table.add_column(column, justify="right" if column in {"seconds", "rows"} else "left")
    for stage in report.stages:
        rows = f"{stage.rows:,}" if stage.rows else ""
        table.add_row(stage.stage, f"{stage.seconds:.1f}", rows, shown(stage.result))
    return table


def _fate(report: Report, symbol: str) -> str:
    """Return in one line what decided a symbol's bars, and what came of it."""
    digest = report.bundles.get(symbol)
    trader = f"accepted, trades by bundle {digest[:12]}" if digest else "refused, trades by rules"
    week = report.runner[symbol]
    return (
        f"[bold]{symbol}[/bold] {trader} · {week['decided']:,} bars decided, "
        f"{week['missed']} missed · {week['trades']} trades, paper P&L {week['pnl']:+.2f}"
    )


def _refusals(gate: Mapping[str, Any]) -> list[str]:
    return [outcome["reason"] for outcome in gate["outcomes"] if not outcome["passed"]]


def _places(home: Path, out: Path) -> dict[str, str]:
    return {
        "the figures": str(out),
        "gate reports": str(home / "lake" / "gates" / "report"),
        "bundles": str(home / "bundles"),
        "logs": str(home / "logs"),
    }


def _next_steps(*, refused: bool) -> dict[str, str]:
    steps = {
        "make up": "Dagster, MLflow and the runner's page: docs/first-hour.md",
        "your own data": "docs/bring-your-own-data.md",
        "the words": "docs/glossary.md",
    }
    return {"a refusal": "docs/runbooks/a-refused-candidate.md", **steps} if refused else steps


def _pairs(title: str, pairs: Mapping[str, str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    table.show_header = False
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for left, right in pairs.items():
        table.add_row(left, shown(right))
    return table
