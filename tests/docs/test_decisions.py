"""docs/decisions/README.md lists every decision with the status that it carries."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "decisions"
DECISIONS = sorted(FOLDER.glob("[0-9]*.md"))
STATUS = re.compile(r"^\*\*Status\.\*\* (Accepted in \S+\.|Proposed\.|Superseded by \d+\.)$", re.M)
HEADINGS = ("**Status.**", "**Context.**", "**Decision.**", "**Consequences.**")


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_headings_and_stands_in_the_index(path: Path) -> None:
    """Number, title and status of the page are those of its line in the table."""
    page = path.read_text()
    number, title = re.match(r"# (\d+)\. (.+)\n", page).groups()
    assert [heading for heading in HEADINGS if heading not in page] == []
    status = STATUS.search(page).group(1)
    assert f"| [{number}]({path.name}) | {title} | {status} |" in (FOLDER / "README.md").read_text()


def test_numbers_are_taken_once_and_in_order() -> None:
    """Decision n is the n-th file, and the index names no other."""
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(DECISIONS) + 1))
    named = re.findall(r"\]\((\d{4}-[a-z0-9-]+\.md)\)", (FOLDER / "README.md").read_text())
    assert named == [path.name for path in DECISIONS]
