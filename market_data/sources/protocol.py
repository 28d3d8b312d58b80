"""What every source of raw data can do, and nothing more."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from market_data.frames import Frame


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows of one table and symbol with `start_ms` <= event time < `end_ms`, milliseconds UTC.

    `bar_ms` is the universe's bar; a table's own step follows from it. `name` is what universe.yaml
    says that the source calls the symbol, empty where it is silent. A price of the source is to be
    multiplied by `scale`, where it counts the coin otherwise than the symbol does.
    """

    table: str
    symbol: str
    start_ms: int
    end_ms: int
    bar_ms: int
    name: str = ""
    scale: float = 1.0

    @property
    def called(self) -> str:
        """Return the source's name of the symbol: the symbol, where nobody says otherwise."""
        return self.name or self.symbol


class Source(Protocol):
    """One road to raw data. An instance belongs to one run and may keep connections.

    A page is a DataFrame with `event_time_ms` (int64) and the value columns of its table in
    `market_data.tables`, and `known_at_ms` only where the source itself says when a row
    was published. Pages come in the order in which the source gives them; rows may be out of order,
    doubled or broken, for the ingest judges them. An unfinished bar may be among them: the ingest
    drops what is not over.

    `pages` raises TidegateError, from `backoff.unavailable` or `backoff.refused`, when the source
    stays away or will never answer; what it yielded before is stored. It never returns early: an
    exhausted iterator means that the source has been read to `end_ms` and has no further rows.
    """

    @property
    def name(self) -> str:
        """Return the name in configs/universe.yaml, which is written into every row."""
        ...

    @property
    def tables(self) -> frozenset[str]:
        """Return the tables it can fill."""
        ...

    def now_ms(self) -> int:
        """Return the source's clock, milliseconds UTC; nothing later exists yet."""
        ...

    def pages(self, wanted: Wanted) -> Iterator[Frame]:
        """Yield the rows wanted, page by page; an unknown symbol is refused or has no rows."""
        ...
