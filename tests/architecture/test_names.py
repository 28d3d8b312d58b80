"""One name, one thing: a reader who meets a class knows which it is."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = (
    "kernel",
    "market_data",
    "research",
    "assets",
    "jobs",
    "sensors",
    "orchestration",
    "live_runner",
    "replay_venue",
)


def test_no_two_classes_share_a_name() -> None:
    """A public class has a name that no other file gives to another one."""
    places: dict[str, list[str]] = {}
    for file in sorted(file for room in OURS for file in (ROOT / room).rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(file.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
