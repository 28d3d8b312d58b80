"""The demo's last screen: what became of each symbol, and where to go from here."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestration.cli.closing import WHY_REFUSED, Report, Stage, print_report, write_report

REASON = "profit_factor of fold 2: found 1.1, asked for 1.2"
ROOT = Path(__file__).resolve().parents[3]


def report(*, refused: tuple[str, ...]) -> Report:
    symbols = ["BTCUSDT", "ETHUSDT"]
    week = {"decided": 672, "missed": 0, "trades": 9, "pnl": 12.5}
    return Report(
        market="Tidegate demo on a generated market (seed 7, edge 0.3)",
        symbols=symbols,
        stages=[Stage("ingest", 12.0, 51_000, "2 symbols")],
        gates={one: gate(accepted=one not in refused) for one in symbols},
        bundles={one: "ab" * 32 for one in symbols if one not in refused},
        runner=dict.fromkeys(symbols, week),
        seconds=197.0,
    )


def gate(*, accepted: bool) -> dict[str, Any]:
    return {"accepted": accepted, "outcomes": [{"passed": accepted, "reason": REASON}]}


def screen(one: Report) -> str:
    console = Console(record=True, width=300, file=io.StringIO())
    print_report(one, console, Path("home"), Path("out/demo.json"))
    return console.export_text()


def test_a_refused_candidate_is_explained_once_and_the_rest_is_shown() -> None:
    """Reasons, the one sentence on what a refusal means, and the other symbol's bundle."""
    shown = screen(report(refused=("ETHUSDT",)))
    assert "ETHUSDT refused, trades by rules" in shown
    assert "BTCUSDT accepted, trades by bundle abababababab" in shown
    assert [shown.count(WHY_REFUSED), shown.count(REASON)] == [1, 1]
    assert "672 bars decided, 0 missed" in shown


def test_where_nothing_was_refused_nothing_is_explained() -> None:
    """An accepted demo says nothing of refusals."""
    shown = screen(report(refused=()))
    assert WHY_REFUSED not in shown
    assert "a-refused-candidate" not in shown


@pytest.mark.parametrize("refused", [(), ("BTCUSDT", "ETHUSDT")])
def test_every_page_that_the_screen_names_exists(refused: tuple[str, ...]) -> None:
    """A newcomer who follows the last screen never meets a dead end."""
    words = screen(report(refused=refused)).replace(",", " ").split()
    pages = [word for word in words if word.endswith(".md")]
    assert len(pages) >= 3
    assert [page for page in pages if not (ROOT / page).exists()] == []


def test_the_figures_are_written_as_they_are_shown(tmp_path: Path) -> None:
    """out/demo.json holds what the screen says."""
    path = tmp_path / "out" / "demo.json"
    write_report(report(refused=()), path)
    written = json.loads(path.read_text())
    assert [written["seconds"], written["runner"]["BTCUSDT"]["pnl"]] == [197.0, 12.5]
