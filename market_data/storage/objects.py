"""Where the lake's bytes lie: a local folder or an S3 bucket, behind the same few verbs."""

import fcntl
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from kernel.errors import TidegateError
from market_data.storage.parquet import LEFTOVER, replace_file

if TYPE_CHECKING:
    import pyarrow as pa

Change = Callable[[bytes | None], bytes | None]
"""Takes the present content, None where there is none; returns the new one, None to leave it."""


Addition = Callable[[list[str]], Mapping[str, bytes]]
"""Takes the names that lie in a folder; returns new ones with their contents."""


ROOTS_HELD = 4  # a process reads one lake, or a few


class StorageError(TidegateError):
    """A root that cannot hold a lake; says what was found and what to do."""


class Storage(Protocol):
    """Objects under one root, named relative to it, as in `market/candles/a.parquet`.

    Every object is replaced whole or not at all, and a reader sees the old content or the new.
    """

    def path(self, name: str) -> str:
        """Return the full path or URL of an object."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return the content of an object, None where there is none."""
        ...

    def open(self, names: Sequence[str]) -> "Iterator[pa.NativeFile]":
        """Yield each object ready to be read at any place, in the order of `names`."""
        ...

    def names(self, folder: str) -> list[str]:
        """Return what lies directly in a folder, sorted, without hidden files."""
        ...

    def replace(self, name: str, content: bytes) -> None:
        """Put `content` in place of what is there; it survives a crash once this returns."""
        ...

    def update(self, name: str, change: Change) -> bool:
        """Replace an object by what `change` makes of it; say whether anything was written.

        What another writer has written is never lost: `change` always sees the content that its
        result replaces, and is called again when another writer was faster.
        """
        ...

    def add(self, folder: str, make: Addition) -> int:
        """Put new objects into a folder and return how many; what is there is left as it is.

        Each is whole or absent. In a folder one writer at a time looks and adds; in a bucket two
        may do so at once, and what both add is there twice under two names.
        """
        ...

    def delete(self, name: str) -> None:
        """Remove an object; that there is none is fine."""
        ...


class FolderStorage:
    """Files of a local folder: written beside, synced, renamed, by one writer a folder at a time.

    The next writer of a folder sweeps what a killed one has left there.
    """

    def __init__(self, root: str) -> None:
        self._root = Path(root)

    def path(self, name: str) -> str:
        """Return the path of a file."""
        return str(self._root / name)

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file."""
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def open(self, names: Sequence[str]) -> "Iterator[pa.NativeFile]":
        """Open one file after the other."""
        import pyarrow as pa

        for name in names:
            with pa.OSFile(self.path(name)) as file:
                yield file

    def names(self, folder: str) -> list[str]:
        """Return the files and folders of a folder."""
        try:
            paths = (self._root / folder).iterdir()
            return sorted(path.name for path in paths if path.name[0] != ".")
        except (FileNotFoundError, NotADirectoryError):
            return []

    def replace(self, name: str, content: bytes) -> None:
        """Rename a synced file over the old one."""
        self.update(name, lambda _: content)

    def update(self, name: str, change: Change) -> bool:
        """Do so under the lock of the folder."""
        path = self._root / name
        with _only_writer(path.parent):
            content = change(self.read(name))
            if content is not None:
                replace_file(path, content)
        return content is not None

    def add(self, folder: str, make: Addition) -> int:
        """Do so under the lock of the folder."""
        path = self._root / folder
        with _only_writer(path):
            files = make(self.names(folder))
            for name, content in files.items():
                replace_file(path / name, content)
        return len(files)

    def delete(self, name: str) -> None:
        """Remove a file."""
        (self._root / name).unlink(missing_ok=True)


def storage(root: str) -> Storage:
    """Return the storage of a folder or a bucket; StorageError for any other kind of URL."""
    return _storage(root, os.getpid())


@functools.lru_cache(maxsize=ROOTS_HELD)
def _storage(root: str, process: int) -> Storage:  # noqa: ARG001  connections end at a fork
    parts = urlsplit(root)
    if "://" not in root:
        return FolderStorage(root)
    if parts.scheme == "file":
        return FolderStorage(parts.path)
    if parts.scheme == "s3" and parts.netloc:
        from market_data.storage.buckets import BucketStorage

        return BucketStorage(root)
    raise StorageError(
        f"lake root: found {root!r}, expected a folder or s3://bucket/prefix; other object stores "
        "are reached by their S3 interface: set AWS_ENDPOINT_URL"
    )


@contextmanager
def _only_writer(folder: Path) -> Iterator[Any]:
    """Let one process at a time rewrite the files of a folder; a crash releases it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in folder.glob(LEFTOVER):
            leftover.unlink(missing_ok=True)
        yield
