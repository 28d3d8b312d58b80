"""Which code made a bundle: by its text, and by the commit where there is one."""

import functools
import hashlib
import subprocess
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


@functools.cache
def git_commit() -> str:
    """Return the commit that is checked out, with `+` where files differ from it; '' without git.

    For people only: nothing rests on it, for an image carries no repository.
    """
    root = Path(__file__).resolve().parents[2]
    command = ("git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*")
    try:
        found = subprocess.run(  # noqa: S603 - its words are ours
            command, cwd=root, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return found.stdout.strip()
