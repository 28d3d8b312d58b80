"""A lock asks for no more than it needs."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from market_data.storage.locks import only_one

NOBODY = 65_534


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that everybody may read and only its owner may write."""
    path = Path(tempfile.mkdtemp(prefix="tidegate-locks-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def as_nobody(act: Callable[[], None]) -> bool:
    """Return whether a user without any rights can do it."""
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setuid(NOBODY)
            act()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without rights")
def test_who_may_only_read_holds_a_lock_that_is_there(folder: Path) -> None:
    """A reader of another user waits its turn like any other, and makes no file."""
    path = folder / ".lock"

    def hold() -> None:
        with only_one(path):
            descriptor = os.open(path, os.O_RDONLY)
            with pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    assert not as_nobody(hold)
    assert not path.exists()
    with only_one(path):
        pass
    assert as_nobody(hold)
