"""From what the stages stored to a bundle on disk, and a last look at it before it is signed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from kernel.bundle import BundleRefused, check_golden, verify_contents
from research.bundles import write as bundling
from research.bundles.card import CARD, card
from research.bundles.revision import source_revision
from research.bundles.write import Provenance, StateAtCutoff
from research.datasets.files import TrainingSet
from research.features.certificate import LeakCertificate
from research.features.history import Snapshot
from research.gates.gates import GateReport
from research.graphs.runtime import answers
from research.settings import Settings
from research.training.tracked import TrackedCandidate

GOLDEN_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Sealed:
    """A bundle on disk: its digest, what it was made of, and the run under which people find it.

    The run is no part of the bundle: the same table trained twice is the same bundle.
    """

    digest: str
    symbol: str
    data_digest: str
    gate_report_digest: str
    tracking_run: str

    def to_dict(self) -> dict[str, str]:
        """Return every field, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, str]) -> Self:
        """Return what `to_dict` wrote."""
        return cls(**raw)


def seal(
    root: Path,
    *,
    symbol: str,
    tracked: TrackedCandidate,
    training_set: TrainingSet,
    report: GateReport,
    certificate: LeakCertificate,
    cutoff: Snapshot,
    settings: Settings,
) -> Sealed:
    """Write the bundle of a candidate under `root`; `cutoff` is the feature state after the last
    bar.

    Raises ValueError where the certificate does not prove a feature.
    """
    candidate = tracked.candidate
    if unproved := certificate.faults(candidate.feature_names):
        name, fault = next(iter(unproved.items()))
        raise ValueError(
            f"leak certificate: found that {name} {fault}, expected a proof of each of the "
            f"{len(candidate.feature_names)} features: materialize features/certificate"
        )
    provenance = Provenance(
        symbol=symbol,
        data_digest=training_set.data_digest,
        code_revision=source_revision(),
        certificate=certificate,
    )
    digest = bundling.write(
        root,
        candidate=candidate,
        golden=bundling.golden_rows(training_set.table.x),
        state=StateAtCutoff(cutoff.state, cutoff.open_time_ms),
        report=report,
        provenance=provenance,
        settings=settings,
        card=card(
            symbol=symbol,
            candidate=candidate,
            table=training_set.table,
            report=report,
            settings=settings,
        ),
    )
    return Sealed(
        digest=digest,
        symbol=symbol,
        data_digest=provenance.data_digest,
        gate_report_digest=report.digest,
        tracking_run=tracked.tracking_run,
    )


def card_of(folder: Path) -> tuple[str, dict[str, bytes]]:
    """Return the text of a bundle's card and its pictures by file name, '' and none in bundles of
    before they had one.
    """
    page = folder / CARD
    if not page.exists():
        return "", {}
    pictures = {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}
    return page.read_text(encoding="utf-8"), pictures


def sizes(folder: Path) -> dict[str, int]:
    """Return the size of each file of a bundle in bytes, by name."""
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def broken_rule(folder: Path, symbol: str, timeframe: str) -> str | None:
    """Return the first rule that an unsigned bundle breaks, None where it breaks none.

    Beyond its digests, the graph must give the golden answers on this machine.
    """
    try:
        contents = verify_contents(folder, symbol=symbol, timeframe=timeframe)
        golden = contents.golden
        signal = contents.files[contents.manifest.signal.file]
        probabilities, abstain = answers(signal, golden["features"])
        check_golden(probabilities, golden["probabilities"], GOLDEN_TOLERANCE)
        check_golden(abstain, golden["abstain"], GOLDEN_TOLERANCE)
    except BundleRefused as refused:
        return str(refused)
    return None
