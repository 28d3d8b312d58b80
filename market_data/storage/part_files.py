"""Tables in parts: an append adds a file and rewrites none, so a day of ticks costs what it holds.

A part is `<day>.<first>-<last>.<digest>.parquet`: the day and the times of its first and last event
in milliseconds UTC, and the beginning of its content's SHA-256. Files of whole months, as older
versions wrote them, are read beside the parts.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from market_data.frames import Frame
from market_data.storage.month_files import file_of, in_order
from market_data.storage.revisions import additions, month_start_ms
from market_data.tables import DAY_MS, Table

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST_MONTH_MS = 31 * DAY_MS
Read = Callable[[list[str]], "pa.Table"]


@dataclass(frozen=True, slots=True)
class Part:
    """A file by its name, and the times of the first and last event that it may hold."""

    name: str
    first_ms: int
    last_ms: int


def described_by(name: str) -> Part:
    """Return what a name says of its file: a part, or a month."""
    fields = name.split(".")
    if len(fields) == 2:
        start_ms = month_start_ms(fields[0])
        return Part(name, start_ms, start_ms + _LONGEST_MONTH_MS)
    first, _, last = fields[1].partition("-")
    return Part(name, int(first), int(last))


def touched(names: Sequence[str], start_ms: int, end_ms: int) -> list[str]:
    """Return the files that may hold events in [start, end), by their first event."""
    files = sorted(map(described_by, names), key=lambda one: (one.first_ms, one.last_ms, one.name))
    return [one.name for one in files if one.first_ms < end_ms and one.last_ms >= start_ms]


class AddingParts:
    """The parts that an append adds, one a day; the counts are those of its last call."""

    def __init__(self, table: Table, rows: Frame, now_ms: int, read: Read) -> None:
        self._table = table
        self._rows = rows
        self._now_ms = now_ms
        self._read = read
        self.added = self.revised = 0

    def make(self, names: list[str]) -> Mapping[str, bytes]:
        """Return the new files beside those that are there, none where these have all rows."""
        self.added = self.revised = 0
        files: dict[str, bytes] = {}
        stored = [name for name in names if name.endswith(".parquet")]
        for day, rows in self._rows.groupby(self._rows["event_time_ms"] // DAY_MS):
            name, content = self._of_day(int(str(day)), rows.reset_index(drop=True), stored)
            if content:
                files[name] = content
        return files

    def _of_day(self, day: int, rows: Frame, stored: Sequence[str]) -> tuple[str, bytes]:
        times = rows["event_time_ms"]
        near = touched(stored, int(times.iloc[0]), int(times.iloc[-1]) + 1)
        held = in_order(self._table, self._read(near)).to_pandas()
        found = additions(self._table, held, rows, self._now_ms)
        self.added += len(found.new)
        self.revised += len(found.corrections)
        if not len(found.new) + len(found.corrections):
            return "", b""
        fresh = found.rows(self._table)
        content = file_of(self._table, fresh)
        first_ms, last_ms = (int(fresh["event_time_ms"].iloc[at]) for at in (0, -1))
        digest = hashlib.sha256(content).hexdigest()[:16]
        return f"{_day_name(day)}.{first_ms}-{last_ms}.{digest}.parquet", content


def _day_name(day: int) -> str:
    import numpy as np

    return str(np.datetime64(day, "D"))
