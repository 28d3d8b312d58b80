"""docs/add-a-model.md works as written: what it tells a reader to type is typed and run here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/add-a-model.md"
BLOCK = re.compile(r"^```\w+ (file|edit)=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOLDERS = ("kernel", "market_data", "replay_venue", "research", "configs", "tests/research")
# One process: what it costs is the import of the libraries.
FOLLOWED = """
import pytest
code = pytest.main(["-q", "-p", "no:cacheprovider", "--import-mode=importlib",
                    "-k", "decision_tree", "tests/research/models/test_bases.py"])
from tests.research.training.trained_bytes import trained
from tests.research.worlds import small_settings, smaller
found = trained(smaller(small_settings(), trees=2, rounds=3), 13)
print("exit", int(code))
print("bases", *found.bases)
print("votes", found.oof.votes.shape[1], found.parity.max_abs_votes <= 1e-6)
print("scored", *sorted({one.base for one in found.scores}))
"""


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the research library and its tests in which the page has been followed."""
    copy = tmp_path_factory.mktemp("page")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for kind, name, code in BLOCK.findall(PAGE.read_text()):
        path = copy / name
        if kind == "file":
            assert not path.exists(), name
            path.write_text(code)
        else:
            place, _, addition = code.partition("\n")
            text = path.read_text()
            assert text.count(f"{place}\n") == 1, place
            path.write_text(text.replace(f"{place}\n", f"{place}\n{addition}"))
    return copy


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_page_leads_to_a_base_that_votes(followed: Path) -> None:
    """One file, one YAML and one line make a base that keeps the laws, is trained on every fold,
    stands in the graph to 1e-6 and is scored, with no other file touched.
    """
    ran = run(followed, "-c", FOLLOWED)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = dict(line.split(" ", 1) for line in ran.stdout.splitlines()[-4:])
    names = said["bases"].split()
    assert said["exit"] == "0", ran.stdout
    assert names[1] == "decision_tree"
    assert said["votes"] == f"{3 * len(names)} True"
    assert said["scored"].split() == sorted(names)


def test_what_the_page_writes_passes_ruff(followed: Path) -> None:
    """The file that the reader wrote is as `ruff check` and `ruff format` want it."""
    for command in (["check"], ["format", "--check"]):
        ran = run(followed, "-m", "ruff", *command, "--no-cache", "research/models")
        assert ran.returncode == 0, ran.stdout
