"""On-chain metrics in the shape of Coin Metrics' community API."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from orchestration.resources.backoff import Backoff, refused
from orchestration.resources.frames import Frame
from orchestration.resources.web import get_json

METRICS = ("FlowInExUSD", "FlowOutExUSD", "CapMVRVCur")
PAGE_ROWS = 1000
_QUOTE = "USDT"


class OnChain(dg.ConfigurableResource):
    """Read daily metrics of an asset from `url`, the `/v4` of a Coin Metrics API."""

    url: str
    timeout_s: float = 10.0
    attempts: int = 7
    first_delay_s: float = 0.5
    longest_delay_s: float = 20.0

    def pages(self, symbol: str, start_ms: int, end_ms: int) -> Iterator[Frame]:
        """Yield event_time_ms (00:00 of the day), exchange_net_flow (USD in minus out) and mvrv.

        A metric that the source lacks for a day is NaN; an asset it does not cover has no rows.
        """
        query = {
            "assets": symbol.removesuffix(_QUOTE).lower(),
            "metrics": ",".join(METRICS),
            "frequency": "1d",
            "start_time": _iso(start_ms),
            "end_time": _iso(end_ms - 1),
            "page_size": str(PAGE_ROWS),
            "paging_from": "start",
        }
        backoff = Backoff(self.attempts, self.first_delay_s, self.longest_delay_s)
        while True:
            url = f"{self.url}/timeseries/asset-metrics"
            answer = get_json(url, query, backoff, self.timeout_s)
            if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
                raise refused(url, repr(answer)[:200], "a record with a list called data")
            yield _frame(answer["data"], start_ms, end_ms)
            if not (token := answer.get("next_page_token")):
                return
            query["next_page_token"] = token


def _frame(rows: list[dict[str, Any]], start_ms: int, end_ms: int) -> Frame:
    import numpy as np
    import pandas as pd

    values = np.array([[row.get(name) for name in METRICS] for row in rows], dtype=np.float64)
    inflow, outflow, mvrv = values.reshape(-1, len(METRICS)).T
    times = np.array([_ms(row["time"]) for row in rows], dtype=np.int64)
    frame = pd.DataFrame(
        {"event_time_ms": times, "exchange_net_flow": inflow - outflow, "mvrv": mvrv}
    )
    return frame[frame["event_time_ms"].between(start_ms, end_ms - 1)].reset_index(drop=True)


def _iso(moment_ms: int) -> str:
    return f"{datetime.fromtimestamp(moment_ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}"


def _ms(text: str) -> int:
    """Return milliseconds of `2025-12-01T00:00:00.000000000Z`; days are whole seconds."""
    return int(datetime.fromisoformat(text[:19]).replace(tzinfo=UTC).timestamp()) * 1000
