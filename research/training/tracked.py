"""A candidate together with the tracking run that holds its figures, as files without pickle."""

from collections.abc import Mapping
from dataclasses import dataclass

from research.training import candidate as candidates
from research.training.candidate import Candidate

TRACKING_RUN = "tracking_run"


@dataclass(frozen=True, slots=True)
class TrackedCandidate:
    """What the training stage hands on: `tracking_run` is the id under which people find it."""

    candidate: Candidate
    tracking_run: str


def to_files(tracked: TrackedCandidate) -> dict[str, bytes]:
    """Return the candidate's own files, and the id of its tracking run beside them."""
    return {**candidates.to_files(tracked.candidate), TRACKING_RUN: tracked.tracking_run.encode()}


def from_files(files: Mapping[str, bytes]) -> TrackedCandidate:
    """Return what `to_files` wrote; raise KeyError when a file is missing."""
    return TrackedCandidate(
        candidate=candidates.from_files(files), tracking_run=files[TRACKING_RUN].decode()
    )
