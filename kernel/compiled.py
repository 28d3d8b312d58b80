"""Compile kernel step functions for history without changing a byte of what they compute.

Live, a step function runs as the plain Python it is written in. Over history the *same* function, with every
kernel function that it calls, is compiled by numba when numba is installed. No fast-math, no fused
multiply-add, no parallel reduction: the result is bit-identical, and `tests/kernel` proves it.
"""

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

_KERNEL = Path(__file__).resolve().parent


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` compiled by numba, or `function` itself where numba is not installed.

    Plain kernel functions reached through `function`'s globals are compiled with it.
    The result is cached per function, in memory and on disk.
    """
    try:
        import numba
    except ModuleNotFoundError:
        return function
    _use_source_keyed_cache(numba)
    return _compile(function)


@functools.cache
def source_digest() -> str:
    """Return a hex digest of every kernel source file; it keys the disk cache of compiled code."""
    digest = hashlib.sha256()
    for path in sorted(_KERNEL.rglob("*.py")):
        digest.update(path.relative_to(_KERNEL).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    import numba

    assert isinstance(function, FunctionType)
    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        callee = scope.get(name)
        if isinstance(callee, FunctionType) and callee.__module__.startswith("kernel."):
            scope[name] = _compile(callee)
    clone = FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, function.__closure__
    )
    clone.__module__ = function.__module__
    clone.__qualname__ = function.__qualname__
    return numba.njit(cache=True)(clone)


@functools.cache
def _use_source_keyed_cache(numba: Any) -> None:
    """Keep compiled code under the digest of all kernel sources.

    numba's own cache looks only at the file of the function itself, so a changed callee in another
    file would leave stale machine code behind.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    numba.config.CACHE_DIR = str(home / "tidegate" / "numba" / source_digest()[:16])
