"""One window of bitcoin, ingested from given sources into a lake."""

from collections.abc import Sequence

import numpy as np

from market_data.ingest.ingestion import Ingest, ingest, rows_in
from market_data.storage.lake import Lake
from market_data.tables import DAY_MS, HOUR_MS
from market_data.window import Window
from tests.market_data.given_source import BAR_MS, GivenSource, Rows, frame, given, universe

START_MS = 1_764_547_200_000  # 2025-12-01T00:00Z
DAYS = 10
END_MS = START_MS + DAYS * DAY_MS
BARS = np.arange(START_MS, END_MS, BAR_MS)
WINDOW = Window("BTCUSDT", START_MS, START_MS + 31 * DAY_MS)
EIGHT_HOURS_MS = 8 * HOUR_MS
SETTLED_MS = END_MS - 3 * DAY_MS


def candles(times: Sequence[int] | np.ndarray = BARS) -> Rows:
    """Return candles at these times."""
    return frame("candles", times)


def source(
    held: Rows, table: str = "candles", now_ms: int = END_MS, **moods: object
) -> GivenSource:
    """Return the source `one` of a single table."""
    return GivenSource("one", {table: held}, now_ms, **moods)  # pyright: ignore[reportArgumentType]


def run(
    lake: Lake,
    *sources: GivenSource,
    table: str = "candles",
    window: Window = WINDOW,
    reread: bool = False,
) -> Ingest:
    """Ingest one window; a second source is the fallback."""
    fallback = sources[1].name if len(sources) > 1 else ""
    known = universe(table, fallback=fallback)
    return ingest(table, given(*sources), lake, [window], known, reread=reread)[0]


def stored(lake: Lake, table: str = "candles") -> list[int]:
    """Return the events that the lake holds, ascending."""
    return rows_in(lake, table, WINDOW)["event_time_ms"].tolist()


def without(*times: int) -> np.ndarray:
    """Return the bars without some."""
    return np.setdiff1d(BARS, times)


def spans(lake: Lake, table: str = "candles", name: str = "one") -> list:
    """Return what the ledger claims for a source."""
    return [span for span in lake.read_spans(table, "BTCUSDT") if span.source == name]
