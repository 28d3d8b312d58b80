"""A source whose rows, moods and memory a test holds in its hands."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from market_data.sources.catalogue import Sources
from market_data.sources.protocol import Source, Wanted
from market_data.tables import TABLES
from market_data.universe import SourceSettings, TableSettings, UniverseSettings

BAR_MS = 900_000
Rows = Any
Spoil = Callable[[int, Rows], Rows]


@dataclass
class GivenSource:
    """Serve `held` by table, in pages of up to `page` rows.

    `asked` notes every question. `spoil` is given the number of the question, counted from 0, and
    its rows, and returns those that are sent; None sends them as they are. `kept_ms` bounds the
    past by table. With `rng` pages come in any order, some rows and some pages twice.
    """

    name: str
    held: dict[str, Rows]
    clock_ms: int
    page: int = 100
    spoil: Spoil | None = None
    rng: random.Random | None = None
    kept_ms: dict[str, int] = field(default_factory=dict)
    asked: list[Wanted] = field(default_factory=list)

    @property
    def tables(self) -> frozenset[str]:
        """Return the tables that are held."""
        return frozenset(self.held)

    def now_ms(self) -> int:
        """Return the clock that the test set."""
        return self.clock_ms

    def kept_from_ms(self, table: str, bar_ms: int, now_ms: int) -> int:
        """Return where the past that is kept begins."""
        return now_ms - self.kept_ms[table] if table in self.kept_ms else 0

    def pages(self, wanted: Wanted) -> Iterator[Rows]:
        """Yield the rows that are held in the span."""
        rows = self.held[wanted.table]
        rows = rows[rows["event_time_ms"].between(wanted.start_ms, wanted.end_ms - 1)]
        if self.spoil:
            rows = self.spoil(len(self.asked), rows)
        self.asked.append(wanted)
        pages = [rows[at : at + self.page] for at in range(0, len(rows), self.page)]
        yield from _shaken(pages, self.rng) if self.rng else pages


def _shaken(pages: list[Rows], rng: random.Random) -> list[Rows]:
    """Return the pages in any order, some twice, with some rows doubled and all out of order."""
    many = pages + [page for page in pages if rng.random() < 0.3]
    rng.shuffle(many)
    return [
        pd.concat([page, page.sample(frac=0.2, random_state=rng.randrange(99))]).sample(
            frac=1.0, random_state=rng.randrange(99)
        )
        for page in many
    ]


@dataclass(frozen=True)
class GivenSources(Sources):
    """Hand out given sources by name; the first one's clock is the market's."""

    _given: dict[str, GivenSource] = field(default_factory=dict)

    def source(self, name: str) -> Source:
        """Return the source of that name."""
        return self._given[name]

    def now_ms(self) -> int:
        """Return the market's clock."""
        return next(iter(self._given.values())).now_ms()


def given(*held: GivenSource) -> GivenSources:
    """Return these sources."""
    by_name = {source.name: source for source in held}
    return GivenSources(folder="", venue_url="", _given=by_name)


def universe(
    table: str,
    source: str = "one",
    fallback: str = "",
    lag_ms: int = 0,
    start: str = "2025-01-01",
    silent_bars: int = 0,
) -> UniverseSettings:
    """Return a universe of bitcoin in which one table comes from these sources."""
    settings = TableSettings(
        source=source, publication_lag_ms=lag_ms, fallback=fallback, silent_bars=silent_bars
    )
    candles = TableSettings(source="one", publication_lag_ms=0)
    names = {"one", source, fallback} - {""}
    return UniverseSettings(
        symbols=("BTCUSDT",),
        timeframe="15m",
        history_start=start,
        sources={name: SourceSettings(adapter="given") for name in names},
        market={"candles": candles} | {table: settings},
    )


def frame(table: str, times: Any, value: float = 1.0) -> Rows:
    """Return sound rows at these times; candles rise with them, points have `value`."""
    times = pd.Series(times, dtype="int64")
    rows = pd.DataFrame({"event_time_ms": times})
    if TABLES[table].shape != "candle":
        return rows.assign(**dict.fromkeys(TABLES[table].columns, value))
    opened = 50_000.0 + (times // 60_000 % 10_000) / 7.0
    prices = {"open": opened, "high": opened + 9.0, "low": opened - 7.0, "close": opened + 3.0}
    volume = {"volume": 1.0 + times // 60_000 % 5}
    return rows.assign(**prices, **(volume if "volume" in TABLES[table].columns else {}))
