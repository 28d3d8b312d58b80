"""Make small bundles, sound or spoiled on purpose."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kernel.bundle import PUBLICATION_SCHEMA, SCHEMA, publication_message
from kernel.digest import canonical_json, sha256_hex
from kernel.features.registry import GROUPS, STATE_SIZE, feature_hash
from kernel.manifest import FLAT_FILES
from tests.kernel.trading_rows import BAR_MS, MONDAY_MS, SETTINGS

FEATURES = ("return_1", "rsi_14", "oi_change")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FOREIGN = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
CUTOFF_MS = MONDAY_MS


def verifier(public: Ed25519PublicKey) -> Callable[[bytes, bytes], bool]:
    """Return what says whether a signature over a message is this key's."""

    def verify(signature: bytes, message: bytes) -> bool:
        try:
            public.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return verify


KEYS = {"house": verifier(KEY.public_key())}


def npz(**arrays: Any) -> bytes:
    """Return the arrays as the bytes of an npz."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def contents() -> dict[str, bytes]:
    """Return the six files of a sound bundle; the graph is only bytes to the kernel."""
    golden = npz(
        features=np.arange(12, dtype=np.float32).reshape(4, 3),
        probabilities=np.full((4, 3), 1 / 3, dtype=np.float32),
    )
    state = npz(state=np.arange(STATE_SIZE, dtype=np.float64), bars=np.int64(CUTOFF_MS - BAR_MS))
    return {
        "signal.onnx": b"a graph",
        "golden.npz": golden,
        "state.npz": state,
        "training_metadata.json": b"{}",
        "leak_certificate.json": b"{}",
        "improvement_report.md": b"# Better\n",
    }


def manifest_of(files: dict[str, bytes], **changes: Any) -> dict[str, Any]:
    """Return the manifest of these files as a dictionary, with changes on top."""
    return {
        "schema": SCHEMA,
        "symbol": "BTCUSDT",
        "timeframe": "15m",
        "features": list(FEATURES),
        "feature_hash": feature_hash(FEATURES),
        "classes": ["SELL", "HOLD", "BUY"],
        "trading": SETTINGS.to_dict(),
        "training_window": {"start_ms": 0, "end_ms": CUTOFF_MS},
        "cutoff_ms": CUTOFF_MS,
        "data_digest": "d" * 64,
        "code_revision": "1234567",
        "gate_report_digest": "e" * 64,
        "bases": ["forest", "boosting"],
        "graphs": [graph_of(files["signal.onnx"])],
        "files": {n: sha256_hex(files[n]) for n in files if not n.endswith(".onnx")},
        "max_bytes": 1_000_000,
        "state": [{"group": group.name, "slots": group.state_size} for group in GROUPS],
        "hull": None,
        "expires_ms": None,
        **changes,
    }


def graph_of(data: bytes, **changes: Any) -> dict[str, Any]:
    """Return the manifest's entry of a graph of these bytes, with changes on top."""
    return {
        "name": "signal",
        "inputs": [{"name": "input", "shape": [None, len(FEATURES)], "dtype": "float32"}],
        "outputs": [
            {"name": "probabilities", "shape": [None, 3], "dtype": "float32"},
            {"name": "votes", "shape": [None, 2, 3], "dtype": "float32"},
        ],
        "sha256": sha256_hex(data),
        "budget": {"cpu_ms": 2.0, "max_bytes": 1_000_000},
        **changes,
    }


def flat_manifest_of(files: dict[str, bytes], **changes: Any) -> dict[str, Any]:
    """Return the manifest as it was while a bundle was six files, with changes on top."""
    kept = manifest_of(files)
    for name in ("bases", "graphs", "max_bytes", "state", "hull", "expires_ms"):
        del kept[name]
    return {
        **kept,
        "tracking_run": "run",
        "budgets": {"cpu_ms": 2.0, "max_bytes": 1_000_000},
        "files": {name: sha256_hex(files[name]) for name in FLAT_FILES},
        **changes,
    }


def publication_of(digest: str, *, key: Ed25519PrivateKey = KEY, **changes: Any) -> dict[str, Any]:
    """Return a signed publication of a bundle."""
    unsigned = {
        "schema": PUBLICATION_SCHEMA,
        "digest": digest,
        "symbol": "BTCUSDT",
        "timeframe": "15m",
        "epoch": 7,
        "request_digest": "f" * 64,
        "approver": "Ada",
        "key_id": "house",
        "published_at_ms": MONDAY_MS,
        **changes,
    }
    signature = base64.b64encode(key.sign(publication_message(unsigned))).decode()
    return {**unsigned, "signature": signature}


def write(
    root: Path,
    *,
    files: dict[str, bytes] | None = None,
    publication: dict[str, Any] | None = None,
    key: Ed25519PrivateKey = KEY,
    **changes: Any,
) -> Path:
    """Write a signed bundle whose digests all fit, and return its folder; `changes` alter the
    manifest."""
    files = contents() | (files or {})
    data = canonical_json(manifest_of(files, **changes))
    folder = root / sha256_hex(data)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "manifest.json").write_bytes(data)
    signed = publication_of(**({"digest": folder.name, "key": key} | (publication or {})))
    (folder / "signature").write_bytes(canonical_json(signed))
    return folder


def unsigned(root: Path, name: str) -> str:
    """Write a sound bundle that nobody has published; return its digest, another for each name."""
    folder = write(root, code_revision=name)
    (folder / "signature").unlink()
    return folder.name
