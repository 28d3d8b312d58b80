"""Reading without touching the loop: one thread with a journal of its own, for all who watch."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from live_runner.desk import Desk
from live_runner.journal.reading import JournalReader

T = TypeVar("T")
FRESH_S = 1.0  # ages are told in seconds; what the journal says is never older than its last row


class Reader:
    """Make what is read of a desk, each thing once for everybody who asks for it meanwhile.

    `make` runs in the reading thread, on a read-only connection to the journal. Of the desk it may
    read what the loop replaces whole (`loops`, `model`, `last`, `stale`, `killed`), and call
    nothing that changes it.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")
        self._made: dict[str, tuple[Any, asyncio.Future[Any]]] = {}

    async def read(self, name: str, make: Callable[[JournalReader], T]) -> T:
        """Return what `make` made of the present journal under this name, no older than a second.

        Raises what `make` raises.
        """
        now = (
            self._desk.journal.changes,
            len(self._desk.loops),
            int(time.monotonic() / FRESH_S),
        )
        made_of, made = self._made.get(name, (None, None))
        if made is None or made_of != now:
            made = asyncio.wrap_future(self._thread.submit(self._make, make))
            self._made[name] = (now, made)
        return await asyncio.shield(made)

    async def compute(self, make: Callable[[], T]) -> T:
        """Return what `make` returns, computed in the reading thread."""
        return await asyncio.wrap_future(self._thread.submit(make))

    def _make(self, make: Callable[[JournalReader], T]) -> T:
        with JournalReader.opened(self._desk.settings.journal) as journal:
            return make(journal)
