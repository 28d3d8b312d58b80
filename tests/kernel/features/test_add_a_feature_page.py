"""docs/add-a-feature.md works as written: what it tells a reader to type is typed and run here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kernel.features.registry import FEATURES, STATE_SIZE, feature_hash

ROOT = Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"^```\w+ (file|edit)=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCHEMA = (
    "from pathlib import Path\n"
    "from research.feature_sets import load_feature_sets\n"
    "from kernel.features.registry import FEATURES, STATE_SIZE, feature_hash\n"
    "names = [name for name in FEATURES if name != 'pivot_distance']\n"
    "print('pivot_distance' in FEATURES, STATE_SIZE, feature_hash(names))\n"
    "sets = load_feature_sets(Path('configs/features.yaml')).sets\n"
    "print(sets['everything'] == FEATURES)\n"
)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the kernel and its feature tests in which the page has been followed."""
    copy = tmp_path_factory.mktemp("page")
    for folder in ("kernel", "configs", "tests/kernel/features"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for kind, name, code in BLOCK.findall((ROOT / "docs/add-a-feature.md").read_text()):
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


def test_the_page_leads_to_a_green_feature(followed: Path) -> None:
    """The test that the page writes and the catalogue's are green on the feature that it writes."""
    ran = run(followed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib",
              "-o", "pythonpath=.", "tests/kernel/features/test_pivots.py",
              "tests/kernel/features/test_catalogue.py")  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_another_feature_voids_no_other_schema(followed: Path) -> None:
    """With the page's feature registered, the schema of all others is what it was, and the set
    `everything` is the whole catalogue.
    """
    there, state_size, digest, everything = run(followed, "-c", SCHEMA).stdout.split()
    assert there == everything == "True"
    assert int(state_size) == STATE_SIZE + 5
    assert digest == feature_hash(FEATURES)


def test_a_wrong_claim_in_the_catalogue_fails_the_pages_test(followed: Path) -> None:
    """The page's test is sharp: a warm-up that is stated one bar too short turns it red."""
    path = followed / "kernel/features/pivots.py"
    sound = path.read_text()
    path.write_text(sound.replace("warmup_bars=97", "warmup_bars=96"))
    try:
        ran = run(followed, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                  "--import-mode=importlib", "-o", "pythonpath=.",
                  "tests/kernel/features/test_pivots.py")  # fmt: skip
    finally:
        path.write_text(sound)
    assert ran.returncode == 1, ran.stdout
    assert "1 failed, 1 passed" in ran.stdout
