"""REST side of the venue: closed candles and the slow series, retried with backoff and jitter.

Sources: Binance USDⓈ-M market data (klines, fundingRate, openInterestHist), Coin Metrics
community asset metrics, alternative.me fear and greed index.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

import aiohttp
import httpx
import numpy as np

from kernel.clock import grid_point_ms
from kernel.errors import TidegateError
from kernel.onchain_metrics import METRICS, in_our_columns
from live_runner.candles import Candle, from_rest

Read = TypeVar("Read")
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
SETTLED_WITHIN_MS = 60_000
KLINE_PAGE = 1_000
BOOK_LEVELS = 100
FUNDING_PAGE_MS = 1_000 * 3_600_000  # a page holds 1,000 rows, and a symbol may settle every hour
OPEN_INTEREST_PAGE = 400
OPEN_INTEREST_KEPT_MS = 29 * DAY_MS  # the exchange keeps one month
Price = Literal["last", "mark", "index"]
KLINES: Mapping[Price, tuple[str, str]] = {  # where they are, and what names the symbol there
    "last": ("/fapi/v1/klines", "symbol"),
    "mark": ("/fapi/v1/markPriceKlines", "symbol"),
    "index": ("/fapi/v1/indexPriceKlines", "pair"),
}


class VenueError(TidegateError):
    """Say which request failed, what came back and what was expected."""


class Row(NamedTuple):
    """One row of a slow series."""

    name: str
    event_time_ms: int
    value: float


@dataclass(frozen=True, slots=True)
class Pauses:
    """Exponential waits with jitter: attempt k waits between half and all of min(cap, base * 2**k)
    seconds.
    """

    base_s: float
    cap_s: float
    attempts: int

    def seconds(self, attempt: int, rng: random.Random) -> float:
        """Return how long to wait after failed attempt number `attempt`, counted from 0."""
        return min(self.cap_s, self.base_s * 2.0 ** min(attempt, 30)) * rng.uniform(0.5, 1.0)


class Venue:
    """Read a venue over REST; every failed attempt is told to `on_error` with its text."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        backoff: Pauses,
        rng: random.Random,
        on_error: Callable[[str], None],
    ) -> None:
        self._client = client
        self._backoff = backoff
        self._rng = rng
        self._on_error = on_error
        self._down: set[str] = set()

    async def time_ms(self) -> int:
        """Return the venue's clock; raises VenueError."""
        return int((await self._get("/fapi/v1/time", {}))["serverTime"])

    async def candles(
        self,
        symbol: str,
        timeframe: str,
        bar_ms: int,
        start_ms: int,
        end_ms: int,
        price: Price = "last",
    ) -> list[Candle]:
        """Return the candles that open in [start, end), ascending; all must have closed.

        Those of mark and index have no volume that means anything.
        """
        found: dict[int, Candle] = {}
        path, name = KLINES[price]
        for page_ms in range(start_ms, end_ms, KLINE_PAGE * bar_ms):
            last_ms = min(page_ms + KLINE_PAGE * bar_ms, end_ms) - 1
            params = {name: symbol, "interval": timeframe, "limit": KLINE_PAGE}
            rows = await self._rows(
                path, {**params, "startTime": page_ms, "endTime": last_ms}, from_rest
            )
            found.update(
                {row.open_time_ms: row for row in rows if page_ms <= row.open_time_ms <= last_ms}
            )
        return [found[at] for at in sorted(found)]

    async def funding(self, symbol: str, start_ms: int, end_ms: int) -> list[Row]:
        """Return the funding rates settled in [start, end]."""
        rows: list[Row] = []
        for page_ms in range(start_ms, end_ms + 1, FUNDING_PAGE_MS):
            params = {"symbol": symbol, "limit": 1_000, "startTime": page_ms}
            params["endTime"] = min(page_ms + FUNDING_PAGE_MS - 1, end_ms)
            rows += await self._rows(
                "/fapi/v1/fundingRate",
                params,
                lambda row: Row(
                    "funding_rate", _settled_ms(int(row["fundingTime"])), float(row["fundingRate"])
                ),
            )
        return rows

    async def open_interest(
        self, symbol: str, timeframe: str, bar_ms: int, start_ms: int, end_ms: int
    ) -> list[Row]:
        """Return open interest in base quantity stamped in [start, end], no older than the exchange
        keeps.
        """
        rows: list[Row] = []
        start_ms = max(start_ms, end_ms - OPEN_INTEREST_KEPT_MS)
        for page_ms in range(start_ms, end_ms + 1, OPEN_INTEREST_PAGE * bar_ms):
            params = {"symbol": symbol, "period": timeframe, "limit": OPEN_INTEREST_PAGE}
            last_ms = min(page_ms + OPEN_INTEREST_PAGE * bar_ms - 1, end_ms)
            rows += await self._rows(
                "/futures/data/openInterestHist",
                {**params, "startTime": page_ms, "endTime": last_ms},
                lambda row: Row(
                    "open_interest", int(row["timestamp"]), float(row["sumOpenInterest"])
                ),
            )
        return rows

    async def depth(self, symbol: str) -> dict[str, Any]:
        """Return the order book's best prices and the quantity on its first 100 levels a side, as a
        row of the lake's table `depth`.
        """
        params = {"symbol": symbol, "limit": BOOK_LEVELS}
        return _read("depth", partial(_book, await self._get("/fapi/v1/depth", params)))

    async def onchain(self, coin: str, start_ms: int, end_ms: int) -> list[Row]:
        """Return the daily on-chain metrics of a coin, of the days that start in [start, end]; of
        net exchange flow USD in minus out. What the source does not have is no row.
        """
        params = {
            "assets": coin,
            "metrics": ",".join(METRICS),
            "frequency": "1d",
            "page_size": 10_000,
            "ignore_unsupported_errors": "true",
            "ignore_forbidden_errors": "true",
            "start_time": _iso(start_ms),
            "end_time": _iso(end_ms),
        }
        body = await self._get("/coinmetrics/v4/timeseries/asset-metrics", params)
        return _read(
            "asset-metrics", lambda: [one for row in body["data"] for one in _onchain(row)]
        )

    async def fear_greed(self, start_ms: int, end_ms: int) -> list[Row]:
        """Return the fear and greed index (0..100) stamped in [start, end]."""
        days = (await self.time_ms() - start_ms) // DAY_MS + 2  # the index answers from today back
        body = await self._get("/alternative/fng", {"limit": days, "format": "json"})
        rows = _read(
            "fng",
            lambda: [
                Row("fear_greed", int(row["timestamp"]) * 1_000, float(row["value"]))
                for row in body["data"]
            ],
        )
        return [row for row in rows if start_ms <= row.event_time_ms <= end_ms]

    async def _rows(
        self, path: str, params: Mapping[str, Any], read: Callable[[Any], Any]
    ) -> list[Any]:
        body = await self._get(path, params)
        return _read(path, lambda: [read(row) for row in body])

    async def _get(self, path: str, params: Mapping[str, Any]) -> Any:
        """Return the JSON of a GET; retries what may pass, raises VenueError for what will not.

        What was retried in vain is asked once, until it answers: bars wait for it.
        """
        failure = ""
        for attempt in range(1 if path in self._down else self._backoff.attempts):
            if attempt:
                await asyncio.sleep(self._backoff.seconds(attempt - 1, self._rng))
            try:
                answer = await self._client.get(path, params=dict(params))
                if answer.status_code == 200:
                    body = answer.json()
                    self._down.discard(path)
                    return body
                failure = f"{answer.status_code} {answer.text[:120]!r}"
                retry = answer.status_code == 429 or answer.is_server_error
            except (httpx.HTTPError, aiohttp.ClientError, ValueError) as error:
                failure = repr(error)
                retry = True
            self._on_error(f"GET {path}: found {failure}")
            if not retry:
                break
        else:
            self._down.add(path)
        raise VenueError(f"GET {path}: found {failure}, expected 200 with JSON; is the venue up?")


async def persist(call: Callable[[], Awaitable[Read]], backoff: Pauses, rng: random.Random) -> Read:
    """Await `call()` until it no longer raises VenueError, waiting between attempts."""
    attempt = 0
    while True:
        try:
            return await call()
        except VenueError:
            await asyncio.sleep(backoff.seconds(attempt, rng))
            attempt += 1


def _read(path: str, read: Callable[[], Read]) -> Read:
    """Return what `read` makes of a body, or raise VenueError saying that its shape is foreign."""
    try:
        return read()
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise VenueError(
            f"GET {path}: found a body that fails with {error!r}, expected rows"
        ) from error


def _settled_ms(stamp_ms: int) -> int:
    """Return the hour of a settlement, as the lake has it."""
    return grid_point_ms(stamp_ms, HOUR_MS, SETTLED_WITHIN_MS)


def _book(body: Mapping[str, Any]) -> dict[str, Any]:
    bids, asks = ([[float(x) for x in level[:2]] for level in body[s]] for s in ("bids", "asks"))
    return {
        "event_time_ms": int(body["T"]),
        "update_id": int(body["lastUpdateId"]),
        "best_bid": bids[0][0],
        "best_ask": asks[0][0],
        "best_bid_quantity": bids[0][1],
        "best_ask_quantity": asks[0][1],
        "bid_quantity_100": math.fsum(quantity for _, quantity in bids),
        "ask_quantity_100": math.fsum(quantity for _, quantity in asks),
    }


def _onchain(row: Mapping[str, Any]) -> list[Row]:
    event_ms = int(datetime.fromisoformat(str(row["time"])[:19] + "+00:00").timestamp()) * 1_000
    given = {name: np.array([float(row[name])]) for name in METRICS if row.get(name) is not None}
    values = {name: float(value[0]) for name, value in in_our_columns(given, rows=1).items()}
    return [Row(name, event_ms, value) for name, value in values.items() if not math.isnan(value)]


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
