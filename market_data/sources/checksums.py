"""Whether a downloaded archive is whole: its published checksum, else the one inside it."""

import hashlib
import re
from pathlib import Path
from typing import BinaryIO

from market_data.sources import safe_zip
from market_data.sources.backoff import refused

_CHUNK = 1 << 20
_LINE = re.compile(r"([0-9a-fA-F]{64})(?:[ \t]+\*?(\S+))?\s*")
_MAX_LINE = 4_096


def verified(handle: BinaryIO, path: Path) -> None:
    """Return when the open zip is whole, and leave the handle anywhere.

    Where `<file>.CHECKSUM` stands beside it (`<sha256>  <file>`, as sha256sum writes) the archive
    must have that digest; without one it is unpacked once to nowhere, which checks its own. Raises
    TidegateError naming the file, what was found and what was expected.
    """
    published = path.with_name(f"{path.name}.CHECKSUM")
    if published.is_file():
        expected = _expected(published, path)
        found = _sha256(handle)
        if found != expected:
            raise refused(
                str(path),
                f"sha256 {found}",
                f"{expected} as in {published.name}: fetch both again",
            )
        return
    with safe_zip.opened(handle, path, f"{path.stem}.csv") as stream:
        while stream.read(_CHUNK):
            pass


def _expected(published: Path, path: Path) -> str:
    with published.open("rb") as file:
        text = file.read(_MAX_LINE).decode("utf-8", "replace")
    match = _LINE.fullmatch(text)
    if not match or match[2] not in {None, path.name}:
        line = f"64 hexadecimal digits and {path.name}: fetch it again"
        raise refused(str(published), repr(text[:200]), line)
    return match[1].lower()


def _sha256(handle: BinaryIO) -> str:
    digest = hashlib.sha256()
    handle.seek(0)
    while chunk := handle.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
