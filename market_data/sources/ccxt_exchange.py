"""An exchange through ccxt, as a source: pages of history up to the exchange's own clock."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from kernel.bars import TIMEFRAME_MS
from market_data.frames import Frame
from market_data.sources.backoff import PATIENT, Backoff, SourceUnavailableError, refused
from market_data.sources.ccxt_client import ask, connect, raw_rows
from market_data.sources.columns import page, rows_of, scaled
from market_data.sources.exchanges import EXCHANGES, Exchange, Road
from market_data.sources.instruments import QUOTES, UNLISTED, Instrument, Instruments, from_market
from market_data.sources.protocol import Wanted
from market_data.sources.stamps import WrongColumnError
from market_data.tables import HOUR_MS, TABLES
from market_data.universe import SourceSettings

Answer = TypeVar("Answer")
Row = tuple[Any, ...]
"""Event time in milliseconds, then the values in the order of the table's columns."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
DEPTH_LEVELS = 100


@dataclass(frozen=True, slots=True)
class CcxtExchange:
    """Read the exchange `settings.exchange`, an id of ccxt, at the address `at` ("": its own).

    Requests are spaced by the exchange's weights and the limits of its endpoints. A venue on this
    machine replays: it has no limits, and keeps all history. `replayed` None: by the address.
    """

    name: str
    settings: SourceSettings
    at: str
    backoff: Backoff = PATIENT
    timeout_s: float = 10.0
    replayed: bool | None = None
    instruments: Instruments = UNLISTED
    _held: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    PREFIX = ""
    PUBLIC_URL = ""

    @property
    def exchange(self) -> Exchange:
        """Return the exchange's description; refuse one of which there is none."""
        found = EXCHANGES.get(self.settings.exchange)
        if found is None:
            what = f"source {self.name} in universe.yaml: exchange"
            raise refused(what, repr(self.settings.exchange), f"one of {sorted(EXCHANGES)}")
        return found

    @property
    def tables(self) -> frozenset[str]:
        """Return the tables that the exchange gives."""
        return frozenset(self.exchange.roads)

    def now_ms(self) -> int:
        """Return the exchange's clock."""
        return self._ask(lambda client: int(client.fetch_time()), "the exchange's clock")

    def kept_from_ms(self, table: str, bar_ms: int, now_ms: int) -> int:
        """Return the event time from which on the exchange has rows of a table, 0 for all."""
        road = self._road(table)
        if self._is_replayed:
            return 0
        kept_ms = road.kept_ms or road.kept_bars * TABLES[table].step(bar_ms)
        return now_ms - kept_ms if kept_ms else 0

    def listed_as(self, symbol: str) -> str:
        """Return ccxt's name of the market that is read; refuse a symbol that has none."""
        return self._market(symbol).name

    def instrument(self, symbol: str) -> Instrument | None:
        """Return what a symbol is by the exchange's list: its market's base and quote.

        The market is the one of that id, else the one whose base and quote make the symbol; where
        the exchange has one currency for all, the one whose base makes it with any currency.
        """
        markets, by_id = self._markets(f"{symbol} at {self._place}")
        if symbol in by_id:
            market = by_id[symbol][0]
            return from_market(str(market["base"]), str(market["quote"]))
        for market in markets.values():
            base = str(market["base"])
            quotes = [str(market["quote"])]
            if market["symbol"] in [name.format(base=base, quote="") for name in self._fixed]:
                quotes += QUOTES
            for quote in quotes:
                if symbol == base + quote:
                    return from_market(base, quote)
        return None

    @property
    def _fixed(self) -> list[str]:
        """Return the names of markets that are the same whatever the symbol is priced in."""
        return [name for name in self.exchange.markets if "{quote}" not in name]

    def _markets(self, what: str) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._ask(lambda client: (client.load_markets(), client.markets_by_id), what)

    def _market(self, symbol: str) -> "_Market":
        """Return the market of a symbol: by id, by ccxt's name, else by what the symbol is.

        A market may count the coin otherwise than the symbol does, as SHIB for 1000SHIB.
        """
        markets, by_id = self._markets(f"{symbol} at {self._place}")
        if symbol in by_id:
            return _Market(str(by_id[symbol][0]["symbol"]))
        if symbol in markets:
            return _Market(symbol)
        what = self.instruments.of(symbol)
        tried = [symbol]
        for name in self.exchange.markets:
            for base, scale in ((what.counted, 1.0), (what.base, float(what.multiplier))):
                tried.append(name.format(base=base, quote=what.quote))
                if tried[-1] in markets:
                    return _Market(tried[-1], scale)
        known = sorted(markets)
        near = [name for name in known if what.base in name] or known
        found = f"no market {' or '.join(dict.fromkeys(tried))} at {self._place}"
        raise refused(f"symbol {symbol}", found, f"one of {near[:9]}")

    def pages(self, wanted: Wanted) -> Iterator[Frame]:
        """Yield the rows wanted, one page per request.

        Raises TidegateError for an unknown symbol, and for an exchange that refuses or stays away.
        """
        road = self._road(wanted.table)
        found = self._market(wanted.called)
        market = found.name
        scale = wanted.scale * found.scale
        if road.call == "trades":
            pages = self._by_id(road, market, wanted)
        elif road.call == "depth":
            pages = iter([self._page(road, market, wanted)])
        elif road.windowed:
            pages = self._by_window(road, market, wanted)
        else:
            pages = self._by_time(road, market, wanted)
        for rows in pages:
            if len(rows):
                yield scaled(rows, wanted.table, scale)

    def _by_window(self, road: Road, market: str, wanted: Wanted) -> Iterator[Frame]:
        """Ask for one span after the other, each as long as a page."""
        width_ms = road.page * TABLES[wanted.table].step(wanted.bar_ms)
        for start_ms in range(wanted.start_ms, wanted.end_ms, width_ms):
            end_ms = min(start_ms + width_ms, wanted.end_ms)
            yield self._page(road, market, replace(wanted, start_ms=start_ms, end_ms=end_ms))

    def _by_time(self, road: Road, market: str, wanted: Wanted) -> Iterator[Frame]:
        """Ask for page after page, each beginning behind the latest row of the one before."""
        since = wanted.start_ms
        step = TABLES[wanted.table].step(wanted.bar_ms) if road.call == "candles" else 1
        while since < wanted.end_ms:
            rows = self._page(road, market, replace(wanted, start_ms=since))
            if not len(rows):
                return
            yield rows
            since = max(since, int(rows["event_time_ms"].max())) + step

    def _by_id(self, road: Road, market: str, wanted: Wanted) -> Iterator[Frame]:
        """Find the first trade by time, then go on by trade number, of which none is passed over.

        A span of time would be cut where it holds more trades than a page.
        """
        rows = None
        for start_ms in range(wanted.start_ms, wanted.end_ms, HOUR_MS - 1):
            end_ms = min(start_ms + HOUR_MS - 1, wanted.end_ms)
            rows = self._page(road, market, replace(wanted, start_ms=start_ms, end_ms=end_ms))
            if len(rows):
                break
        while rows is not None and len(rows):
            yield rows
            if int(rows["event_time_ms"].max()) >= wanted.end_ms:
                return
            rows = self._page(road, market, wanted, int(rows["trade_id"].max()) + 1)

    def _page(self, road: Road, market: str, wanted: Wanted, from_id: int = 0) -> Frame:
        """Return the answer to one request, asked again while it is not whole."""
        self._pause(road)
        request = Request(road, market, wanted, from_id)
        return self._ask(partial(_answered, request), f"{wanted.table} of {wanted.symbol}")

    def _road(self, table: str) -> Road:
        roads = self.exchange.roads
        if table not in roads:
            what = f"{table} from source {self.name} ({self.settings.exchange})"
            raise refused(what, "no such table there", f"one of {sorted(roads)}")
        return roads[table]

    def _ask(self, question: Callable[[Any], Answer], what: str) -> Answer:
        client = self.connected()
        return self.backoff.call(
            lambda: ask(client, question, what),
            f"{what} from {self._place}",
            random.Random(),  # noqa: S311  # jitter
        )

    def connected(self) -> Any:
        """Return ccxt's client, the same one for the life of this source."""
        if "client" not in self._held:
            at = self.at and self.at.rstrip("/") + self._prefix
            self._held["client"] = connect(
                self.settings.exchange,
                at,
                self.timeout_s,
                limited=not self._is_replayed,
                options=self.exchange.options,
            )
        return self._held["client"]

    def _pause(self, road: Road) -> None:
        """Wait until the endpoint may be asked again."""
        if road.pause_s and not self._is_replayed:
            since = time.monotonic() - self._held.get(road.call, -road.pause_s)
            time.sleep(max(0.0, road.pause_s - since))
            self._held[road.call] = time.monotonic()

    @property
    def _prefix(self) -> str:
        """Return the exchange's place at the replay venue; another address is complete."""
        return "" if self.settings.url else self.exchange.prefix

    @property
    def _place(self) -> str:
        return self.at + self._prefix if self.at else self.settings.exchange

    @property
    def _is_replayed(self) -> bool:
        return urlsplit(self.at).hostname in LOOPBACK if self.replayed is None else self.replayed


@dataclass(frozen=True, slots=True)
class _Market:
    """ccxt's name of a market, and what its prices are multiplied by to be the symbol's."""

    name: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request: of `market`, ccxt's name, the first page of what is wanted.

    `from_id` is the number of the first trade, 0 where trades are asked for by time.
    """

    road: Road
    market: str
    wanted: Wanted
    from_id: int = 0


def _answered(request: Request, client: Any) -> Frame:
    """Ask, and return the rows as a frame; SourceUnavailableError for an answer without rows."""
    rows = _CALLS[request.road.call](client, request)
    raw_rows(client, request.road.rows)
    try:
        return _frame(rows, request)
    except WrongColumnError as error:
        raise SourceUnavailableError(f"an answer that cannot be read ({error})") from error


def _candles(client: Any, request: Request) -> list[Row]:
    wanted = request.wanted
    road = request.road
    timeframe = _timeframe(client, wanted)
    params = {"until": wanted.end_ms - 1, **road.params}
    return client.fetch_ohlcv(request.market, timeframe, wanted.start_ms, road.page, params)


def _funding(client: Any, request: Request) -> list[Row]:
    wanted = request.wanted
    until = {"until": wanted.end_ms - 1}
    rows = client.fetch_funding_rate_history(
        request.market, wanted.start_ms, request.road.page, until
    )
    return [(row["timestamp"], row["fundingRate"]) for row in rows]


def _open_interest(client: Any, request: Request) -> list[Row]:
    wanted = request.wanted
    rows = client.fetch_open_interest_history(
        request.market,
        _timeframe(client, wanted),
        wanted.start_ms,
        request.road.page,
        {"until": wanted.end_ms - 1},
    )
    return [(row["timestamp"], row["openInterestAmount"]) for row in rows]


def _trades(client: Any, request: Request) -> list[Row]:
    wanted = request.wanted
    page = request.road.page
    if request.from_id:
        rows = client.fetch_trades(request.market, None, page, {"fromId": request.from_id})
    else:
        until = {"until": wanted.end_ms - 1}
        rows = client.fetch_trades(request.market, wanted.start_ms, page, until)
    rows = [
        (row["timestamp"], int(row["id"]), row["price"], row["amount"], _SIDES[row["side"]])
        for row in rows
    ]
    return sorted(rows)  # ccxt sorts the numbers of one moment as texts


def _depth(client: Any, request: Request) -> list[Row]:
    """Return the book of this moment as one row; the exchange keeps no other."""
    book = client.fetch_order_book(request.market, DEPTH_LEVELS)
    bids = book["bids"]
    asks = book["asks"]
    (bid, bid_quantity), (offer, offer_quantity) = bids[0][:2], asks[0][:2]
    totals = (sum(level[1] for level in side) for side in (bids, asks))
    row = (book["timestamp"], book["nonce"], bid, offer, bid_quantity, offer_quantity, *totals)
    return [row]


_CALLS: dict[str, Callable[[Any, Request], list[Row]]] = {
    "candles": _candles,
    "funding": _funding,
    "open_interest": _open_interest,
    "trades": _trades,
    "depth": _depth,
}
_BY_NUMBER = frozenset({"trades", "depth"})
_SIDES = {"buy": 1.0, "sell": -1.0}


def _timeframe(client: Any, wanted: Wanted) -> str:
    """Return the exchange's name of the table's step; refuse where it has none."""
    step = TABLES[wanted.table].step(wanted.bar_ms)
    name = next((name for name, length in TIMEFRAME_MS.items() if length == step), "")
    if name not in client.timeframes:
        known = [name for name in client.timeframes if name in TIMEFRAME_MS]
        raise refused(f"{wanted.table} from {client.id}", f"bars of {step} ms", f"one of {known}")
    return name


def _frame(rows: list[Row], request: Request) -> Frame:
    """Return the rows with the table's columns; what a row has beyond them is left out.

    An answer to a span may hold rows beside it, which are asked for in their turn; trades by number
    are all kept, for the next number follows from them.
    """
    import numpy as np

    wanted = request.wanted
    columns = TABLES[wanted.table].columns
    held = zip(*rows, strict=True) if rows else ((),) * (1 + len(columns))
    times, *values = held
    found = {
        name: np.array(cells, dtype=np.int64 if column.kind == "int64" else np.float64)
        for (name, column), cells in zip(columns.items(), values, strict=False)
    }
    stamps = np.array(times, dtype=np.int64)
    if request.road.call in _BY_NUMBER:
        return rows_of(wanted.table, stamps, found)
    return page(wanted.table, stamps, found, replace(wanted, scale=1.0))
