"""A bundle made again from what its manifest names: equal inputs give an equal digest."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernel.bundle import MANIFEST
from kernel.errors import TidegateError
from kernel.manifest import Manifest
from research.bundles.revision import source_revision
from research.bundles.seal import seal
from research.datasets.files import TrainingSet
from research.features.certificate import LeakCertificate
from research.features.history import Snapshot
from research.gates.gates import GateReport
from research.settings import Settings
from research.training import stack
from research.training.tracked import TrackedCandidate


class RebuildError(TidegateError):
    """Inputs that are not those that a bundle was made of."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The digest of a bundle made again, and what differs from the one that was published: names
    of files and fields of the manifest, none where the digests are equal.
    """

    digest: str
    differing: tuple[str, ...]


def rebuild(
    published: Manifest,
    root: Path,
    *,
    training_set: TrainingSet,
    report: GateReport,
    certificate: LeakCertificate,
    cutoff: Snapshot,
    settings: Settings,
) -> Rebuilt:
    """Train and seal again under `root` what was published, and compare.

    Raises RebuildError where an input is not the one that the manifest names.
    """
    _require_inputs(published, training_set, report)
    trained = stack.train(training_set.table, settings)
    sealed = seal(
        root,
        symbol=published.symbol,
        tracked=TrackedCandidate(candidate=trained, tracking_run="rebuilt"),
        training_set=training_set,
        report=report,
        certificate=certificate,
        cutoff=cutoff,
        settings=settings,
    )
    again = Manifest.from_bytes((root / sealed.digest / MANIFEST).read_bytes())
    return Rebuilt(digest=sealed.digest, differing=tuple(differing(published, again)))


def differing(published: Manifest, again: Manifest) -> list[str]:
    """Return the files whose digests differ, then the other fields that do."""
    ours = published.digests
    theirs = again.digests
    files = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
    told = ("graphs", "files")
    fields = [
        name
        for name in Manifest.__dataclass_fields__
        if name not in told and getattr(published, name) != getattr(again, name)
    ]
    return [*files, *fields]


def _require_inputs(published: Manifest, training_set: TrainingSet, report: GateReport) -> None:
    named: Mapping[str, Any] = {
        "code_revision": (source_revision(), "check that revision of the code out"),
        "data_digest": (training_set.data_digest, "the lake has been restated since"),
        "gate_report_digest": (report.digest, "the week was judged again since"),
    }
    for field, (found, why) in named.items():
        if found != getattr(published, field):
            raise RebuildError(
                f"{field}: found {found}, expected {getattr(published, field)}, of which the "
                f"bundle was made: {why}"
            )
