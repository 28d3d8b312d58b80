"""The fear & greed index in the shape of alternative.me's API."""

from collections.abc import Iterator

import dagster as dg

from orchestration.resources.backoff import Backoff, refused
from orchestration.resources.frames import Frame
from orchestration.resources.web import get_json


class Sentiment(dg.ConfigurableResource):
    """Read the daily index, 0 (fear) to 100 (greed), from `url`."""

    url: str
    timeout_s: float = 10.0
    attempts: int = 7
    first_delay_s: float = 0.5
    longest_delay_s: float = 20.0

    def pages(self, symbol: str, start_ms: int, end_ms: int) -> Iterator[Frame]:  # noqa: ARG002
        """Yield one page, the same for every symbol: event_time_ms and fear_greed of the days.

        The API knows no span, only "all": one request returns the whole history (some 3,000 rows).
        """
        import numpy as np
        import pandas as pd

        backoff = Backoff(self.attempts, self.first_delay_s, self.longest_delay_s)
        url = f"{self.url}/fng"
        answer = get_json(url, {"limit": "0", "format": "json"}, backoff, self.timeout_s)
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
            raise refused(url, repr(answer)[:200], "a record with a list called data")
        rows = answer["data"]
        frame = pd.DataFrame(
            {
                "event_time_ms": np.array([int(row["timestamp"]) * 1000 for row in rows], np.int64),
                "fear_greed": np.array([float(row["value"]) for row in rows], np.float64),
            }
        ).sort_values(by="event_time_ms", ignore_index=True)
        yield frame[frame["event_time_ms"].between(start_ms, end_ms - 1)].reset_index(drop=True)
