"""Names of streams, read into their parts."""

import re
from dataclasses import dataclass
from typing import Literal

from replay_venue.market.intervals import INTERVALS

Kind = Literal[
    "kline",
    "aggTrade",
    "trade",
    "depth",
    "partial",
    "markPrice",
    "bookTicker",
    "ticker",
    "miniTicker",
]
KINDS = (
    "kline_<interval>, aggTrade, trade, depth, depth5, depth10 or depth20 (@100ms, @250ms or "
    "@500ms), markPrice (@1s), bookTicker, ticker, miniTicker"
)
_PLAIN: dict[str, tuple[Kind, int]] = {
    "aggTrade": ("aggTrade", 100),
    "trade": ("trade", 100),
    "markPrice": ("markPrice", 3_000),
    "markPrice@1s": ("markPrice", 1_000),
    "bookTicker": ("bookTicker", 100),
    "ticker": ("ticker", 2_000),
    "miniTicker": ("miniTicker", 500),
}
_DEPTH = re.compile(r"depth(?P<levels>5|10|20)?(?:@(?P<period>100|250|500)ms)?")


@dataclass(frozen=True, slots=True)
class MarketStream:
    """A stream: `btcusdt@depth20@100ms`.

    `period_ms` is the market time between two of its events; a trade is sent within it, a candle
    sends its unfinished state so often. `levels` is for partial depth, `interval` for klines.
    """

    name: str
    symbol: str
    kind: Kind
    period_ms: int
    levels: int = 0
    interval: str = ""


def parse(name: str, symbols: tuple[str, ...]) -> MarketStream:
    """Return the stream called `name`; ValueError if this venue has none of that name."""
    symbol, _, rest = name.partition("@")
    if symbol.upper() in symbols and symbol == symbol.lower():
        if rest in _PLAIN:
            return MarketStream(name, symbol.upper(), *_PLAIN[rest])
        if (interval := rest.removeprefix("kline_")) in INTERVALS and interval != rest:
            return MarketStream(name, symbol.upper(), "kline", 250, interval=interval)
        if match := _DEPTH.fullmatch(rest):
            kind = "partial" if match["levels"] else "depth"
            levels = int(match["levels"] or 0)
            return MarketStream(name, symbol.upper(), kind, int(match["period"] or 250), levels)
    raise ValueError(
        f"stream: found {name[:80]!r}, expected <symbol>@<stream> with a symbol of "
        f"{[one.lower() for one in symbols]} and a stream of {KINDS}"
    )
