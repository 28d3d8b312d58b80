"""The fear & greed index from alternative.me.

Source: alternative.me, "Fear and Greed Index API": `/fng/?limit=0` is every day since 2018-02-01.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from market_data.frames import Frame
from market_data.sources.backoff import PATIENT, Backoff, refused
from market_data.sources.columns import page
from market_data.sources.protocol import Wanted
from market_data.sources.web import get_json
from market_data.universe import SourceSettings


@dataclass(frozen=True, slots=True)
class FearGreed:
    """Ask the API at `at` for the daily index, 0 (fear) to 100 (greed), the same for every symbol.

    The API knows no span but "all": one request returns the whole history, some 3,000 rows.
    """

    name: str
    settings: SourceSettings
    at: str
    backoff: Backoff = PATIENT

    PUBLIC_URL: ClassVar[str] = "https://api.alternative.me"
    PREFIX: ClassVar[str] = "/alternative"

    @property
    def tables(self) -> frozenset[str]:
        """Return its one table."""
        return frozenset({"fear_greed"})

    def now_ms(self) -> int:
        """Return the wall clock; the API has none of its own."""
        return time.time_ns() // 1_000_000

    def pages(self, wanted: Wanted) -> Iterator[Frame]:
        """Yield one page, ascending; raise TidegateError when the source stays away."""
        days = self._days()
        times = np.array([moment for moment, _ in days], dtype=np.int64)
        values = np.array([value for _, value in days], dtype=np.float64)
        yield page("fear_greed", times, {"fear_greed": values}, wanted)

    def _days(self) -> list[tuple[int, float]]:
        url = f"{self.at}/fng/"
        answer = get_json(url, {"limit": "0", "format": "json"}, self.backoff)
        rows: Any = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise refused(url, repr(answer)[:200], "a record with a list called data")
        try:
            return sorted((int(row["timestamp"]) * 1_000, float(row["value"])) for row in rows)
        except (KeyError, TypeError, ValueError) as error:
            found = f"a row that is none ({type(error).__name__}: {error})"
            raise refused(url, found, "rows with a timestamp and a value") from error
