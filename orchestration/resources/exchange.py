"""The exchange, through unmodified ccxt: pages of history up to its own clock."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import dagster as dg
from pydantic import PrivateAttr

from kernel.bars import TIMEFRAME_MS
from orchestration.resources.backoff import Backoff, SourceUnavailableError, refused
from orchestration.resources.frames import Frame

CANDLE_PAGE = 499  # rows per unit of request weight are most at this size
FUNDING_PAGE = 1000
INTEREST_PAGE = 500
Answer = TypeVar("Answer")


class Exchange(dg.ConfigurableResource):
    """Read candles, funding and open interest of perpetuals from `url`, which speaks Binance's API.

    ccxt keeps to the exchange's rate limit; an exchange that cannot answer is asked `attempts`
    times with growing pauses, then the run fails.
    """

    url: str
    exchange_id: str = "binanceusdm"
    timeout_s: float = 10.0
    attempts: int = 7
    first_delay_s: float = 0.5
    longest_delay_s: float = 20.0
    _client: Any = PrivateAttr(default=None)

    def now_ms(self) -> int:
        """Return the exchange's clock; nothing later exists yet."""
        return int(self._ask(lambda client: client.fetch_time(), "the exchange's clock"))

    def candle_pages(
        self, timeframe: str, symbol: str, start_ms: int, end_ms: int
    ) -> Iterator[Frame]:
        """Yield pages of candles that open in the span; event_time_ms is the open."""

        def page(since: int, client: Any, name: str) -> Any:
            until = {"until": end_ms - 1}
            return client.fetch_ohlcv(name, timeframe, since, CANDLE_PAGE, until)

        columns = ["event_time_ms", "open", "high", "low", "close", "volume"]
        yield from self._pages(page, f"candles of {symbol}", symbol, (start_ms, end_ms), columns)

    def funding_pages(self, symbol: str, start_ms: int, end_ms: int) -> Iterator[Frame]:
        """Yield pages of funding settlements in the span, stamped as the exchange stamped them."""

        def page(since: int, client: Any, name: str) -> Any:
            until = {"until": end_ms - 1}
            rows = client.fetch_funding_rate_history(name, since, FUNDING_PAGE, until)
            return [(row["timestamp"], row["fundingRate"]) for row in rows]

        columns = ["event_time_ms", "funding_rate"]
        yield from self._pages(page, f"funding of {symbol}", symbol, (start_ms, end_ms), columns)

    def open_interest_pages(
        self, timeframe: str, symbol: str, start_ms: int, end_ms: int
    ) -> Iterator[Frame]:
        """Yield pages of open interest, in contracts, per timeframe; none where none is kept."""
        page_ms = INTEREST_PAGE * TIMEFRAME_MS[timeframe]
        columns = ["event_time_ms", "open_interest"]

        def page(since: int, client: Any, name: str) -> Any:
            until = {"until": min(end_ms, since + page_ms) - 1}
            rows = client.fetch_open_interest_history(name, timeframe, since, INTEREST_PAGE, until)
            return [(row["timestamp"], row["openInterestAmount"]) for row in rows]

        for since in range(start_ms, end_ms, page_ms):
            rows = self._named(partial(page, since), f"open interest of {symbol}", symbol)
            if rows:
                yield _frame(rows, columns)

    def _pages(
        self,
        page: Callable[[int, Any, str], Any],
        what: str,
        symbol: str,
        span: tuple[int, int],
        columns: list[str],
    ) -> Iterator[Frame]:
        """Ask for page after page, each beginning after the latest row of the one before."""
        since, end_ms = span
        while since < end_ms:
            rows = self._named(partial(page, since), what, symbol)
            if not rows:
                return
            yield _frame(rows, columns)
            since = max(since, *(row[0] for row in rows)) + 1

    def _named(self, ask: Callable[[Any, str], Answer], what: str, symbol: str) -> Answer:
        """Ask with the symbol's name in ccxt; refuse a symbol that the exchange does not list."""
        markets = self._ask(lambda client: client.load_markets() and client.markets_by_id, what)
        if symbol not in markets:
            raise refused(
                what, f"no market {symbol} at {self.url}", f"one of {sorted(markets)[:9]}"
            )
        name = markets[symbol][0]["symbol"]
        return self._ask(lambda client: ask(client, name), what)

    def _ask(self, ask: Callable[[Any], Answer], what: str) -> Answer:
        backoff = Backoff(self.attempts, self.first_delay_s, self.longest_delay_s)
        client = self._connected()
        return backoff.call(
            lambda: _answer(client, ask, what),
            f"{what} from {self.url}",
            random.Random(),  # noqa: S311  # jitter
        )

    def _connected(self) -> Any:
        if self._client is None:
            self._client = connect(self.exchange_id, self.url, self.timeout_s)
        return self._client


def connect(exchange_id: str, url: str, timeout_s: float) -> Any:
    """Return ccxt's own client with every host of the exchange replaced by `url`."""
    import ccxt

    settings = {
        "enableRateLimit": True,
        "enableLastJsonResponse": True,  # the only way to tell half a payload from a strange one
        "timeout": int(timeout_s * 1000),
    }
    client = getattr(ccxt, exchange_id)(settings)
    client.options["fetchCurrencies"] = False  # needs an account
    for name, address in client.urls["api"].items():
        client.urls["api"][name] = url.rstrip("/") + "/" + address.split("/", 3)[3]
    return client


def _answer(client: Any, ask: Callable[[Any], Answer], what: str) -> Answer:
    """Return ccxt's answer; tell a source that cannot answer now from one that never will."""
    import ccxt

    try:
        answer = ask(client)
    except ccxt.OperationFailed as error:
        raise SourceUnavailableError(_reason(error), _retry_after_s(client)) from error
    except (ccxt.ExchangeError, TypeError, ValueError, KeyError, AttributeError) as error:
        if client.last_http_response and client.last_json_response is None:
            raise _half_payload(client) from error
        if isinstance(error, ccxt.ExchangeError):
            raise refused(what, _reason(error), "an answer") from error
        raise
    if client.last_http_response and client.last_json_response is None:
        raise _half_payload(client)
    return answer


def _half_payload(client: Any) -> SourceUnavailableError:
    return SourceUnavailableError(
        f"{len(client.last_http_response)} characters that are no whole JSON"
    )


def _reason(error: Exception) -> str:
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    return f"{type(error).__name__}: {error}{cause}"[:500]


def _retry_after_s(client: Any) -> float:
    pause = str((client.last_response_headers or {}).get("Retry-After", ""))
    return float(pause) if pause.isdigit() else 0.0


def _frame(rows: Any, columns: list[str]) -> Frame:
    import numpy as np
    import pandas as pd

    times = np.array([row[0] for row in rows], dtype=np.int64)
    values = np.array([row[1:] for row in rows], dtype=np.float64)
    return pd.DataFrame(
        {columns[0]: times, **{name: values[:, k] for k, name in enumerate(columns[1:])}}
    )
