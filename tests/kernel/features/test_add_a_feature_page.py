"""docs/add-a-feature.md works as written: what it tells a reader to type is typed and run here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kernel.features.registry import FEATURES, STATE_SIZE, feature_hash

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/add-a-feature.md"
BLOCK = re.compile(r"^```\w+ (file|edit)=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCHEMA = (
    "from pathlib import Path\n"
    "from research.settings import load_feature_sets\n"
    "from kernel.features.registry import FEATURES, STATE_SIZE, feature_hash\n"
    "names = [name for name in FEATURES if name != 'pivot_distance']\n"
    "print('pivot_distance' in FEATURES, STATE_SIZE, feature_hash(names))\n"
    "sets = load_feature_sets(Path('configs')).sets\n"
    "print(sets['everything'] == FEATURES)\n"
)
HASHES = (
    "from kernel.features.registry import FEATURES, feature\n"
    "print(*(f'{name}={feature(name).hash}' for name in FEATURES))\n"
)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the kernel and its feature tests in which the page has been followed."""
    copy = tmp_path_factory.mktemp("page")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for folder in ("kernel", "configs", "tests/kernel/features"):
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


@pytest.mark.slow  # compiles the kernel anew
def test_the_page_leads_to_a_green_feature(followed: Path) -> None:
    """The test that the page writes and the catalogue's are green on the feature that it writes."""
    ran = run(followed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib",
              "-o", "pythonpath=.", "tests/kernel/features/test_pivots.py",
              "tests/kernel/features/test_catalogue.py")  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_the_page_writes_passes_ruff(followed: Path) -> None:
    """Each file that the reader wrote or edited is as `ruff check` and `ruff format` want it: what
    `make check` asks first.
    """
    names = {name for _, name, _ in BLOCK.findall(PAGE.read_text()) if name.endswith(".py")}
    assert len(names) == 4
    for command in (["check"], ["format", "--check"]):
        ran = run(followed, "-m", "ruff", *command, "--no-cache", *sorted(names))
        assert ran.returncode == 0, ran.stdout


def test_one_more_in_a_group_voids_that_group_alone(followed: Path) -> None:
    """As the page warns: code added to a group changes the hash of all its features, and no
    other's.
    """
    before = run(followed, "-c", HASHES).stdout.split()
    path = followed / "kernel/features/sentiment.py"
    sound = path.read_text()
    path.write_text(f"{sound}_FEAR = 25.0\n")
    try:
        after = run(followed, "-c", HASHES).stdout.split()
    finally:
        path.write_text(sound)
    assert len(before) == len(after) == len(FEATURES) + 1
    changed = {one.split("=")[0] for one in set(before) ^ set(after)}
    assert changed == {"fear_greed", "fear_greed_missing"}


def test_another_feature_voids_no_other_schema(followed: Path) -> None:
    """With the page's feature registered, the schema of all others is what it was, and the set
    `everything` is the whole catalogue.
    """
    there, state_size, digest, everything = run(followed, "-c", SCHEMA).stdout.split()
    assert there == everything == "True"
    assert int(state_size) == STATE_SIZE + 5
    assert digest == feature_hash(FEATURES)


@pytest.mark.slow  # ... and once more
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
