"""Arrays are read as numpy wrote them; what was made to do harm is a ValueError."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.archive import read_arrays
from tests.kernel.bundle_maker import npz

SHAPES = {"state": ("<f8", 1), "bars": ("<i8", 0)}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=64), max_size=30), st.integers(-(2**62), 2**62))
def test_arrays_come_back_as_numpy_wrote_them(values: list[float], bars: int) -> None:
    """Arrays read here have the same bytes as those that numpy reads."""
    data = npz(state=np.array(values, dtype=np.float64), bars=np.int64(bars))
    ours = read_arrays(data, SHAPES)
    with np.load(io.BytesIO(data)) as theirs:
        assert ours["state"].tobytes() == theirs["state"].tobytes()
        assert ours["bars"] == theirs["bars"]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_arrays_raise_value_errors_only(data: st.DataObject) -> None:
    """Any change of any bytes of an npz gives the arrays or a ValueError, never another
    exception."""
    sound = npz(state=np.arange(3.0), bars=np.int64(1))
    spoiled = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 4))):
        spoiled[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(sound)) | st.just(len(sound)))
    try:
        arrays = read_arrays(bytes(spoiled[:cut]), SHAPES)
    except ValueError as error:
        assert str(error).startswith("npz")
        assert "expected" in str(error)
    else:
        assert set(arrays) == set(SHAPES)


def spelled(shape: str, data: bytes = b"", dtype: str = "<f8") -> bytes:
    """Return the bytes of an .npy with any header."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    "member",
    [
        spelled("(1000000000000,)"),
        spelled("(99999999999999999999999999,)"),
        spelled("(1,,)", b"\0" * 8),
        spelled("(1 1,)", b"\0" * 88),
        spelled("(2,)", b"\0" * 8),
        spelled("(1,)", b"\0" * 16),
        spelled("(1, 1)", b"\0" * 8),
        spelled("(1,)", b"\0" * 8, "|O"),
        spelled("__import__('os')"),
        b"",
        b"\x93NUMPY",
    ],
)
def test_absurd_headers_are_refused_before_memory_is_taken(member: bytes) -> None:
    """A header that promises more than there is, objects or code is refused with a ValueError."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("state.npy", member)
        archive.writestr("bars.npy", spelled("()", b"\0" * 8, "<i8"))
    with pytest.raises(ValueError, match="npz state: found"):
        read_arrays(buffer.getvalue(), SHAPES)


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({"state": np.zeros(1)}, "bars.npy"),
        ({"state": np.zeros(1), "bars": np.int64(1), "more": np.zeros(1)}, "more.npy"),
        ({"state": np.zeros(1, "f4"), "bars": np.int64(1)}, "<f4"),
        ({"state": np.zeros((1, 1)), "bars": np.int64(1)}, r"<f8\[1, 1\]"),
        ({"state": np.asfortranarray(np.zeros((2, 2))), "bars": np.int64(1)}, "fortran"),
    ],
)
def test_only_the_expected_arrays_are_taken(arrays: dict[str, Any], found: str) -> None:
    """A missing, additional or differently typed array is refused, and the error shows it."""
    with pytest.raises(ValueError, match=f"npz.*{found}"):
        read_arrays(npz(**arrays), SHAPES)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_exotic_compression_is_refused(method: int) -> None:
    """numpy stores or deflates; other methods bring decoders that nobody needs."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("state.npy", spelled("(0,)"))
        archive.writestr("bars.npy", spelled("()", b"\0" * 8, "<i8"))
    with pytest.raises(ValueError, match="neither stored nor deflated"):
        read_arrays(buffer.getvalue(), SHAPES)


def test_a_zip_bomb_is_refused() -> None:
    """A member that unpacks to far more than its bytes is stopped at the limit."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("state.npy", b"\0" * 70_000_000)
        archive.writestr("bars.npy", spelled("()", b"\0" * 8, "<i8"))
    assert len(buffer.getvalue()) < 1_000_000
    with pytest.raises(ValueError, match="found over"):
        read_arrays(buffer.getvalue(), SHAPES)
