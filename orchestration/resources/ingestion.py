"""From a source into the lake: go on where it ends, set bad candles aside, lose nothing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from orchestration.partitions import Window
from orchestration.resources.exchange import Exchange
from orchestration.resources.frames import Frame
from orchestration.resources.lake import FOREVER_MS, Lake
from research.settings import SeriesSettings, UniverseSettings

Pages = Callable[[str, int, int], Iterable[Frame]]
"""Return pages of rows (event_time_ms, values) of a symbol with events in start_ms … end_ms - 1."""


@dataclass(frozen=True, slots=True)
class Ingest:
    """Say what one ingest of one window did; `until_ms` is the source's clock, milliseconds UTC."""

    table: str
    window: Window
    read_from_ms: int
    until_ms: int
    received: int
    added: int
    revised: int
    quarantined: int


def ingest_candles(
    exchange: Exchange, lake: Lake, windows: Sequence[Window], universe: UniverseSettings
) -> list[Ingest]:
    """Bring each window's closed candles into the lake and its bad ones into quarantine.

    An incomplete window is read from its first missing or quarantined bar; a complete one as a
    whole, which picks up corrections. What arrived before the exchange failed is stored.
    """
    return [_candles_of(exchange, lake, window, universe) for window in windows]


def ingest_series(
    table: str,
    pages: Pages,
    lake: Lake,
    windows: Sequence[Window],
    settings: SeriesSettings,
    now_ms: int,
) -> list[Ingest]:
    """Bring a slow series into the lake, each window as a whole; a source without rows is no error.

    A row is known `publication_lag_ms` after its event. `now_ms` is the venue's clock.
    """
    return [_series_of(table, pages, lake, window, settings, now_ms) for window in windows]


def _candles_of(
    exchange: Exchange, lake: Lake, window: Window, universe: UniverseSettings
) -> Ingest:
    bar_ms = universe.bar_ms
    now_ms = exchange.now_ms()
    closed_ms = min(window.end_ms, now_ms // bar_ms * bar_ms)
    span = Window(window.symbol, first_wanted_ms(lake, window, closed_ms, bar_ms), closed_ms)
    arrived: list[Frame] = []
    reached_ms = span.start_ms
    try:
        for page in exchange.candle_pages(
            universe.timeframe, window.symbol, span.start_ms, span.end_ms
        ):
            arrived.append(page)
            reached_ms = int(page["event_time_ms"].max())
        reached_ms = span.end_ms
    finally:
        read = Window(window.symbol, span.start_ms, reached_ms)
        report = _store_candles(lake, arrived, read, universe, now_ms)
    return report


def first_wanted_ms(lake: Lake, window: Window, closed_ms: int, bar_ms: int) -> int:
    """Return the first bar that is missing or in quarantine, else the window's start."""
    stored = rows_in(lake, "candles", window)["event_time_ms"].to_numpy()
    missing = np.setdiff1d(np.arange(window.start_ms, closed_ms, bar_ms), stored)
    suspect = quarantined_in(lake, window)["event_time_ms"].to_numpy() // bar_ms * bar_ms
    wanted = np.concatenate((missing[:1], suspect[:1]))
    return max(window.start_ms, int(wanted.min())) if len(wanted) else window.start_ms


def rows_in(lake: Lake, table: str, window: Window) -> Frame:
    """Return the latest rows of a table whose events lie in the window."""
    frame = lake.as_of(table, window.symbol, FOREVER_MS)
    inside = frame["event_time_ms"].between(window.start_ms, window.end_ms - 1)
    return frame[inside].reset_index(drop=True)


def quarantined_in(lake: Lake, window: Window) -> Frame:
    """Return the candles of the window that are still set aside: rule, found, expected, source."""
    rows = rows_in(lake, "quarantine", window)
    return rows[rows["rule"] != ""].reset_index(drop=True)


def _store_candles(
    lake: Lake,
    arrived: list[Frame],
    read: Window,
    universe: UniverseSettings,
    now_ms: int,
) -> Ingest:
    """Store the good candles of the span that was read, and renew what is in quarantine."""
    bar_ms, source = universe.bar_ms, universe.venue.exchange
    candles = _joined(arrived)
    if candles is None:
        return Ingest("candles", read, read.start_ms, now_ms, 0, 0, 0, 0)
    candles = candles[candles["event_time_ms"] + bar_ms <= now_ms].reset_index(drop=True)
    bad = _violations(candles, bar_ms)
    good = candles.drop(index=bad["row"].unique())
    known = good.assign(known_at_ms=good["event_time_ms"] + bar_ms, source=source)
    stored = lake.append("candles", read.symbol, known, now_ms)
    notes = _notes(lake, bad, read).assign(known_at_ms=now_ms, source=source)
    lake.append("quarantine", read.symbol, notes, now_ms)
    return Ingest(
        "candles",
        read,
        read.start_ms,
        now_ms,
        len(candles),
        stored.added,
        stored.revised,
        bad["row"].nunique(),
    )


def _violations(candles: Frame, bar_ms: int) -> Frame:
    """Return row, event_time_ms, rule, found and expected of each broken rule, in arrival order."""
    import pandas as pd

    from kernel.bars import Bars
    from kernel.quality import find_violations

    columns = ("event_time_ms", "open", "high", "low", "close", "volume")
    bars = Bars(*(candles[name].to_numpy() for name in columns))
    return pd.DataFrame(
        [
            (one.row, one.open_time_ms, one.rule, one.found, one.expected)
            for one in find_violations(bars, bar_ms)
        ],
        columns=["row", "event_time_ms", "rule", "found", "expected"],
    ).astype({"event_time_ms": "int64"})


def _notes(lake: Lake, bad: Frame, read: Window) -> Frame:
    """Return a quarantine row per event: the rules it breaks, or none if it became good."""
    import pandas as pd

    texts = ["rule", "found", "expected"]
    notes = bad.groupby("event_time_ms", as_index=False)[texts].agg("; ".join)
    before = quarantined_in(lake, read)["event_time_ms"]
    released = pd.DataFrame({"event_time_ms": before[~before.isin(notes["event_time_ms"])]})
    return pd.concat([notes, released.assign(**dict.fromkeys(texts, ""))], ignore_index=True)


def _series_of(
    table: str,
    pages: Pages,
    lake: Lake,
    window: Window,
    settings: SeriesSettings,
    now_ms: int,
) -> Ingest:
    arrived: list[Frame] = []
    stored = (0, 0)
    try:
        arrived.extend(pages(window.symbol, window.start_ms, min(window.end_ms, now_ms + 1)))
    finally:
        rows = _joined(arrived)
        if rows is not None:
            rows = rows.drop_duplicates(ignore_index=True)
            known_at_ms = rows["event_time_ms"] + settings.publication_lag_ms
            rows = rows.assign(known_at_ms=known_at_ms, source=settings.source)
            report = lake.append(table, window.symbol, rows, now_ms)
            stored = (report.added, report.revised)
    received = 0 if rows is None else len(rows)
    return Ingest(table, window, window.start_ms, now_ms, received, *stored, 0)


def _joined(pages: list[Frame]) -> Frame | None:
    """Return the pages as one frame in order of arrival, None where nothing arrived."""
    import pandas as pd

    filled = [page for page in pages if len(page)]
    return pd.concat(filled, ignore_index=True) if filled else None
