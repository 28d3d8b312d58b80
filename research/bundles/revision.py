"""Which code made a bundle, without asking version control."""

import functools
import hashlib
from pathlib import Path

PACKAGES = ("kernel", "research")


@functools.cache
def source_revision() -> str:
    """Return a hex digest of every source file whose result ends up in a bundle."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
