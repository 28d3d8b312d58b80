"""Another runtime, in another language, gives a graph's golden answers."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from research.graphs.runtime import session
from tests.research.graphs.test_fusion import WIDTH
from tests.research.graphs.test_hull import GRAPH, rows

OLDEST = "1.17.0"  # a graph that the oldest promised runtime loads, later ones load too
SCRIPT = Path(__file__).parent / "answers.cjs"
# Its scripts only fetch libraries for graphics cards; those of the processor lie in the package.
INSTALL = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix")


@pytest.mark.slow
def test_onnxruntime_node_gives_the_golden_answers(tmp_path: Path) -> None:
    """Probabilities and votes are within a float32's rounding, reasons to abstain equal, missing
    and infinite values included.
    """
    _install(tmp_path)
    x = rows(5, 500)
    x[0] = np.nan
    x[1, 0] = np.inf
    (tmp_path / "signal.onnx").write_bytes(GRAPH)
    (tmp_path / "rows.f32").write_bytes(x.astype("<f4").tobytes())
    told = subprocess.run(
        ["node", SCRIPT, "signal.onnx", "rows.f32", str(WIDTH)],
        cwd=tmp_path,
        env={**os.environ, "NODE_PATH": str(tmp_path / "node_modules")},
        check=True,
        capture_output=True,
    ).stdout
    found = {
        name: np.reshape(one["values"], one["shape"]) for name, one in json.loads(told).items()
    }
    runner = session(GRAPH)
    names = [one.name for one in runner.get_outputs()]
    golden = dict(zip(names, runner.run(names, {"input": x}), strict=True))
    assert set(found) == {"probabilities", "votes", "abstain"}
    for name in ("probabilities", "votes"):
        assert np.abs(found[name] - golden[name]).max() <= 1e-6, name
    assert np.array_equal(found["abstain"], golden["abstain"])
    assert golden["abstain"].any()


def _install(folder: Path) -> None:
    """Install the runtime from npm, or skip where there is no npm or no registry."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    done = subprocess.run(
        [*INSTALL, str(folder), f"onnxruntime-node@{OLDEST}"],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.skip(f"npm cannot install onnxruntime-node: {done.stderr.strip()[-200:]}")
