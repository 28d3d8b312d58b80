"""The lake's bytes in an S3 bucket, where a conditional PUT takes the part of a lock.

A PUT is atomic: readers see the whole old object or the whole new one. An update reads an object
with its ETag and puts the new content on the condition that the ETag is still the same (If-Match,
or If-None-Match: * for a new object); if another writer was faster it starts again from what that
one wrote. https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html

Endpoint and credentials come from the usual AWS_* environment variables and files.
"""

import functools
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from market_data.storage.objects import Addition, Change, StorageError

if TYPE_CHECKING:
    import pyarrow as pa

AT_ONCE = 16  # objects fetched together, and held in memory until the reader has passed them
ATTEMPTS = 100
SINGLE_PUT_BYTES = 5 << 30  # never split an object into parts: their completion is another protocol
PROBE = ".conditional-put"


class BucketStorage:
    """Objects under `s3://bucket/prefix`."""

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")

    def path(self, name: str) -> str:
        """Return the URL of an object."""
        return f"{self._root}/{name}"

    def read(self, name: str) -> bytes | None:
        """Return the bytes of an object."""
        try:
            return self._files.cat_file(self.path(name))
        except FileNotFoundError:
            return None

    def open(self, names: Sequence[str]) -> "Iterator[pa.NativeFile]":
        """Fetch whole objects, a few at once: a later PUT cannot change what is being read."""
        import pyarrow as pa

        for start in range(0, len(names), AT_ONCE):
            paths = [self._key(name) for name in names[start : start + AT_ONCE]]
            contents: dict[str, bytes] = self._files.cat(paths)
            for path in paths:
                yield pa.BufferReader(contents.pop(path))

    def names(self, folder: str) -> list[str]:
        """Return the objects and prefixes one level below a prefix."""
        try:
            paths: list[str] = self._files.ls(self.path(folder), detail=False)
        except FileNotFoundError:
            return []
        names = {path.rstrip("/").rpartition("/")[2] for path in paths}
        return sorted(name for name in names if name[:1] not in {"", "."})

    def replace(self, name: str, content: bytes) -> None:
        """Put the whole object in one request."""
        self._files.pipe_file(self.path(name), content, chunksize=SINGLE_PUT_BYTES)

    def update(self, name: str, change: Change) -> bool:
        """Do so without a lock; StorageError where the store ignores the condition of a PUT."""
        assert self._keeps_conditions
        for _ in range(ATTEMPTS):
            condition, present = self._present(name)
            content = change(present)
            if content is None:
                return False
            if self._put(name, content, condition):
                return True
        raise StorageError(
            f"{self.path(name)}: found it changed by others {ATTEMPTS} times in a row, expected a "
            "few writers: run fewer at once"
        )

    def add(self, folder: str, make: Addition) -> int:
        """Put each new object in one request, on the condition that its name is free."""
        files = make(self.names(folder))
        for name, content in files.items():
            self._put(f"{folder}/{name}", content, {"IfNoneMatch": "*"})
        return len(files)

    def delete(self, name: str) -> None:
        """Remove an object."""
        self._files.rm_file(self.path(name))

    def _key(self, name: str) -> str:
        """Return bucket and key, by which fsspec names what it has fetched."""
        return self.path(name).removeprefix("s3://")

    def _present(self, name: str) -> tuple[dict[str, str], bytes | None]:
        """Return the condition that the object is unchanged, and its content or a newer one."""
        try:
            tag: str = self._files.info(self.path(name))["ETag"]
            return {"IfMatch": tag}, self._files.cat_file(self.path(name))
        except FileNotFoundError:
            return {"IfNoneMatch": "*"}, None

    def _put(self, name: str, content: bytes, condition: dict[str, str]) -> bool:
        """Say whether the store took the object, which it does if the condition holds."""
        try:
            self._files.pipe_file(self.path(name), content, chunksize=SINGLE_PUT_BYTES, **condition)
        except OSError as error:
            if _condition_failed(error):
                return False
            raise
        return True

    @cached_property
    def _keeps_conditions(self) -> bool:
        """Make sure, once, that a PUT whose condition does not hold is refused."""
        self._put(PROBE, b"", {"IfNoneMatch": "*"})
        ignored = [
            header
            for header, value in (("IfNoneMatch", "*"), ("IfMatch", '"0"'))
            if self._put(PROBE, b"", {header: value})
        ]
        if ignored:
            raise StorageError(
                f"{self._root}: found a store that ignores {' and '.join(ignored)} of a PUT, "
                "expected one that keeps it (AWS S3, MinIO, R2, Ceph): two writers would lose rows"
            )
        return True

    @cached_property
    def _files(self) -> Any:
        return _client(os.environ.get("AWS_ENDPOINT_URL"), os.getpid())


@functools.lru_cache(maxsize=2)
def _client(endpoint: str | None, process: int) -> Any:  # noqa: ARG001  connections end at a fork
    """Return the one client of all roots at a store: each holds a description of S3 in memory,
    which takes longer to read than most requests.
    """
    import fsspec

    # Listings are not cached: another process may have written since.
    return fsspec.filesystem(
        "s3", use_listings_cache=False, skip_instance_cache=True, endpoint_url=endpoint
    )


def _condition_failed(error: OSError) -> bool:
    """Say whether a PUT was refused for another writer: it changed, made or removed the object."""
    response: dict[str, Any] = getattr(error.__cause__, "response", {})
    code = response.get("Error", {}).get("Code", "")
    return code in {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409"}
