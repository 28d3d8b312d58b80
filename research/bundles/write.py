"""A candidate as a bundle: a folder named by the digest of its manifest."""

import io
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.bundle import MANIFEST
from kernel.digest import canonical_json, sha256_hex
from kernel.features.registry import GROUPS, feature_hash
from kernel.manifest import SIGNAL, Budgets, Manifest, StateSlots, TrainingWindow
from research.features.certificate import LeakCertificate
from research.gates.gates import MEASURED, GateReport
from research.graphs.runtime import answers
from research.graphs.signature import spec_of
from research.settings import Settings
from research.training.candidate import Candidate

GOLDEN_ROWS = 64
SIGNAL_FILE = f"{SIGNAL}.onnx"
# What passed the gate and was approved is not refused for the runner's slower core, nor for the
# noise of a second measurement: up to 1.8 times the first on a busy machine.
RUNNER_HEADROOM = 2.0


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a bundle comes from: `data_digest` of the market as known, code revision, and the
    certificate that its features see no future.
    """

    symbol: str
    data_digest: str
    code_revision: str
    certificate: LeakCertificate


@dataclass(frozen=True, slots=True)
class StateAtCutoff:
    """The kernel's feature state float64[S] after the bar that opened at `open_time_ms`."""

    state: NDArray[np.float64]
    open_time_ms: int


def write(
    root: Path,
    candidate: Candidate,
    golden: NDArray[np.float32],
    state: StateAtCutoff,
    report: GateReport,
    provenance: Provenance,
    settings: Settings,
    card: Mapping[str, bytes],
) -> str:
    """Write the bundle under `root` and return its digest, the name of its folder.

    The folder appears whole or not at all; one that is there already is left alone. `golden`
    float32[g,F'] are rows whose answers go into the bundle; `card` are the files of its card.
    """
    files = contents(candidate, golden, state, report, provenance.certificate) | dict(card)
    manifest = _manifest(
        candidate=candidate,
        files=files,
        state=state,
        report=report,
        provenance=provenance,
        settings=settings,
    )
    folder = root / manifest.digest
    if not folder.exists():
        _write_whole(folder, files | {MANIFEST: manifest.to_bytes()})
    return manifest.digest


def golden_rows(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return up to `GOLDEN_ROWS` rows spread over `x`, the last with every value missing."""
    picked = np.unique(np.linspace(0, len(x) - 1, GOLDEN_ROWS - 1).astype(np.int64))
    return np.concatenate([x[picked], np.full((1, x.shape[1]), np.nan, np.float32)])


def contents(
    candidate: Candidate,
    golden: NDArray[np.float32],
    state: StateAtCutoff,
    report: GateReport,
    certificate: LeakCertificate,
) -> dict[str, bytes]:
    """Return every file of the bundle but its manifest; equal arguments give equal bytes."""
    probabilities, abstain = answers(candidate.signal, golden)
    told: dict[str, NDArray[Any]] = {"features": golden, "probabilities": probabilities}
    if candidate.hull is not None:
        told["abstain"] = abstain
    return {
        SIGNAL_FILE: candidate.signal,
        "golden.npz": _npz(**told),
        "state.npz": _npz(state=state.state, bars=np.array(state.open_time_ms, np.int64)),
        "training_metadata.json": canonical_json(_metadata(candidate)),
        "leak_certificate.json": canonical_json(certificate.to_dict()),
        "parity_certificate.json": canonical_json(asdict(candidate.parity)),
        "improvement_report.md": improvement_report(candidate, report).encode(),
    }


def _manifest(
    candidate: Candidate,
    files: dict[str, bytes],
    state: StateAtCutoff,
    report: GateReport,
    provenance: Provenance,
    settings: Settings,
) -> Manifest:
    start, end = candidate.training_window_ms
    budget = Budgets(
        cpu_ms=RUNNER_HEADROOM * settings.gates.max_inference_cpu_ms,
        max_bytes=settings.gates.max_bundle_bytes,
    )
    return Manifest(
        symbol=provenance.symbol,
        timeframe=settings.timeframe,
        features=candidate.feature_names,
        feature_hash=feature_hash(candidate.feature_names),
        trading=settings.trading,
        training_window=TrainingWindow(start_ms=start, end_ms=end),
        cutoff_ms=state.open_time_ms + settings.bar_ms,
        data_digest=provenance.data_digest,
        code_revision=provenance.code_revision,
        gate_report_digest=report.digest,
        bases=candidate.shipped,
        graphs=(spec_of(SIGNAL, candidate.signal, budget),),
        files={name: sha256_hex(data) for name, data in files.items() if name != SIGNAL_FILE},
        max_bytes=settings.gates.max_bundle_bytes,
        hull=candidate.hull,
        state=tuple(StateSlots(group.name, group.state_size) for group in GROUPS),
    )


def _write_whole(folder: Path, files: dict[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".bundle-", dir=folder.parent))
    try:
        for name, content in files.items():
            (draft / name).write_bytes(content)
        draft.chmod(0o755)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _npz(**arrays: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _metadata(candidate: Candidate) -> dict[str, Any]:
    return {
        "scores": [asdict(score) for score in candidate.scores],
        "importances": candidate.importances,
        "contributions": candidate.contributions,
        "table_digest": candidate.table_digest,
        "medians": [float(value) for value in candidate.medians],
    }


def improvement_report(candidate: Candidate, report: GateReport) -> str:
    """Return what an approver reads first: each gate's verdict, and the features that count."""
    lines = ["# Improvement report", "", "Accepted." if report.accepted else "Refused.", ""]
    lines += ["| gate | fold | value | threshold | passed |", "|---|---|---|---|---|"]
    for outcome in report.outcomes:
        fold = "all" if outcome.fold is None else str(outcome.fold)
        value = "measured" if outcome.gate in MEASURED else f"{outcome.value:.6g}"
        threshold = "none" if outcome.threshold is None else f"{outcome.threshold:.6g}"
        verdict = "yes" if outcome.passed else "no"
        lines.append(f"| {outcome.gate} | {fold} | {value} | {threshold} | {verdict} |")
    lines += ["", "| base | strongest features (mean absolute SHAP) |", "|---|---|"]
    for base, values in sorted(candidate.contributions.items()):  # stored or not, in one order
        strongest = sorted(values.items(), key=lambda item: (-item[1], item[0]))[:5]
        shown = ", ".join(f"{name} {value:.3f}" for name, value in strongest)
        lines.append(f"| {base} | {shown} |")
    return "\n".join(lines) + "\n"
