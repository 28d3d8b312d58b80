"""How long the code location takes to load in a fresh interpreter, and what it does not import."""

import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNS = 3
PROGRAM = """
import resource, sys, time
began = time.perf_counter()
from orchestration.definitions import defs
assets = len(defs().resolve_asset_graph().materializable_asset_keys)
seconds = time.perf_counter() - began
heavy = [m for m in ("pandas", "mlflow", "sklearn", "xgboost", "lightgbm", "torch", "onnxruntime",
                     "great_expectations", "ccxt", "duckdb", "shap") if m in sys.modules]
mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(seconds, assets, mib, ",".join(heavy) or "none")
"""


def main() -> None:
    """Print the median of three fresh interpreters."""
    seconds = []
    last = ""
    for _ in range(RUNS):
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        first, last = run.stdout.split(maxsplit=1)
        seconds.append(float(first))
    assets, mib, heavy = last.split()
    print(
        f"definitions: {statistics.median(seconds):.2f} s for {assets} assets, {mib} MiB, "
        f"heavy libraries imported: {heavy}"
    )


if __name__ == "__main__":
    main()
