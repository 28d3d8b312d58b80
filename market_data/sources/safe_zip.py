"""Read the one file in a zip archive from anywhere, and refuse an archive that is out to harm.

Nothing is ever written to disk, and memory holds one chunk whatever the archive says. The
container is PKWARE's APPNOTE 6.3; `zipfile` reads its directory, and the data are inflated here, so
that a size, a checksum or an end that lies is a failure and not a shorter file.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from market_data.sources.backoff import refused

MAX_ARCHIVE_BYTES = 16 << 30  # the largest real month, of best bids and asks, has some 6 GiB
MAX_MEMBER_BYTES = 128 << 30  # ... and unpacks to some 40 GiB
MAX_RATIO = 100  # numbers as text deflate by 3 to 12, a dead market's repeated rows by some 30
RATIO_FREE_BYTES = (
    16 << 20
)  # below this no ratio does harm, and a tiny file may well compress a lot
_CHUNK = 1 << 20
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_LOCAL_MAGIC = b"PK\x03\x04"
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # traditional, strong, and masked headers
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def opened(handle: BinaryIO, path: Path, member: str) -> Iterator[io.BufferedIOBase]:
    """Yield the archive's one file, which must be called `member`, as a stream of its bytes.

    `handle` is the open archive and `path` its name in messages. Raises TidegateError for an
    archive that is no zip, has not exactly one plain entry at its very beginning, is encrypted,
    larger than the limits above, or, while it is read, turns out to differ from what it declares.
    """
    size = handle.seek(0, io.SEEK_END)
    _require(size <= MAX_ARCHIVE_BYTES, path, f"{size} bytes", f"at most {MAX_ARCHIVE_BYTES}")
    handle.seek(0)
    magic = handle.read(4)
    _require(magic == _LOCAL_MAGIC, path, f"a file that begins {magic!r}", "a zip archive")
    try:
        with zipfile.ZipFile(handle) as archive:
            entry = _only_entry(archive, path)
            end = archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, OSError) as error:
        raise refused(
            str(path), f"a broken archive ({error})", "a whole zip: fetch it again"
        ) from (error)
    _check_name(entry, path, member)
    _check_kind(entry, path)
    _check_sizes(entry, path)
    _seek_to_data(handle, entry, path, end)
    with io.BufferedReader(_Member(handle, entry, path), _CHUNK) as stream:
        yield stream


def _only_entry(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    entries = archive.infolist()
    _require(len(entries) == 1, path, f"{len(entries)} entries", "exactly one")
    return entries[0]


def _check_name(entry: zipfile.ZipInfo, path: Path, member: str) -> None:
    """Refuse every name but the expected one: `..`, `/etc`, `C:`, or another symbol's file."""
    found = entry.orig_filename
    _require(found == member, path, f"an entry called {found!r}", f"{member!r}")


def _check_kind(entry: zipfile.ZipInfo, path: Path) -> None:
    mode = entry.external_attr >> 16
    plain = stat.S_IFMT(mode) in {0, stat.S_IFREG} and not entry.is_dir()
    _require(plain, path, f"an entry of mode {mode:o}", "a plain file, no link and no folder")
    _require(not entry.flag_bits & _ENCRYPTED, path, "an encrypted entry", "a readable one")
    method = entry.compress_type
    _require(method in _METHODS, path, f"compression method {method}", "0 (stored) or 8 (deflate)")


def _check_sizes(entry: zipfile.ZipInfo, path: Path) -> None:
    size = entry.file_size
    packed = entry.compress_size
    _require(
        size <= MAX_MEMBER_BYTES, path, f"{size} bytes unpacked", f"at most {MAX_MEMBER_BYTES}"
    )
    _check_ratio(size, packed, path)


def _check_ratio(size: int, packed: int, path: Path) -> None:
    fair = size <= max(RATIO_FREE_BYTES, MAX_RATIO * packed)
    expected = f"at most {MAX_RATIO} times as many: it is no table of numbers"
    _require(fair, path, f"{packed} bytes that unpack to {size} or more", expected)


def _seek_to_data(handle: BinaryIO, entry: zipfile.ZipInfo, path: Path, end: int) -> None:
    """Place the handle where the entry's data begin, after a local header that says the same."""
    _require(entry.header_offset == 0, path, f"the entry at byte {entry.header_offset}", "at 0")
    handle.seek(0)
    head = handle.read(_LOCAL_HEADER.size)
    _require(len(head) == _LOCAL_HEADER.size, path, "a cut header", "a whole zip: fetch it again")
    _, _, flags, method, _, _, _, _, _, name_size, extra_size = _LOCAL_HEADER.unpack(head)
    name = handle.read(name_size)
    same = (flags, method, name) == (
        entry.flag_bits, entry.compress_type, entry.orig_filename.encode(),
    )  # fmt: skip
    _require(same, path, f"two headers of one entry that differ ({name!r})", "the same twice")
    begin = _LOCAL_HEADER.size + name_size + extra_size
    overlap = begin + entry.compress_size > end
    _require(not overlap, path, f"data that run to {begin + entry.compress_size}", f"at most {end}")
    handle.seek(begin)


class _Member(io.RawIOBase):
    """The unpacked bytes of one entry; its declared size and checksum are held to at the end."""

    def __init__(self, handle: BinaryIO, entry: zipfile.ZipInfo, path: Path) -> None:
        self._handle = handle
        self._entry = entry
        self._path = path
        self._packed_left = entry.compress_size
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if entry.compress_type else None
        self._waiting = b""
        self._size = 0
        self._checksum = 0
        self._over = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Fill the buffer with what comes next; 0 is the end."""
        while not self._over:
            chunk = self._next(len(buffer))
            if chunk:
                buffer[: len(chunk)] = chunk
                self._count(chunk)
                return len(chunk)
        return 0

    def _next(self, limit: int) -> bytes:
        """Return up to `limit` bytes, none where more packed ones are needed or all is read."""
        packed = self._waiting or self._read_packed(limit)
        self._waiting = b""
        if self._inflate is None:
            return packed or self._end(whole=True)
        if self._inflate.eof:
            return self._end(whole=not packed)
        try:
            chunk = self._inflate.decompress(packed, limit)
        except zlib.error as error:
            raise refused(str(self._path), f"broken data ({error})", "fetch it again") from error
        self._waiting = self._inflate.unconsumed_tail or self._inflate.unused_data
        stuck = not (chunk or packed or self._inflate.eof)
        return self._end(whole=False) if stuck else chunk

    def _read_packed(self, limit: int) -> bytes:
        packed = self._handle.read(min(self._packed_left, limit, _CHUNK))
        cut = self._packed_left and not packed
        _require(not cut, self._path, f"{self._packed_left} bytes missing", "a whole file")
        self._packed_left -= len(packed)
        return packed

    def _count(self, chunk: bytes) -> None:
        self._size += len(chunk)
        self._checksum = zlib.crc32(chunk, self._checksum)
        declared = self._entry.file_size
        found = f"more than the {declared} bytes it declares"
        _require(self._size <= declared, self._path, found, "as many as declared")
        used = self._entry.compress_size - self._packed_left
        _check_ratio(self._size, used, self._path)

    def _end(self, *, whole: bool) -> bytes:
        """Return nothing more; refuse data of another length or content than declared."""
        self._over = True
        declared = self._entry.file_size
        same = whole and self._size == declared
        found = f"{self._size} bytes in data of another length"
        _require(same, self._path, found, f"the {declared} bytes it declares: fetch it again")
        found = f"checksum {self._checksum:08x}"
        _require(self._checksum == self._entry.CRC, self._path, found, f"{self._entry.CRC:08x}")
        return b""


def _require(holds: bool, path: Path, found: str, expected: str) -> None:
    if not holds:
        raise refused(str(path), found, expected)
