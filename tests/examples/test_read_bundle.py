"""The script that reads a bundle, on a sound bundle and on a spoilt one."""

import subprocess
import sys
from pathlib import Path

import pytest

from kernel.features.engine import initial_state
from kernel.features.registry import FEATURES
from tests.live_runner.bundles import write_bundle

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "read_bundle.py"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    state = initial_state()
    return write_bundle(tmp_path, "BTCUSDT", seed=3, state=state, state_open_ms=1_764_999_900_000)


def read(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_bundle_says_what_it_is_and_answers_as_it_did(bundle: Path) -> None:
    """Digest, symbol, number of features and the golden rows' own answers."""
    told = read(bundle)
    assert told.returncode == 0, told.stderr
    assert bundle.name in told.stdout
    assert f"{len(FEATURES)} features" in told.stdout
    assert "8 rows with known answers, off by 0.0e+00" in told.stdout


def test_a_spoilt_bundle_is_refused(bundle: Path) -> None:
    """One byte more in a file, and nothing is said of it but that."""
    with (bundle / "signal.onnx").open("ab") as graph:
        graph.write(b"x")
    told = read(bundle)
    assert told.returncode != 0
    assert "file_digest_mismatch" in told.stderr
    assert told.stdout == ""
