"""What the runner has heard, as lines of JSON: `<folder>/<table>/symbol=<S>/<day>.jsonl`.

A line is one row of the lake's table of that name, with the moment at which it was received as
`known_at_ms`. Days are those of the event, UTC.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

Row = Mapping[str, int | float | str | None]


class Recordings:
    """Gather rows and append them to their files; a line broken by a crash is cut off first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: dict[Path, list[str]] = defaultdict(list)
        self._whole: set[Path] = set()

    def add(self, table: str, symbol: str, row: Row) -> None:
        """Take one row with at least event_time_ms and known_at_ms, milliseconds UTC.

        Raises ValueError for NaN and, like OverflowError, for a time in no year.
        """
        day = datetime.fromtimestamp(int(row["event_time_ms"] or 0) / 1_000, UTC).date()
        path = self._folder / table / f"symbol={symbol}" / f"{day}.jsonl"
        line = json.dumps(row, separators=(",", ":"), allow_nan=False)
        self._waiting[path].append(line)

    def flush(self) -> int:
        """Append what waits and return the number of rows; after an OSError what waited is lost."""
        waiting, self._waiting = self._waiting, defaultdict(list)
        for path, lines in waiting.items():
            if path not in self._whole:
                path.parent.mkdir(parents=True, exist_ok=True)
                _cut_broken_line(path)
            self._whole.discard(path)  # until all is written: a full disk breaks a line, too
            with path.open("a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
            self._whole.add(path)
        return sum(map(len, waiting.values()))


def _cut_broken_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 65_536))
        tail = file.read()
        file.truncate(end - len(tail) + tail.rfind(b"\n") + 1)
