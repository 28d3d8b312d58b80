"""What the live runner has recorded of its feed, as a source like any other."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from market_data.frames import Frame
from market_data.sources.backoff import refused
from market_data.sources.looking import there
from market_data.sources.protocol import Wanted
from market_data.tables import TABLES
from market_data.universe import SourceSettings

LARGEST_DAY_BYTES = 4 << 30  # some twenty million trades


@dataclass(frozen=True, slots=True)
class Recordings:
    """Read `<at>/<table>/symbol=<S>/<day>.jsonl`; each row says itself when it was received.

    A day without a file has no rows. The day that is being written ends at its last whole line.
    """

    name: str
    settings: SourceSettings
    at: str

    @property
    def tables(self) -> frozenset[str]:
        """Return the tables that the runner records."""
        return frozenset({"trades", "depth", "arrivals"})

    def now_ms(self) -> int:
        """Return the wall clock: a recording is made beside a clock that runs as ours does."""
        return time.time_ns() // 1_000_000

    def pages(self, wanted: Wanted) -> Iterator[Frame]:
        """Yield a page a day, in the order in which the rows came in.

        Raises TidegateError for a line that is no row, and for a file of absurd size.
        """
        folder = self._folder(wanted)
        for day in _days(wanted.start_ms, wanted.end_ms):
            path = folder / f"{day}.jsonl"
            if path.exists():
                frame = _read(path, wanted.table)
                inside = frame["event_time_ms"].between(wanted.start_ms, wanted.end_ms - 1)
                yield frame[inside].reset_index(drop=True)

    def searched(self, wanted: Wanted) -> str:
        """Return where recordings were looked for, and what lies there; "" if there is one."""
        if any(self._folder(wanted).glob("*.jsonl")):
            return ""
        looked_for = f"{wanted.table}/symbol={wanted.symbol}/<day>.jsonl"
        told = there(Path(self.at), looked_for, (".jsonl",), f"symbol={wanted.symbol}")
        return f"{self.name}: {told}; the live runner records while it runs (`make up`)"

    def _folder(self, wanted: Wanted) -> Path:
        return Path(self.at) / wanted.table / f"symbol={wanted.symbol}"


def _read(path: Path, table: str) -> Frame:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.json

    size = path.stat().st_size
    if size > LARGEST_DAY_BYTES:
        raise refused(str(path), f"{size} bytes", f"at most {LARGEST_DAY_BYTES}: split the day")
    kinds = {name: kind for name, kind in TABLES[table].kinds.items() if name in _row(table)}
    whole = _whole_lines(path)
    if not len(whole):
        return pd.DataFrame({name: pd.Series(dtype=_EMPTY[kind]) for name, kind in kinds.items()})
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in kinds.items()])
    options = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    try:
        return pyarrow.json.read_json(pa.BufferReader(whole), parse_options=options).to_pandas()
    except pa.ArrowInvalid as error:
        expected = f"one JSON record a line with {sorted(kinds)}: remove the line"
        raise refused(str(path), f"a line that is no row of {table} ({error})", expected) from error


def _row(table: str) -> tuple[str, ...]:
    return ("event_time_ms", "known_at_ms", *TABLES[table].columns)


def _whole_lines(path: Path) -> bytes:
    content = path.read_bytes()
    return content[: content.rfind(b"\n") + 1]


def _days(start_ms: int, end_ms: int) -> Iterator[date]:
    day = _day(start_ms)
    while day <= _day(end_ms - 1):
        yield day
        day += timedelta(days=1)


def _day(time_ms: int) -> date:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).date()


_EMPTY = {"int64": "int64", "int32": "int32", "double": "float64", "string": "str"}
