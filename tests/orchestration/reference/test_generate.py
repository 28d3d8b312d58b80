"""The generated pages under docs/."""

from pathlib import Path

from orchestration.reference.generate import STAGES, pages

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_reference_pages_are_current() -> None:
    """What the code says now is what docs/ says; `make docs` brings it up to date."""
    for name, text in pages().items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"docs/{name}: run make docs"


def test_every_stage_has_assets_and_a_blocking_check() -> None:
    """No heading of docs/assets.md stands over nothing."""
    sections = pages()["assets.md"].split("\n## ")[1:]
    assert [section.split("\n", 1)[0] for section in sections] == list(STAGES)
    for section in sections:
        assert "| yes |" in section, section
