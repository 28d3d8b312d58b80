"""What the lake holds: rows, holes, corrections and lags, per symbol and table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from market_data.frames import Frame
from market_data.quality.acceptance import accepted_spans
from market_data.quality.coverage import longer
from market_data.spans import Span, grid, inside, minus, runs
from market_data.storage.lake import FOREVER_MS, Lake, frame_digest
from market_data.storage.revisions import month_start_ms
from market_data.tables import INGESTED, TABLES
from market_data.universe import UniverseSettings

RECENT_MONTHS = 2
ENOUGH_ARRIVALS = 20  # fewer say little of a 99th percentile


@dataclass(frozen=True, slots=True)
class Holding:
    """One symbol's rows of one table; times are milliseconds UTC of events.

    `expected` counts the grid from the first row to the last, for tables in which every point of it
    is due; `holes` are runs of missing points, `longest_hole` the points in the longest; neither
    they nor `quarantined` rows count where one of the `accepted` spans lies over them. Without
    rows, times are 0 and there is no source.
    """

    symbol: str
    table: str
    sources: tuple[str, ...]
    rows: int
    first_ms: int
    last_ms: int
    expected: int | None
    holes: int
    longest_hole: int
    accepted: int
    revisions: int
    quarantined: int
    digest: str


@dataclass(frozen=True, slots=True)
class Lag:
    """How late rows of a table arrive: milliseconds after they could be known at the earliest.

    `assumed_ms` is what known_at rests on; `p50_ms` and `p99_ms` are measured on `arrivals` rows.
    A candle needs no assumption: a bar is decided when it arrives, however late that is.
    """

    table: str
    assumed_ms: int
    arrivals: int
    p50_ms: float
    p99_ms: float

    @property
    def kept(self) -> bool:
        """Say whether the assumption covers 99 of 100 arrivals, or too few are measured to tell."""
        known_at_arrival = TABLES[self.table].shape == "candle"
        few = self.arrivals < ENOUGH_ARRIVALS
        return known_at_arrival or few or self.p99_ms <= self.assumed_ms


def holdings(lake: Lake, universe: UniverseSettings, symbol: str) -> Iterator[Holding]:
    """Yield a holding per table of the universe, first those of which the symbol has no row."""
    aside = lake.as_of("quarantine", symbol, FOREVER_MS)
    aside = aside[aside["rule"] != ""]
    held = {name: lake.months(name, symbol) for name in INGESTED if name in universe.market}
    for name in sorted(held, key=lambda name: bool(held[name])):
        accepted = accepted_spans(lake, name, symbol)
        events = aside.loc[aside["series"] == name, "event_time_ms"].to_numpy()
        quarantined = int((~inside(events, accepted)).sum())
        history = lake.history(name, symbol, FOREVER_MS)
        silent_bars = universe.market[name].silent_bars
        yield _holding(
            symbol=symbol,
            name=name,
            history=history,
            bar_ms=universe.bar_ms,
            quarantined=quarantined,
            accepted=accepted,
            silent_bars=silent_bars,
        )


def lags(lake: Lake, universe: UniverseSettings) -> list[Lag]:
    """Return, per table whose arrivals were recorded, what was measured lately over all symbols."""
    import pandas as pd

    arrivals: Frame = pd.concat([_arrivals(lake, one) for one in universe.symbols])
    return [
        Lag(
            str(name),
            assumed_lag_ms(universe, str(name)),
            len(found),
            float(found.quantile(0.5)),
            float(found.quantile(0.99)),
        )
        for name, found in arrivals.groupby("series")["lag_ms"]
        if name in universe.market
    ]


def _arrivals(lake: Lake, symbol: str) -> Frame:
    """Return the arrivals of the last months that have any: what was measured years ago is past."""
    months = lake.months("arrivals", symbol)[-RECENT_MONTHS:]
    start_ms = month_start_ms(months[0]) if months else FOREVER_MS
    return lake.as_of("arrivals", symbol, FOREVER_MS, start_ms)


def assumed_lag_ms(universe: UniverseSettings, table: str) -> int:
    """Return how long after it could be known at the earliest a row counts as known."""
    period_ms = TABLES[table].period(universe.bar_ms)
    return max(universe.market[table].publication_lag_ms - period_ms, 0)


def known(lake: Lake, universe: UniverseSettings, symbol: str, t_ms: int) -> list[dict[str, Any]]:
    """Return, per table, the latest event that was known at `t_ms`, as a record of its values."""
    rows: list[dict[str, Any]] = []
    for name in INGESTED:
        if name in universe.market and name != "arrivals":
            frame = lake.as_of(name, symbol, t_ms, t_ms - 31 * 86_400_000, t_ms + 1)
            if len(frame):
                rows.append({"table": name, **frame.iloc[-1].to_dict()})
    return rows


def _holding(
    symbol: str,
    name: str,
    history: Frame,
    bar_ms: int,
    quarantined: int,
    accepted: Sequence[Span],
    silent_bars: int,
) -> Holding:
    import numpy as np

    table = TABLES[name]
    times = np.unique(history["event_time_ms"].to_numpy(np.int64))
    first_ms, last_ms = (int(times[0]), int(times[-1])) if len(times) else (0, 0)
    expected = 0 if table.dense else None
    holes: list[int] = []
    if table.dense and len(times):
        step = table.step(bar_ms)
        expected = (last_ms - first_ms) // step + 1
        missing = runs(np.setdiff1d(grid([(first_ms, last_ms)], step), times), step)
        spans = minus(longer(missing, silent_bars * step), accepted)
        holes = [(end - start) // step for start, end in spans]
    return Holding(
        symbol=symbol,
        table=name,
        sources=tuple(sorted(history["source"].unique())),
        rows=int((history["revision"] == 0).sum()),
        first_ms=first_ms,
        last_ms=last_ms,
        expected=expected,
        holes=len(holes),
        longest_hole=max(holes, default=0),
        accepted=len(accepted),
        revisions=int((history["revision"] > 0).sum()),
        quarantined=quarantined,
        digest=frame_digest(history),
    )
