"""From what the stages stored to a bundle on disk, and a last look at it before it is signed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernel.bundle import BundleRefused, check_golden, verify_contents
from research.bundles import write as bundling
from research.bundles.revision import source_revision
from research.bundles.write import Provenance, StateAtCutoff
from research.datasets import files as dataset_files
from research.features.certificate import faults
from research.features.history import Snapshot
from research.gates.gates import GateReport
from research.graphs.export import PROBABILITIES
from research.graphs.runtime import outputs
from research.settings import Settings
from research.training import candidate as candidates

GOLDEN_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Sealed:
    """A bundle on disk: its digest, what it was made of, and the size of each file in bytes."""

    digest: str
    symbol: str
    data_digest: str
    gate_report_digest: str
    tracking_run: str
    sizes: dict[str, int]

    def record(self) -> dict[str, Any]:
        """Return everything but the sizes, ready for JSON."""
        return {
            "digest": self.digest,
            "symbol": self.symbol,
            "data_digest": self.data_digest,
            "gate_report_digest": self.gate_report_digest,
            "tracking_run": self.tracking_run,
        }


def seal(
    root: Path,
    symbol: str,
    files: Mapping[str, bytes],
    dataset: Mapping[str, bytes],
    report: Mapping[str, Any],
    certificate: Mapping[str, Any],
    cutoff: Snapshot,
    settings: Settings,
) -> Sealed:
    """Write the bundle of a stored candidate under `root`.

    `files`, `dataset`, `report` and `certificate` are what training, datasets, gates and features
    stored; `cutoff` is the feature state after the last bar. Raises ValueError where the report was
    altered after it was written, and where the certificate does not prove a feature.
    """
    judged = GateReport.from_dict(report)
    candidate = candidates.from_files(files)
    if unproved := faults(certificate, candidate.feature_names):
        name, fault = next(iter(unproved.items()))
        raise ValueError(
            f"leak certificate: found that {name} {fault}, expected a proof of each of the "
            f"{len(candidate.feature_names)} features: materialize features/certificate"
        )
    provenance = Provenance(
        symbol=symbol,
        data_digest=dataset[dataset_files.DATA_DIGEST].decode(),
        code_revision=source_revision(),
        tracking_run=files["tracking_run"].decode(),
        certificate=certificate,
    )
    golden = bundling.golden_rows(dataset_files.from_files(dataset).x)
    state = StateAtCutoff(cutoff.state, cutoff.open_time_ms)
    digest = bundling.write(root, candidate, golden, state, judged, provenance, settings)
    return Sealed(
        digest=digest,
        symbol=symbol,
        data_digest=provenance.data_digest,
        gate_report_digest=judged.digest,
        tracking_run=provenance.tracking_run,
        sizes={path.name: path.stat().st_size for path in sorted((root / digest).iterdir())},
    )


def broken_rule(folder: Path, symbol: str, timeframe: str) -> str | None:
    """Return the first rule that an unsigned bundle breaks, None where it breaks none.

    Beyond its digests, the graph must give the golden answers on this machine.
    """
    try:
        contents = verify_contents(folder, symbol=symbol, timeframe=timeframe)
        golden = contents.golden
        answers = outputs(contents.files["signal.onnx"], [PROBABILITIES], golden["features"])[0]
        check_golden(answers, golden["probabilities"], GOLDEN_TOLERANCE)
    except BundleRefused as refused:
        return str(refused)
    return None
