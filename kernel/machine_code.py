"""Keep compiled machine code on disk so that a fresh process need not compile it again.

numba's own cache trusts what it finds: a cut-off file crashes the run, a flipped byte runs wrong
code, and two processes that compile one function for two signatures at the same time can swap their
results. Here each entry is one file named by all that decides its content and sealed by its digest.
A missing, foreign or damaged entry costs a compilation, never a run, and so does a disk that cannot
be written.
"""

import contextlib
import hashlib
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any, cast

_DIGEST_BYTES = 32


class MachineCodeCache:
    """The cache of one function's compiled signatures, in the shape that a numba dispatcher
    expects.
    """

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint

    @property
    def cache_path(self) -> str:
        """Return the folder of the entries."""
        return str(folder())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compile result of `sig`, or None when there is no sound entry."""
        from numba.core import compiler

        rebuild = cast(Any, compiler.CompileResult)._rebuild
        target_context.refresh()
        payload = read_sealed(self._entry(sig, target_context.codegen()))
        return None if payload is None else rebuild(target_context, *payload)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compile result of `sig`, unless it holds addresses of this process."""
        if data.library.has_dynamic_globals or data.lifted:
            return
        write_sealed(self._entry(sig, data.codegen), data._reduce())

    def flush(self) -> None:
        """Leave the entries alone: their names already tell stale from fresh."""

    def _entry(self, sig: Any, codegen: Any) -> Path:
        import numba

        key = repr((self._fingerprint, numba.__version__, str(sig), codegen.magic_tuple()))
        return folder() / f"{hashlib.sha256(key.encode()).hexdigest()}.machine"


def folder() -> Path:
    """Return the per-user folder of compiled code; it honours XDG_CACHE_HOME."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "tidegate" / "machine-code"


def read_sealed(path: Path) -> Any:
    """Return the object in `path`, or None when the file is missing or fails its digest."""
    try:
        sealed = path.read_bytes()
    except OSError:
        return None
    digest = sealed[:_DIGEST_BYTES]
    content = sealed[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        return None
    return pickle.loads(content)  # noqa: S301  this user's own compiler output, whole by its digest


def write_sealed(path: Path, payload: Any) -> None:
    """Replace `path` in one step with the sealed payload; do nothing where the disk refuses."""
    from numba.core import serialize

    content: bytes = cast(Any, serialize).dumps(payload)
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            os.replace(temporary, path)  # noqa: PTH105  pairs with mkstemp's string
        except OSError:
            os.unlink(temporary)  # noqa: PTH108
            raise
