"""What the runner has heard, as lines of JSON: `<folder>/<table>/symbol=<S>/<day>.jsonl`.

A line is one row of the lake's table of that name, with the moment at which it was received as
`known_at_ms`. Days are those of the event, UTC.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kernel.observation import DEPTH_FIELDS
from kernel.observer import Observer

Row = Mapping[str, int | float | str | None]
TICKS = ("trades", "depth")
BOOK = DEPTH_FIELDS[:6]  # all but the order flow, which is made of them
PAGE_LINES = 500  # some two milliseconds of work
CLOCK_SLACK_MS = 60_000  # how much earlier a later line may say that it was received


class RecordingWriter:
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
        waiting = self._waiting
        self._waiting = defaultdict(list)
        for path, lines in waiting.items():
            if path not in self._whole:
                path.parent.mkdir(parents=True, exist_ok=True)
                _cut_broken_line(path)
            self._whole.discard(path)  # until all is written: a full disk breaks a line, too
            with path.open("a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
            self._whole.add(path)
        return sum(map(len, waiting.values()))


def tell(observer: Observer, table: str, row: Mapping[str, Any]) -> None:
    """Tell an observer one recorded row of trades or depth."""
    event_ms = row["event_time_ms"]
    known_ms = row["known_at_ms"]
    if table == "trades":
        observer.trades.add(event_ms, known_ms, row["trade_id"], row["quantity"], row["side"])
    else:
        observer.depth.add(event_ms, known_ms, row["update_id"], [row[name] for name in BOOK])


def recorded(
    folder: Path, table: str, symbol: str, since_ms: int, until_ms: int | None = None
) -> Iterator[list[Mapping[str, Any]]]:
    """Yield, page by page, the rows of events in [since, until); a line that is no row is left out.

    Without `until_ms` all since then.
    """
    first = str(datetime.fromtimestamp(since_ms / 1_000, UTC).date())
    last = "9999" if until_ms is None else str(datetime.fromtimestamp(until_ms / 1_000, UTC).date())
    for path in sorted((folder / table / f"symbol={symbol}").glob("*.jsonl")):
        if first <= path.stem <= last:
            yield from _pages(path, since_ms, math.inf if until_ms is None else until_ms)


def _pages(path: Path, since_ms: int, until_ms: float) -> Iterator[list[Mapping[str, Any]]]:
    with path.open("rb") as file:
        file.seek(_line_since(path, since_ms - CLOCK_SLACK_MS))
        while lines := [line for _, line in zip(range(PAGE_LINES), file, strict=False)]:
            rows = [row for line in lines if (row := _parsed(line)) is not None]
            yield [row for row in rows if since_ms <= row["event_time_ms"] < until_ms]
            if rows and rows[-1]["known_at_ms"] >= until_ms + CLOCK_SLACK_MS:
                return


def _line_since(path: Path, since_ms: int) -> int:
    """Return where the lines begin that were received since then: lines are in that order."""
    low = 0
    high = path.stat().st_size
    with path.open("rb") as file:
        while high - low > 65_536:
            middle = (low + high) // 2
            file.seek(middle)
            file.readline()
            row = _parsed(file.readline())
            if row is None or row["known_at_ms"] >= since_ms:
                high = middle
            else:
                low = middle
        file.seek(low)
        if low:
            file.readline()
        return file.tell()


def _parsed(line: bytes) -> Mapping[str, Any] | None:
    """Return the row of a line, None for one that was cut off."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None


def _cut_broken_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 65_536))
        tail = file.read()
        file.truncate(end - len(tail) + tail.rfind(b"\n") + 1)
