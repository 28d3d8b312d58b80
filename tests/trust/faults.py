"""An act in a process of its own that fails at one of its steps, whichever is asked for.

A step is what the system is asked for: a file opened, renamed, cut or removed, a folder made, a
lock taken, a port called. Python tells of each before it happens (`sys.addaudithook`), so nothing
is patched, and to fail before step k is to fail after step k - 1.
"""

import errno
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Fault = Literal["broken", "full", "killed", "overtaken"]
FAULTS: tuple[Fault, ...] = ("broken", "full", "killed", "overtaken")
PORT = "tidegate.port"
WATCHED = {
    "open",
    "os.rename",
    "os.truncate",
    "os.remove",
    "os.link",
    "os.mkdir",
    "os.chmod",
    "fcntl.flock",
    PORT,
}
WRITING = os.O_WRONLY | os.O_RDWR
Act = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """How an act ended: after how many steps, with what it raised ('' for nothing)."""

    steps: int
    raised: str
    killed: bool


@dataclass(slots=True)
class Steps:
    """Count the steps under `root`, and fail at step `at` of them (-1: at none).

    `readers` counts also what is opened to be read.
    """

    root: str
    act: Act
    at: int
    fault: Fault
    readers: bool
    count: int = 0
    other: int = 0

    def audit(self, event: str, details: tuple[Any, ...]) -> None:
        """Take note of one event of the interpreter; raise, die or be overtaken where asked."""
        if event not in WATCHED or not self._ours(event, details):
            return
        step = self.count
        self.count += 1
        if step != self.at:
            return
        match self.fault:
            case "broken":
                raise OSError(errno.EIO, "the share does not answer")
            case "full":
                raise OSError(errno.ENOSPC, "no space left on device")
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "overtaken":  # so slow that the same is launched again in the meantime
                self.other = os.fork()
                if not self.other:
                    os.closerange(3, 1024)  # a lock that came along would be held by both
                    _ending(self.act)
                    os._exit(0)

    def _ours(self, event: str, details: tuple[Any, ...]) -> bool:
        if event in (PORT, "fcntl.flock"):
            return True
        if not str(details[0]).startswith(self.root):
            return False
        return event != "open" or self.readers or bool(details[2] & WRITING)


def launched(
    act: Act,
    root: str,
    *,
    at: int = -1,
    fault: Fault = "broken",
    readers: bool = False,
    room: int | None = None,
) -> Ended:
    """Run `act` in a process of its own; `room` is the most bytes that a file may come to.

    A file that would grow beyond is written up to there, as on a disk that becomes full.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        steps = Steps(root=root, act=act, at=at, fault=fault, readers=readers)
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        sys.addaudithook(steps.audit)
        raised = _ending(act)
        if steps.other:
            os.waitpid(steps.other, 0)
        os.write(writing, json.dumps([steps.count, raised]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        answer = told.read()
    os.waitpid(child, 0)
    if not answer:
        return Ended(steps=0, raised="", killed=True)
    count, raised = json.loads(answer)
    return Ended(steps=count, raised=raised, killed=False)


def raced(acts: Sequence[Act]) -> list[bool]:
    """Run acts in as many processes that begin at one moment; return which ended by themselves."""
    waiting, starting = os.pipe()
    children: list[int] = []
    for act in acts:
        child = os.fork()
        if not child:
            os.close(starting)
            os.read(waiting, 1)  # returns when the last other end is closed: the start
            _ending(act)
            os._exit(0)
        children.append(child)
    os.close(waiting)
    os.close(starting)
    return [os.waitpid(child, 0)[1] == 0 for child in children]


def _ending(act: Act) -> str:
    """Run an act; return what it raised, for whatever that is would end a process of its own."""
    try:
        act()
    except BaseException as error:  # noqa: BLE001  # of a child that has nobody to raise it to
        return f"{type(error).__name__}: {error}"
    return ""
