"""Verify a bundle: a folder named by its manifest's digest, which names the digest of each file.

Every file is read once, within bounds, and only the bytes that were hashed are used afterwards.
"""

import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from kernel.archive import read_arrays
from kernel.bars import TIMEFRAME_MS
from kernel.decision import CLASSES
from kernel.digest import sha256_hex
from kernel.features.engine import grown
from kernel.features.registry import GROUPS, STATE_SIZE, slices
from kernel.manifest import (
    GOLDEN_FILE,
    SCHEMA,
    SIGNAL,
    STATE_FILE,
    Budgets,
    GraphSpec,
    HullBound,
    Manifest,
    StateSlots,
    TensorSpec,
    TrainingWindow,
)
from kernel.publication import (
    PUBLICATION_SCHEMA,
    Publication,
    Verifier,
    publication_message,
    read_publication,
)
from kernel.refusal import BundleRefused, Refusal

__all__ = [
    "MANIFEST",
    "MAX_BUNDLE_BYTES",
    "PUBLICATION_SCHEMA",
    "SCHEMA",
    "SIGNATURE",
    "Budgets",
    "BundleRefused",
    "Golden",
    "GraphSpec",
    "HullBound",
    "Manifest",
    "Publication",
    "Refusal",
    "StateSlots",
    "TensorSpec",
    "TrainingWindow",
    "Verified",
    "VerifiedContents",
    "Verifier",
    "check_golden",
    "publication_message",
    "verify",
    "verify_contents",
]

MANIFEST = "manifest.json"
SIGNATURE = "signature"
MAX_BUNDLE_BYTES = 200_000_000
PROBABILITIES = "probabilities"
ABSTAIN = "abstain"
# Only what a runner of this version hands over and reads. A graph that it left out, or fed with
# something else, would be another model than the one that was approved.
INPUTS = ("input",)
_MAX_BYTES = {MANIFEST: 1_000_000, SIGNATURE: 16_384}


class Golden(TypedDict):
    """Rows with known answers: features float32[g, F'], probabilities float32[g, 3], and the
    reasons to abstain int64[g], 0 for none.
    """

    features: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    abstain: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class VerifiedContents:
    """A bundle whose files are what its manifest says; `files` holds the bytes that were hashed.

    `state` is the feature state float64[S] after the bar that opened at `state_open_ms`.
    """

    digest: str
    manifest: Manifest
    files: Mapping[str, bytes]
    golden: Golden
    state: NDArray[np.float64]
    state_open_ms: int


@dataclass(frozen=True, slots=True)
class Verified(VerifiedContents):
    """A bundle that is also signed by a known key, for this runner, in a newer epoch."""

    publication: Publication


def verify(
    folder: Path,
    *,
    symbol: str,
    timeframe: str,
    keys: Mapping[str, Verifier],
    above_epoch: int,
    now_ms: int,
) -> Verified:
    """Check everything about a published bundle that needs no inference; `now_ms` is the market's
    time.

    Raises BundleRefused, and nothing else, with the first rule that the bundle breaks.
    """
    manifest, found = _read_folder(folder)
    if SIGNATURE not in found:
        raise BundleRefused(Refusal.MISSING_SIGNATURE, sorted(found), f"a file {SIGNATURE}")
    contents = _checked_contents(folder.name, manifest, found, symbol, timeframe)
    if manifest.expires_ms is not None and now_ms >= manifest.expires_ms:
        raise BundleRefused(Refusal.EXPIRED, f"{now_ms} ms", f"before {manifest.expires_ms} ms")
    publication = read_publication(found[SIGNATURE], keys)
    if publication["digest"] != contents.digest:
        raise BundleRefused(Refusal.DIGEST_MISMATCH, publication["digest"], contents.digest)
    if (publication["symbol"], publication["timeframe"]) != (symbol, timeframe):
        raise BundleRefused(
            Refusal.WRONG_SYMBOL,
            f"published for {publication['symbol']} {publication['timeframe']}",
            f"{symbol} {timeframe}",
        )
    if publication["epoch"] <= above_epoch:
        raise BundleRefused(Refusal.STALE_EPOCH, publication["epoch"], f"above {above_epoch}")
    return Verified(
        digest=contents.digest,
        manifest=contents.manifest,
        files=contents.files,
        golden=contents.golden,
        state=contents.state,
        state_open_ms=contents.state_open_ms,
        publication=publication,
    )


def verify_contents(folder: Path, *, symbol: str, timeframe: str) -> VerifiedContents:
    """Check a bundle that is not signed yet; a signature that lies there is not looked at.

    Raises BundleRefused, and nothing else, with the first rule that the bundle breaks.
    """
    manifest, found = _read_folder(folder)
    return _checked_contents(folder.name, manifest, found, symbol, timeframe)


def check_golden(outputs: NDArray[Any], golden: NDArray[Any], tolerance: float) -> None:
    """Refuse with GOLDEN_MISMATCH outputs further than `tolerance` from the golden ones."""
    if outputs.shape != golden.shape:
        raise BundleRefused(
            Refusal.GOLDEN_MISMATCH, f"shape {outputs.shape}", f"shape {golden.shape}"
        )
    worst = float(np.max(np.abs(outputs.astype(np.float64) - golden), initial=0.0))
    if not worst <= tolerance:
        raise BundleRefused(
            Refusal.GOLDEN_MISMATCH, f"a difference of {worst:.3g}", f"at most {tolerance:.3g}"
        )


def _checked_contents(
    digest: str, manifest: Manifest, found: Mapping[str, bytes], symbol: str, timeframe: str
) -> VerifiedContents:
    digests = manifest.digests
    files = {name: found[name] for name in digests}
    for file, data in files.items():
        if sha256_hex(data) != digests[file]:
            raise BundleRefused(
                Refusal.FILE_DIGEST_MISMATCH, f"{file} {sha256_hex(data)}", digests[file]
            )
    if (manifest.symbol, manifest.timeframe) != (symbol, timeframe):
        raise BundleRefused(
            Refusal.WRONG_SYMBOL,
            f"{manifest.symbol} {manifest.timeframe}",
            f"{symbol} {timeframe}",
        )
    _check_graphs(manifest)
    _check_sizes(manifest, files)
    state, state_open_ms = _state(files[STATE_FILE], manifest)
    return VerifiedContents(
        digest=digest,
        manifest=manifest,
        files=files,
        golden=_golden(files[GOLDEN_FILE], manifest),
        state=state,
        state_open_ms=state_open_ms,
    )


def _check_graphs(manifest: Manifest) -> None:
    """Refuse graphs that this version would leave out, or could not feed or read."""
    strange = [graph.name for graph in manifest.graphs if graph.name != SIGNAL]
    if strange:
        raise BundleRefused(Refusal.UNKNOWN_GRAPH, strange, f"only {SIGNAL}")
    signal = manifest.signal
    rows = TensorSpec("input", (None, len(manifest.features)), "float32")
    if signal.inputs != (rows,):
        names = [one.name for one in signal.inputs]
        raise BundleRefused(
            Refusal.UNKNOWN_GRAPH, f"{SIGNAL} reads {names}", f"{', '.join(INPUTS)}: {rows.shape}"
        )
    votes = next((one.shape for one in signal.outputs if one.name == "votes"), (None,))
    if math.prod(size or 1 for size in votes) != len(CLASSES) * len(manifest.bases):
        raise BundleRefused(
            Refusal.UNKNOWN_GRAPH,
            f"{SIGNAL} gives votes of {votes}",
            f"three of each of {len(manifest.bases)} bases",
        )
    answers = TensorSpec(PROBABILITIES, (None, len(CLASSES)), "float32")
    reasons = TensorSpec(ABSTAIN, (None,), "int64")
    misread = signal.gives(ABSTAIN) and reasons not in signal.outputs
    if answers not in signal.outputs or misread:
        names = [(one.name, one.shape, one.dtype) for one in signal.outputs]
        raise BundleRefused(
            Refusal.UNKNOWN_GRAPH, f"{SIGNAL} gives {names}", f"{answers}, {reasons} or none"
        )


def _check_sizes(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Refuse a file of a graph, or all files together, above what was promised."""
    bounds = {graph.file: graph.budget["max_bytes"] for graph in manifest.graphs}
    sizes = {name: len(files[name]) for name in bounds}
    sizes["all files"] = sum(map(len, files.values()))
    bounds["all files"] = manifest.max_bytes
    for name, size in sizes.items():
        if size > bounds[name]:
            raise BundleRefused(
                Refusal.OVER_BUDGET, f"{name}: {size} bytes", f"at most {bounds[name]} bytes"
            )


def _read_folder(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Read the manifest and the files that it names, within bounds; links, folders and other names
    are refused.
    """
    try:
        present = {entry.name for entry in os.scandir(folder)}
        if MANIFEST not in present:
            raise BundleRefused(Refusal.MISSING_FILE, f"no {MANIFEST}", "all files")
        data = _read_files(folder, [MANIFEST])[MANIFEST]
        digest = sha256_hex(data)
        if digest != folder.name:
            raise BundleRefused(
                Refusal.DIGEST_MISMATCH, f"manifest {digest}", f"the folder's {folder.name}"
            )
        manifest = Manifest.from_bytes(data)
        named = list(manifest.digests)
        extra = sorted(present - {MANIFEST, SIGNATURE, *named})
        if extra:
            raise BundleRefused(Refusal.EXTRA_FILE, extra, named)
        missing = [name for name in named if name not in present]
        if missing:
            raise BundleRefused(Refusal.MISSING_FILE, f"no {', '.join(missing)}", "all files")
        signature = [SIGNATURE] if SIGNATURE in present else []
        return manifest, _read_files(folder, [*signature, *named])
    except OSError as error:
        raise BundleRefused(Refusal.MISSING_FILE, str(error), "a readable folder") from error


def _read_files(folder: Path, names: list[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    left = MAX_BUNDLE_BYTES
    for name in names:
        most = min(left, _MAX_BYTES.get(name, left))
        handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise BundleRefused(Refusal.MISSING_FILE, f"{name}: a special file", "a file")
            size = os.fstat(handle).st_size
            found[name] = file.read(most + 1) if size <= most else b""
        if max(size, len(found[name])) > most:
            raise BundleRefused(Refusal.TOO_LARGE, f"{name}: {size} bytes", f"at most {most}")
        left -= len(found[name])
    return found


def _golden(data: bytes, manifest: Manifest) -> Golden:
    """Parse golden.npz; refuse what is not rows of this width with a probability per class each."""
    width = len(manifest.features)
    abstains = manifest.signal.gives(ABSTAIN)
    expected = {"features": ("<f4", 2), PROBABILITIES: ("<f4", 2)}
    try:
        arrays = read_arrays(data, expected | ({ABSTAIN: ("<i8", 1)} if abstains else {}))
    except ValueError as error:
        raise BundleRefused(Refusal.GOLDEN_MISMATCH, str(error), "golden arrays") from error
    features = arrays["features"]
    probabilities = arrays[PROBABILITIES]
    rows = len(features)
    reasons = arrays[ABSTAIN] if abstains else np.zeros(rows, np.int64)
    fits = probabilities.shape == (rows, len(CLASSES)) and reasons.shape == (rows,)
    if rows == 0 or features.shape[1] != width or not fits:
        raise BundleRefused(
            Refusal.GOLDEN_MISMATCH,
            f"shapes {features.shape}, {probabilities.shape} and {reasons.shape}",
            f"(g, {width}), (g, {len(CLASSES)}) and (g,) with g > 0",
        )
    if not (np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1.0) < 0.01).all():
        raise BundleRefused(Refusal.GOLDEN_MISMATCH, "rows not adding to 1", "probabilities")
    return Golden(features=features, probabilities=probabilities, abstain=reasons)


def _state(data: bytes, manifest: Manifest) -> tuple[NDArray[np.float64], int]:
    """Parse state.npz; refuse a state of another size or one that saw bars after the cutoff."""
    try:
        arrays = read_arrays(data, {"state": ("<f8", 1), "bars": ("<i8", 0)})
    except ValueError as error:
        raise BundleRefused(Refusal.STATE_MISMATCH, str(error), "a feature state") from error
    state = _of_todays_groups(arrays["state"], manifest)
    open_time_ms = int(arrays["bars"])
    bar_ms = TIMEFRAME_MS[manifest.timeframe]
    if not 0 <= open_time_ms <= manifest.cutoff_ms - bar_ms or open_time_ms % bar_ms:
        raise BundleRefused(
            Refusal.STATE_MISMATCH,
            f"last bar opened at {open_time_ms}",
            f"a bar of {manifest.timeframe} closed by the cutoff {manifest.cutoff_ms}",
        )
    return state, open_time_ms


def _of_todays_groups(stored: NDArray[np.float64], manifest: Manifest) -> NDArray[np.float64]:
    """Return the state with each of today's groups where it now stands, float64[STATE_SIZE].

    A group that the bundle's catalogue did not have starts from nothing; the bundle reads none of
    its features. A group that it reads must be there, and of the same size.
    """
    parts = manifest.state
    if not parts:  # a manifest of before they were named
        try:
            return grown(stored)
        except ValueError as error:
            raise BundleRefused(Refusal.STATE_MISMATCH, str(error), STATE_SIZE) from error
    if sum(part.slots for part in parts) != len(stored):
        found = f"{len(stored)} numbers"
        raise BundleRefused(Refusal.STATE_MISMATCH, found, sum(part.slots for part in parts))
    held = dict(
        zip(
            ((part.group, part.slots) for part in parts),
            slices([part.slots for part in parts]),
            strict=True,
        )
    )
    state = np.zeros(STATE_SIZE)
    for group, place in zip(GROUPS, slices([one.state_size for one in GROUPS]), strict=True):
        own = held.get((group.name, group.state_size))
        if own is not None:
            state[place] = stored[own]
        elif any(one.name in manifest.features for one in group.features):
            raise BundleRefused(
                Refusal.STATE_MISMATCH,
                f"no state of {group.name} in {len(stored)} numbers",
                f"{group.state_size} numbers of it",
            )
    return state
