"""An archive that is out to harm is refused in words, whatever its trick; a sound one is read."""

import io
import random
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kernel.errors import TidegateError
from market_data.sources import safe_zip
from tests.market_data.sources.layouts import raw_zip

MEMBER = "BTCUSDT-15m-2024-01.csv"
PATH = Path("BTCUSDT-15m-2024-01.zip")
ROWS = b"1704067200000,1.0,2.0,0.5,1.5,10,1704068099999,1,1,1,1,0\n" * 50
_LOCAL = "<4s5H3I2H"
_CENTRAL = "<4s6H3I5H2I"
_UNIX = 3 << 8


def unpacked(content: bytes) -> bytes:
    """Return what the archive's one file holds."""
    with safe_zip.opened(io.BytesIO(content), PATH, MEMBER) as stream:
        return stream.read()


def refusal(content: bytes) -> str:
    """Return in which words the archive is refused."""
    with pytest.raises(TidegateError) as failure:
        unpacked(content)
    text = str(str(failure.value))
    assert text.startswith(f"{PATH}: found ")
    assert ", expected " in text
    return text


def forged(
    data: bytes,
    *,
    name: bytes = MEMBER.encode(),
    local_name: bytes | None = None,
    method: int = 8,
    flags: int = 0,
    packed: bytes | None = None,
    size: int | None = None,
    packed_size: int | None = None,
    checksum: int | None = None,
    mode: int = 0o100644,
    before: bytes = b"",
) -> bytes:
    """Return an archive of one entry whose headers say what a test wants them to say."""
    if packed is None:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = deflate.compress(data) + deflate.flush() if method == 8 else data
    size = len(data) if size is None else size
    packed_size = len(packed) if packed_size is None else packed_size
    checksum = zlib.crc32(data) if checksum is None else checksum
    first = name if local_name is None else local_name
    fixed = (20, flags, method, 0, 33, checksum, packed_size, size)
    local = struct.pack(_LOCAL, b"PK\x03\x04", *fixed, len(first), 0) + first
    central = struct.pack(
        _CENTRAL, b"PK\x01\x02", _UNIX | 20, *fixed, len(name), 0, 0, 0, 0, mode << 16, len(before)
    )  # fmt: skip
    start = len(before) + len(local) + len(packed)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(central) + len(name), start, 0)
    return before + local + packed + central + name + end


def test_sound_archive_is_read_whole():
    """An ordinary archive, one of our own making and a stored one give back their file."""
    assert unpacked(raw_zip([(MEMBER, ROWS)])) == ROWS
    assert unpacked(forged(ROWS)) == ROWS
    assert unpacked(forged(ROWS, method=0)) == ROWS
    assert unpacked(forged(b"")) == b""


def test_archive_written_to_a_pipe_is_read():
    """Sizes that follow the data, as streaming writers leave them, are no fault."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, ROWS)
    assert unpacked(pipe.getvalue()) == ROWS


@given(st.binary(max_size=200_000), st.integers(1, 9), st.integers(1, 70_000))
@hypothesis_settings(max_examples=40, deadline=None)
def test_any_content_read_in_any_steps_is_the_same(data: bytes, level: int, step: int):
    """However it was packed and however it is read, the bytes are those put in."""
    data = data * 20
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15)
    content = forged(data, packed=deflate.compress(data) + deflate.flush())
    with safe_zip.opened(io.BytesIO(content), PATH, MEMBER) as stream:
        pieces = list(iter(lambda: stream.read(step), b""))
    assert b"".join(pieces) == data


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..\\..\\windows\\system32.csv",
        "/etc/passwd",
        "C:\\data.csv",
        "C:/data.csv",
        f"./{MEMBER}",
        f"folder/{MEMBER}",
        f"{MEMBER}/",
        "ETHUSDT-15m-2024-01.csv",
        "",
    ],
)
def test_entry_of_another_name_is_refused(name: str):
    """Ways out of the folder, absolute names, drives, folders, and another symbol's file."""
    assert f"expected '{MEMBER}'" in refusal(forged(ROWS, name=name.encode()))


def test_name_that_hides_its_end_is_refused():
    """A NUL byte cuts the name for one reader and not for the next."""
    assert "x00" in refusal(forged(ROWS, name=MEMBER.encode() + b"\x00.exe"))


def test_two_headers_that_name_different_files_are_refused():
    """Readers that trust the first header and those that trust the directory would disagree."""
    content = forged(ROWS, local_name=MEMBER.replace("BTC", "ETH").encode())
    assert "two headers of one entry that differ" in refusal(content)


@pytest.mark.parametrize("mode", [0o120777, 0o040755, 0o010644, 0o060644])
def test_link_folder_pipe_and_device_are_refused(mode: int):
    """Only a plain file is one."""
    assert f"an entry of mode {mode:o}" in refusal(forged(ROWS, mode=mode))


@pytest.mark.parametrize("names", [(), (MEMBER, "more.csv"), (MEMBER, MEMBER)])
def test_any_number_of_entries_but_one_is_refused(names: tuple[str, ...]):
    """Nothing to read, a stowaway, and two entries of one name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = raw_zip([(name, ROWS) for name in names])
    text = refusal(content)
    assert "entries, expected exactly one" in text or "a file that begins b'PK\\x05\\x06'" in text


@pytest.mark.parametrize("flags", [0x1, 0x41, 0x2001])
def test_encrypted_entry_is_refused(flags: int):
    """No password is asked for."""
    assert "an encrypted entry" in refusal(forged(ROWS, flags=flags))


@pytest.mark.parametrize("method", [1, 9, 12, 14, 93, 99])
def test_unusual_compression_is_refused(method: int):
    """Only stored and deflated data are read: every other way is larger surface for no use."""
    assert f"compression method {method}" in refusal(forged(ROWS, method=method))


@pytest.mark.parametrize(
    "head", [b"", b"PK", b"\x1f\x8b\x08\x00", b"Rar!", b"7z\xbc\xaf", b"<html>"]
)
def test_other_formats_are_refused(head: bytes):
    """A gzip, an error page or nothing at all is named for what it begins with."""
    assert "expected a zip archive" in refusal(head + b"\x00" * 40 * bool(head))


def test_archive_behind_other_data_is_refused():
    """A program with an archive at its end is both at once, and so neither."""
    assert "a file that begins b'#!/b'" in refusal(forged(ROWS, before=b"#!/bin/sh\n"))
    hidden = forged(ROWS, before=forged(ROWS))
    assert "the entry at byte" in refusal(hidden)


def test_bomb_is_refused_by_what_it_declares():
    """A ratio no table of numbers has, and a size no month has, are refused before any reading."""
    zeros = bytes(safe_zip.RATIO_FREE_BYTES + 1)
    assert "that unpack to" in refusal(forged(zeros))
    assert "bytes unpacked, expected at most" in refusal(zip64(safe_zip.MAX_MEMBER_BYTES + 1))


def test_bomb_that_lies_about_its_size_stops_where_it_lies():
    """However much there is behind a small declared size, nothing beyond it is unpacked."""
    zeros = bytes(64 << 20)
    text = refusal(forged(zeros, size=1_000, checksum=zlib.crc32(zeros[:1_000])))
    assert "more than the 1000 bytes it declares" in text


def test_bomb_that_is_padded_to_a_modest_ratio_stops_early():
    """Bytes behind the stream lower the declared ratio, so what is read so far is held to it."""
    zeros = bytes(64 << 20)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    padding = random.Random(1).randbytes(1 << 20)
    bomb = forged(zeros, packed=deflate.compress(zeros) + deflate.flush() + padding)
    assert len(zeros) < safe_zip.MAX_RATIO * len(bomb)
    assert "bytes that unpack to 16" in refusal(bomb)


@pytest.mark.parametrize("size", [0, 1, len(ROWS) - 1, len(ROWS) + 1])
def test_size_that_lies_is_refused(size: int):
    """Shorter or longer than declared, even with a checksum that fits the lie: no silent cut."""
    assert "declares" in refusal(forged(ROWS, size=size, checksum=zlib.crc32(ROWS[:size])))


def test_packed_size_that_lies_is_refused():
    """Data that end before or after their stream, or run into the directory behind them."""
    whole = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = whole.compress(ROWS) + whole.flush()
    assert "another length" in refusal(forged(ROWS, packed=packed + b"\x00" * 9))
    assert "another length" in refusal(forged(ROWS, packed=packed[:-9]))
    assert "data that run to" in refusal(forged(ROWS, packed_size=len(packed) + 20))


def test_overlapping_entries_are_refused():
    """Many directory entries over one stream are how small archives unpack to petabytes."""
    content = forged(ROWS)
    directory = content.index(b"PK\x01\x02")
    entry = content[directory : content.index(b"PK\x05\x06")]
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 9, 9, len(entry) * 9, directory, 0)
    assert "9 entries" in refusal(content[:directory] + entry * 9 + end)


def test_content_that_differs_from_its_checksum_is_refused():
    """A turned bit in a stored file is found at the end of it."""
    assert "checksum" in refusal(forged(ROWS, method=0, packed=b"2" + ROWS[1:]))


def test_broken_stream_is_refused():
    """Bytes that are no deflate stream."""
    assert "broken data" in refusal(forged(ROWS, packed=b"\xff" * 99))


def test_archive_inside_an_archive_is_not_unpacked():
    """A nested archive is no table: its bytes are returned as they are, and parse as nothing."""
    inner = raw_zip([("bomb.csv", bytes(1 << 20))])
    assert unpacked(forged(inner)) == inner


@given(st.data())
@hypothesis_settings(max_examples=300, deadline=None)
def test_no_damage_goes_unnoticed(data: st.DataObject):
    """Whichever bytes are turned or cut: the same content or a refusal, never another error."""
    content = bytearray(forged(ROWS))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 30))
    damaged = bytes(content[: len(content) - cut])
    try:
        found = unpacked(damaged)
    except TidegateError:
        return
    assert found == ROWS


def zip64(size: int) -> bytes:
    """Return an archive whose entry declares a size that only the zip64 field can hold."""
    name = MEMBER.encode()
    extra = struct.pack("<2H2Q", 1, 16, size, size // 2)
    fixed = (45, 0, 8, 0, 33, 0, 0xFFFFFFFF, 0xFFFFFFFF)
    local = struct.pack(_LOCAL, b"PK\x03\x04", *fixed, len(name), len(extra)) + name + extra
    central = struct.pack(
        _CENTRAL, b"PK\x01\x02", _UNIX | 45, *fixed, len(name), len(extra), 0, 0, 0, 0, 0
    )
    central += name + extra
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end
