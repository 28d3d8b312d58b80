"""Verify a bundle: a folder named by its manifest's digest, which names the digest of each file.

Every file is read once, within bounds, and only the bytes that were hashed are used afterwards.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from kernel.archive import read_arrays
from kernel.bars import TIMEFRAME_MS
from kernel.decision import CLASSES
from kernel.digest import sha256_hex
from kernel.features.registry import STATE_SIZE
from kernel.manifest import FILES, SCHEMA, Budgets, Manifest, TrainingWindow
from kernel.publication import (
    PUBLICATION_SCHEMA,
    Publication,
    Verifier,
    publication_message,
    read_publication,
)
from kernel.refusal import BundleRefused, Refusal

__all__ = [
    "FILES",
    "MANIFEST",
    "MAX_BUNDLE_BYTES",
    "PUBLICATION_SCHEMA",
    "SCHEMA",
    "SIGNATURE",
    "Budgets",
    "BundleRefused",
    "Golden",
    "Manifest",
    "Publication",
    "Refusal",
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
_MAX_BYTES = {MANIFEST: 1_000_000, SIGNATURE: 16_384}


class Golden(TypedDict):
    """Rows with known answers: features float32[g, F'] and probabilities float32[g, 3]."""

    features: NDArray[np.float32]
    probabilities: NDArray[np.float32]


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
) -> Verified:
    """Check everything about a published bundle that needs no inference.

    Raises BundleRefused, and nothing else, with the first rule that the bundle breaks.
    """
    found = _read_folder(folder)
    if SIGNATURE not in found:
        raise BundleRefused(Refusal.MISSING_SIGNATURE, sorted(found), f"a file {SIGNATURE}")
    contents = _checked_contents(folder.name, found, symbol, timeframe)
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
    return _checked_contents(folder.name, _read_folder(folder), symbol, timeframe)


def check_golden(
    outputs: NDArray[np.float32], golden: NDArray[np.float32], tolerance: float
) -> None:
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
    name: str, found: Mapping[str, bytes], symbol: str, timeframe: str
) -> VerifiedContents:
    digest = sha256_hex(found[MANIFEST])
    if digest != name:
        raise BundleRefused(Refusal.DIGEST_MISMATCH, f"manifest {digest}", f"the folder's {name}")
    manifest = Manifest.from_bytes(found[MANIFEST])
    files = {name: found[name] for name in FILES}
    for file, data in files.items():
        if sha256_hex(data) != manifest.files[file]:
            raise BundleRefused(
                Refusal.FILE_DIGEST_MISMATCH, f"{file} {sha256_hex(data)}", manifest.files[file]
            )
    if (manifest.symbol, manifest.timeframe) != (symbol, timeframe):
        raise BundleRefused(
            Refusal.WRONG_SYMBOL,
            f"{manifest.symbol} {manifest.timeframe}",
            f"{symbol} {timeframe}",
        )
    size = sum(map(len, files.values()))
    most = manifest.budgets["max_bytes"]
    if size > most:
        raise BundleRefused(Refusal.OVER_BUDGET, f"{size} bytes", f"at most {most} bytes")
    state, state_open_ms = _state(files["state.npz"], manifest)
    return VerifiedContents(
        digest=digest,
        manifest=manifest,
        files=files,
        golden=_golden(files["golden.npz"], len(manifest.features)),
        state=state,
        state_open_ms=state_open_ms,
    )


def _read_folder(folder: Path) -> dict[str, bytes]:
    """Read the files of a bundle within bounds; links, folders and unknown names are refused."""
    known = (MANIFEST, *FILES, SIGNATURE)
    try:
        present = {entry.name: entry for entry in os.scandir(folder)}
        extra = sorted(set(present) - set(known))
        if extra:
            raise BundleRefused(Refusal.EXTRA_FILE, extra, known)
        missing = [name for name in (MANIFEST, *FILES) if name not in present]
        if missing:
            raise BundleRefused(Refusal.MISSING_FILE, f"no {', '.join(missing)}", "all files")
        return _read_files(folder, [name for name in known if name in present])
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


def _golden(data: bytes, width: int) -> Golden:
    """Parse golden.npz; refuse what is not rows of this width with a probability per class each."""
    try:
        arrays = read_arrays(data, {"features": ("<f4", 2), "probabilities": ("<f4", 2)})
    except ValueError as error:
        raise BundleRefused(Refusal.GOLDEN_MISMATCH, str(error), "golden arrays") from error
    features = arrays["features"]
    probabilities = arrays["probabilities"]
    rows = len(features)
    if rows == 0 or features.shape[1] != width or probabilities.shape != (rows, len(CLASSES)):
        raise BundleRefused(
            Refusal.GOLDEN_MISMATCH,
            f"shapes {features.shape} and {probabilities.shape}",
            f"(g, {width}) and (g, {len(CLASSES)}) with g > 0",
        )
    if not (np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1.0) < 0.01).all():
        raise BundleRefused(Refusal.GOLDEN_MISMATCH, "rows not adding to 1", "probabilities")
    return Golden(features=features, probabilities=probabilities)


def _state(data: bytes, manifest: Manifest) -> tuple[NDArray[np.float64], int]:
    """Parse state.npz; refuse a state of another size or one that saw bars after the cutoff."""
    try:
        arrays = read_arrays(data, {"state": ("<f8", 1), "bars": ("<i8", 0)})
    except ValueError as error:
        raise BundleRefused(Refusal.STATE_MISMATCH, str(error), "a feature state") from error
    state = arrays["state"]
    open_time_ms = int(arrays["bars"])
    if len(state) != STATE_SIZE:
        raise BundleRefused(Refusal.STATE_MISMATCH, f"{len(state)} numbers", STATE_SIZE)
    bar_ms = TIMEFRAME_MS[manifest.timeframe]
    if not 0 <= open_time_ms <= manifest.cutoff_ms - bar_ms or open_time_ms % bar_ms:
        raise BundleRefused(
            Refusal.STATE_MISMATCH,
            f"last bar opened at {open_time_ms}",
            f"a bar of {manifest.timeframe} closed by the cutoff {manifest.cutoff_ms}",
        )
    return state, open_time_ms
