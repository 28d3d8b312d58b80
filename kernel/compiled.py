"""Compile kernel step functions for history without changing a byte of what they compute.

Live, a step function runs as the plain Python it is written in. Over history the *same* function,
with every kernel function that it calls, is compiled by numba when numba is installed. No
fast-math, no fused multiply-add, no parallel reduction: the result is bit-identical, and
`tests/kernel` proves it.
"""

import functools
import hashlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, cast

_KERNEL = Path(__file__).resolve().parent


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` compiled by numba, or `function` itself where numba is not installed.

    Plain functions of the kernel, or of `function`'s own module, that it reaches through its
    globals or its closure are compiled with it. The result is cached per function, in memory and on
    disk. Arrays come in as arguments: compiled code may slice them but cannot make new ones.
    """
    return _compile(function, inlined=False) if find_spec("numba") else function


@functools.cache
def source_digest() -> str:
    """Return a hex digest of every kernel source file."""
    digest = hashlib.sha256()
    for path in sorted(_KERNEL.rglob("*.py")):
        digest.update(path.relative_to(_KERNEL).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _compile(function: Callable[..., Any], *, inlined: bool) -> Callable[..., Any]:
    import numba

    from kernel.machine_code import MachineCodeCache

    assert isinstance(function, FunctionType)
    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        if name in scope:
            scope[name] = _compiled_callee(function, scope[name])
    closure = tuple(
        CellType(_compiled_callee(function, cell.cell_contents))
        for cell in function.__closure__ or ()
    )
    clone = FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, closure or None
    )
    clone.__module__ = function.__module__
    clone.__qualname__ = function.__qualname__
    # Without reference counts (_nrt): passing a view from step to step would otherwise cost two
    # atomic operations each time, half of the time of a pass over the feature catalogue. A callee
    # becomes part of its caller: a call with three views costs more than most of what is called.
    dispatcher = cast(Any, numba).njit(clone, _nrt=False, forceinline=inlined)
    dispatcher._cache = MachineCodeCache(_fingerprint(function, inlined=inlined))
    return dispatcher


def _compiled_callee(function: FunctionType, value: Any) -> Any:
    return _compile(value, inlined=True) if _is_callee(function, value) else value


def _is_callee(function: FunctionType, value: Any) -> bool:
    return isinstance(value, FunctionType) and (
        value.__module__.startswith("kernel.") or value.__module__ == function.__module__
    )


def _fingerprint(function: FunctionType, *, inlined: bool) -> str:
    """Return a hex digest of all that decides the machine code: bytecode, constants, globals,
    callees, sources, and whether it is inlined.

    It follows what this process has loaded, so that a file edited under a running process poisons
    nothing.
    """
    digest = hashlib.sha256(f"{source_digest()} {inlined}".encode())
    for part in _described(function, set()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def _described(function: FunctionType, seen: set[FunctionType]) -> Iterator[str]:
    if function in seen:
        return
    seen.add(function)
    yield f"{function.__module__}.{function.__qualname__}"
    yield from _described_code(function.__code__)
    cells = (cell.cell_contents for cell in function.__closure__ or ())
    values = (function.__globals__.get(name) for name in function.__code__.co_names)
    for value in (*cells, *values):
        if isinstance(value, FunctionType) and _is_callee(function, value):
            yield from _described(value, seen)
        elif not isinstance(value, ModuleType | FunctionType):
            yield repr(value)


def _described_code(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield repr(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _described_code(constant)
        else:
            yield repr(constant)
