"""Every gate has a line in docs/gates.md and in the runbook of a refusal."""

import ast
import inspect
from pathlib import Path

import pytest

from research.gates import gates

DOCS = Path(__file__).resolve().parents[2] / "docs"
MAKERS = {"at_least", "at_most", "Outcome"}


def names() -> set[str]:
    """Return the gates that the code makes: the first argument of each outcome."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(inspect.getsource(gates))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            first = node.args[0]
            if node.func.id in MAKERS and isinstance(first, ast.Constant):
                found.add(str(first.value))
    return found


@pytest.mark.parametrize("page", ["gates.md", "runbooks/a-refused-candidate.md"])
def test_a_page_names_every_gate(page: str) -> None:
    """Whoever reads a gate's name in a report finds what it means and what to look at."""
    text = (DOCS / page).read_text()
    assert len(names()) >= 10
    assert [name for name in sorted(names()) if f"`{name}`" not in text] == []
