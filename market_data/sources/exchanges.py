"""The exchanges that are read through ccxt: what each gives, in which pages, and how far back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from market_data.tables import DAY_MS, HOUR_MS

Call = Literal["candles", "funding", "open_interest", "trades", "depth"]


@dataclass(frozen=True, slots=True)
class Road:
    """How an exchange gives one table.

    `page` is the most rows of one answer. `windowed` asks for spans of one page each, for an
    endpoint that refuses wider ones or answers with the end of them; else each page begins behind
    the last row of the one before. Of the past the exchange keeps `kept_ms`, or `kept_bars`; 0 is
    all. `pause_s` is the shortest time between two requests where the endpoint has a limit of its
    own beside the weights that ccxt keeps to. `rows` is the key of the rows in an answer, "" where
    the answer is the rows.
    """

    call: Call
    page: int
    params: Mapping[str, str] = field(default_factory=dict)
    windowed: bool = False
    kept_ms: int = 0
    kept_bars: int = 0
    pause_s: float = 0.0
    rows: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange: `prefix` is its place at the replay venue.

    `markets` are ccxt's names of a symbol's market, the first that is listed is read. `options` go
    to ccxt.
    """

    prefix: str
    markets: tuple[str, ...]
    roads: Mapping[str, Road]
    options: Mapping[str, object] = field(default_factory=dict)


# developers.binance.com, USDⓈ-M Futures, REST API, Market Data: up to 499 candles cost 2 units of
# request weight, 1000 cost 5. Open interest and aggregate trades are kept for a month and for two
# days; an hour less is asked for, since time passes until the request arrives.
_BINANCE_CANDLES = Road("candles", 499)
_BINANCE = Exchange(
    prefix="",
    markets=("{base}/{quote}:{quote}",),
    roads={
        "candles": _BINANCE_CANDLES,
        "minute_candles": _BINANCE_CANDLES,
        "mark_candles": Road("candles", 499, {"price": "mark"}),
        "index_candles": Road("candles", 499, {"price": "index"}),
        "funding": Road("funding", 1_000, pause_s=0.6),  # 500 in 5 minutes
        "open_interest": Road(
            "open_interest", 500, windowed=True, kept_ms=30 * DAY_MS - HOUR_MS, pause_s=0.3
        ),  # 1000 in 5 minutes
        "trades": Road("trades", 1_000, kept_ms=2 * DAY_MS - HOUR_MS),
        "depth": Road("depth", 100, rows="bids"),
    },
)

# docs.cdp.coinbase.com, Advanced Trade, "Get Public Product Candles": at most 350 in one answer,
# of which ccxt takes 300. Few coins have a USDT market; the dollar one stands in.
_COINBASE_CANDLES = Road("candles", 300, windowed=True, rows="candles")
_COINBASE = Exchange(
    prefix="/coinbase",
    markets=("{base}/{quote}", "{base}/USD"),
    roads=dict.fromkeys(("candles", "reference_candles", "minute_candles"), _COINBASE_CANDLES),
)

# hyperliquid.gitbook.io, Info endpoint: a time range gives 500 rows at most, the next page begins
# behind the last; of candles only the latest 5000 are kept. Perpetuals are settled in USDC.
_HYPERLIQUID_CANDLES = Road("candles", 500, windowed=True, kept_bars=4_999)
_HYPERLIQUID = Exchange(
    prefix="/hyperliquid",
    markets=("{base}/USDC:USDC",),
    roads={
        "candles": _HYPERLIQUID_CANDLES,
        "reference_candles": _HYPERLIQUID_CANDLES,
        "minute_candles": _HYPERLIQUID_CANDLES,
        "funding": Road("funding", 500),
    },
    options={"fetchMarkets": {"types": ["swap"]}},
)

EXCHANGES: Mapping[str, Exchange] = {
    "binanceusdm": _BINANCE,
    "coinbase": _COINBASE,
    "hyperliquid": _HYPERLIQUID,
}
"""By ccxt's id. One more is one more entry here, if its answers have the shapes of these."""
