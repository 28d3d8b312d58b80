"""Open a bundle, check it, and ask its model: python examples/read_bundle.py <folder>.

A bundle is a folder of ONNX, JSON, npz and Markdown, named by the digest of its manifest. Numpy and
onnxruntime are all that reading it takes; nothing in it is executed but the graph.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from kernel.bundle import BundleRefused, VerifiedContents, verify_contents
from live_runner.models.graph import Graph


def main(folder: Path) -> None:
    """Print what the bundle is, what its graph answers, and how far that is from its golden rows.

    Raises BundleRefused where a file is not what the manifest says.
    """
    written = json.loads((folder / "manifest.json").read_text())
    bundle = verify_contents(
        folder.resolve(), symbol=written["symbol"], timeframe=written["timeframe"]
    )
    for line in (*describe(bundle), *ask(bundle)):
        sys.stdout.write(line + "\n")


def describe(bundle: VerifiedContents) -> list[str]:
    """Return what the manifest says, a line a fact."""
    manifest = bundle.manifest
    window = manifest.training_window
    size = sum(map(len, bundle.files.values()))
    return [
        f"bundle    {bundle.digest}",
        f"for       {manifest.symbol}, bars of {manifest.timeframe}",
        f"trained   {_day(window['start_ms'])} to {_day(window['end_ms'])}",
        f"reads     {len(manifest.features)} features: {', '.join(manifest.features[:5])}, …",
        f"asks      {', '.join(manifest.bases)}",
        f"trades    from confidence {manifest.trading.min_confidence:g}",
        f"gates     report {manifest.gate_report_digest[:12]}",
        f"files     {', '.join(sorted(bundle.files))}: {size:,} bytes, each as its digest says",
    ]


def ask(bundle: VerifiedContents) -> list[str]:
    """Return the answers to the first golden rows, and the largest difference over all of them."""
    graph = Graph(bundle.files[bundle.manifest.signal.file])
    rows = bundle.golden["features"]
    answers = graph.answers(rows).probabilities
    worst = float(np.abs(answers - bundle.golden["probabilities"]).max())
    shown = [
        "  ".join(f"{name} {p:.3f}" for name, p in zip(bundle.manifest.classes, row, strict=True))
        for row in answers[:3]
    ]
    return [
        *(f"says      {one}" for one in shown),
        f"golden    {len(rows)} rows with known answers, off by {worst:.1e}",
    ]


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d}"


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except (BundleRefused, FileNotFoundError) as error:
        sys.exit(str(error))
