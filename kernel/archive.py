"""Read arrays from npz bytes that may have been made to do harm.

Only what `numpy.savez` writes for plain arrays is taken: no pickle, no size that the bytes do not
hold, no member beyond the expected ones.
"""

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_ARRAY_BYTES = 64_000_000
_MAGIC = b"\x93NUMPY\x01\x00"
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    KeyError,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,  # an unknown version or flag
    RuntimeError,  # an encrypted member
)
_SHAPE = rb"\d{1,12},|\d{1,12}(?:, \d{1,12})+|"
_HEADER = re.compile(
    rb"\{'descr': '(<f4|<f8|<i8)', 'fortran_order': False, 'shape': \((" + _SHAPE + rb")\), \} *\n"
)


def read_arrays(data: bytes, expected: Mapping[str, tuple[str, int]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz by name; `expected` gives their dtype (`<f4`) and dimensions.

    The arrays are read-only views of the unpacked bytes. Raises ValueError naming what is wrong.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = sorted(archive.namelist())
            members = {name: _unpack(archive, f"{name}.npy") for name in expected}
    except _DAMAGE as error:
        raise ValueError(f"npz: found {error!r:.100}, expected {sorted(expected)}") from error
    if names != sorted(f"{name}.npy" for name in expected):
        raise ValueError(f"npz: found members {names!r:.100}, expected {sorted(expected)}")
    return {name: _parse(name, members[name], *expected[name]) for name in expected}


def _unpack(archive: zipfile.ZipFile, member: str) -> bytes:
    """Return at most one byte more than an array may have."""
    if archive.getinfo(member).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member} is neither stored nor deflated")
    with archive.open(member) as stream:
        return stream.read(MAX_ARRAY_BYTES + 1)


def _parse(name: str, data: bytes, dtype: str, dimensions: int) -> NDArray[Any]:
    if len(data) > MAX_ARRAY_BYTES:
        raise ValueError(f"npz {name}: found over {MAX_ARRAY_BYTES} bytes, expected fewer")
    start = len(_MAGIC) + 2
    end = start + int.from_bytes(data[len(_MAGIC) : start], "little")
    header = _HEADER.fullmatch(data[start:end])
    if not data.startswith(_MAGIC) or header is None:
        raise ValueError(f"npz {name}: found {data[:80]!r}, expected a plain {dtype} array")
    found = header[1].decode()
    shape = tuple(int(size) for size in re.findall(rb"\d+", header[2]))
    if found != dtype or len(shape) != dimensions:
        raise ValueError(
            f"npz {name}: found {found}{list(shape)}, expected {dtype} with {dimensions} dimensions"
        )
    if math.prod(shape) * np.dtype(dtype).itemsize != len(data) - end:
        raise ValueError(
            f"npz {name}: found {len(data) - end} bytes, expected shape {list(shape)} of {dtype}"
        )
    return np.frombuffer(data, dtype, offset=end).reshape(shape)
