"""A candidate together with the tracking run that holds its figures, as files without pickle."""

from collections.abc import Mapping
from dataclasses import dataclass

from research.training import candidate as candidates
from research.training.candidate import Candidate

TRACKING_RUN = "tracking_run"
TRIAL = "trial"


@dataclass(frozen=True, slots=True)
class TrackedCandidate:
    """What the training stage hands on: `tracking_run` is the id under which people find it.

    `trial` names its row in the trial ledger, '' where it was stored before there was one.
    """

    candidate: Candidate
    tracking_run: str
    trial: str = ""


def to_files(tracked: TrackedCandidate) -> dict[str, bytes]:
    """Return the candidate's own files, with the ids of its tracking run and its trial."""
    return {
        **candidates.to_files(tracked.candidate),
        TRACKING_RUN: tracked.tracking_run.encode(),
        TRIAL: tracked.trial.encode(),
    }


def from_files(files: Mapping[str, bytes]) -> TrackedCandidate:
    """Return what `to_files` wrote, of this version or an older one; raise KeyError when a file is
    missing.
    """
    return TrackedCandidate(
        candidate=candidates.from_files(files),
        tracking_run=files[TRACKING_RUN].decode(),
        trial=files.get(TRIAL, b"").decode(),
    )
