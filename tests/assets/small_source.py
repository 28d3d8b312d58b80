"""A source in memory: a test chooses its rows and its clock, and reads what it was asked."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from market_data.sources.protocol import Wanted
from market_data.tables import INGESTED
from market_data.universe import SourceSettings

PAGE = 500


@dataclass
class SmallMarket:
    """Rows by (source, table, symbol), as that source would send them, and the present."""

    now_ms: int
    rows: dict[tuple[str, str, str], pd.DataFrame] = field(default_factory=dict)
    asked: list[tuple[str, Wanted]] = field(default_factory=list)

    def put(self, source: str, table: str, symbol: str, **columns: Any) -> None:
        """Hold these rows of a table, in place of those before."""
        self.rows[source, table, symbol] = pd.DataFrame(columns)


MARKETS: dict[str, SmallMarket] = {}


@dataclass(frozen=True)
class SmallSource:
    """The road to the market that is held under the path in universe.yaml."""

    name: str
    settings: SourceSettings
    at: str

    @property
    def tables(self) -> frozenset[str]:
        """Return every table."""
        return frozenset(INGESTED)

    def now_ms(self) -> int:
        """Return the present of the market."""
        return MARKETS[self.at].now_ms

    def pages(self, wanted: Wanted) -> Iterator[pd.DataFrame]:
        """Yield the rows of the window in the order in which they are held."""
        market = MARKETS[self.at]
        market.asked.append((self.name, wanted))
        held = market.rows.get((self.name, wanted.table, wanted.symbol))
        if held is not None:
            inside = held["event_time_ms"].between(wanted.start_ms, wanted.end_ms - 1)
            mine = held[inside & (held["event_time_ms"] <= market.now_ms)]
            for start in range(0, len(mine), PAGE):
                yield mine.iloc[start : start + PAGE].reset_index(drop=True)
