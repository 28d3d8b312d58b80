"""No page leads into the void."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


def pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines()]


def test_every_relative_link_leads_to_a_file() -> None:
    """What a page points to is in the repository."""
    broken = {
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages()
        for target in LINK.findall(page.read_text())
        if not (page.parent / target).exists()
    }
    assert broken == set()


def test_every_page_is_reached_from_the_readme() -> None:
    """Following links and folders from README.md leads to every page in docs/ and examples/."""
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in seen:
            continue
        seen.add(page)
        if page.is_dir():
            waiting.extend(page.glob("*.md"))
        elif page.suffix == ".md":
            waiting.extend(page.parent / target for target in LINK.findall(page.read_text()))
    kept = [page for page in pages() if page.relative_to(ROOT).parts[0] in {"docs", "examples"}]
    assert [str(page.relative_to(ROOT)) for page in kept if page not in seen] == []
