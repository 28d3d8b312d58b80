"""The raw tables of the lake, each described once: storage, quality and SQL follow from this."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, ulp
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ABOVE_0 = ulp(0.0)
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000

Kind = Literal["double", "int64", "int32", "string"]
Shape = Literal["candle", "point", "tick"]

KEY_COLUMNS: Mapping[str, Kind] = {
    "event_time_ms": "int64",
    "known_at_ms": "int64",
    "source": "string",
    "revision": "int32",
}


STAMP = "stamp_ms"
"""A stored column of tables with a jitter: when the source said that it was."""
IMPOSSIBLE_STAMP = "impossible_stamp"
"""A column of a source's page, and a rule of the quarantine: what a row has in place of a time."""


@dataclass(frozen=True, slots=True)
class Column:
    """One value: its unit, and the bounds, both included, outside which it is not believed.

    `required` False: a source may have none for an event, which is NaN and never 0.
    """

    unit: str
    low: float = -inf
    high: float = inf
    required: bool = True
    kind: Kind = "double"


@dataclass(frozen=True, slots=True)
class Table:
    """One raw table.

    `event_time_ms` begins the span that a row describes, and nothing is known before that span is
    over: `period_ms` after it (None: one bar of the universe's timeframe). `step_ms` is the grid of
    events (None: one bar; 0: no grid). Where a source may stamp an event up to `jitter_ms` beside
    its grid point, the point is the event's time and the stamp a value beside it, `stamp_ms`: two
    roads to one settlement differ by milliseconds, and it is one. Where `dense`, every point of the
    grid is expected and a missing one is a hole. `longest_silence_ms` between two rows means that
    the series is stale, 0 never. `identity` names, beside the event time, the columns
    that tell two rows of one moment apart. `flat_bars` bars in a row without volume are a fault.
    `in_parts` tables are stored as files that are never rewritten, since they are many rows a day.
    """

    name: str
    summary: str
    shape: Shape
    columns: Mapping[str, Column]
    step_ms: int | None = 0
    period_ms: int | None = 0
    jitter_ms: int = 0
    dense: bool = False
    longest_silence_ms: int = 0
    flat_bars: int = 0
    identity: tuple[str, ...] = field(default=())
    in_parts: bool = False

    def step(self, bar_ms: int) -> int:
        """Return the grid in milliseconds, 0 for none."""
        return bar_ms if self.step_ms is None else self.step_ms

    def period(self, bar_ms: int) -> int:
        """Return how long after its event time a row can be known at the earliest."""
        return bar_ms if self.period_ms is None else self.period_ms

    def points(self, stamps_ms: "NDArray[np.int64]", bar_ms: int) -> "NDArray[np.int64]":
        """Return the event times, int64[n]: the grid point within the jitter, else the stamp."""
        import numpy as np

        step_ms = self.step(bar_ms)
        if not self.jitter_ms:
            return stamps_ms
        nearest_ms = (stamps_ms + step_ms // 2) // step_ms * step_ms
        return np.where(np.abs(stamps_ms - nearest_ms) <= self.jitter_ms, nearest_ms, stamps_ms)

    @property
    def kinds(self) -> dict[str, Kind]:
        """Return every stored column, the key first, with its parquet type."""
        values: dict[str, Kind] = {name: column.kind for name, column in self.columns.items()}
        stamp: dict[str, Kind] = {STAMP: "int64"} if self.jitter_ms else {}
        return {**KEY_COLUMNS, **values, **stamp}


PRICE_UNIT = "quote a base"
SIZE_UNIT = "base"
_PRICE = Column(PRICE_UNIT, ABOVE_0, 1e12)
_PRICES: Mapping[str, Column] = dict.fromkeys(("open", "high", "low", "close"), _PRICE)
_OHLCV = {**_PRICES, "volume": Column(SIZE_UNIT, 0.0, 1e15)}
_SIZE = Column(SIZE_UNIT, 0.0, 1e15, required=False)
_COUNT = Column("a day", 0.0, 1e12, required=False)
TEXT = Column("text", kind="string")

TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        Table(
            "candles", "Closed bars of the perpetual by open time, known at their close.",
            "candle", _OHLCV, step_ms=None, period_ms=None, dense=True, flat_bars=96,
        ),
        Table(
            "reference_candles",
            "The same bars at a second venue: compared with the primary, never merged into it.",
            "candle", _OHLCV, step_ms=None, period_ms=None, dense=True, flat_bars=96,
        ),
        Table(
            "minute_candles", "Closed one-minute bars: what the bars above are made of.",
            "candle", _OHLCV, step_ms=MINUTE_MS, period_ms=MINUTE_MS, dense=True, flat_bars=240,
        ),
        Table(
            "mark_candles", "Bars of the mark price, by which positions are valued.",
            "candle", _PRICES, step_ms=None, period_ms=None, dense=True,
        ),
        Table(
            "index_candles", "Bars of the index: the spot price that the mark price follows.",
            "candle", _PRICES, step_ms=None, period_ms=None, dense=True,
        ),
        Table(
            "funding", "Funding settlements by their hour; longs pay when positive.",
            "point", {"funding_rate": Column("share of the position", -0.05, 0.05)},
            step_ms=HOUR_MS, jitter_ms=60_000, longest_silence_ms=int(8.05 * HOUR_MS),
        ),
        Table(
            "open_interest", "Contracts outstanding at each bar's open.",
            "point", {"open_interest": Column(SIZE_UNIT, ABOVE_0, 1e15)},
            step_ms=None, jitter_ms=60_000, longest_silence_ms=2 * HOUR_MS,
        ),
        Table(
            "fear_greed", "The daily fear & greed index; the same for every symbol.",
            "point", {"fear_greed": Column("0 to 100", 0.0, 100.0)},
            step_ms=DAY_MS, longest_silence_ms=5 * DAY_MS,
        ),
        Table(
            "onchain", "Daily on-chain metrics of the base asset, by the start of their day.",
            "point",
            {
                "exchange_net_flow": Column("USD a day", -1e12, 1e12, required=False),
                "mvrv": Column("ratio", ABOVE_0, 100.0, required=False),
                "active_addresses": _COUNT,
                "transactions": _COUNT,
                "hash_rate": Column("TH/s", 0.0, 1e15, required=False),
                "fees": Column("native a day", 0.0, 1e9, required=False),
            },
            step_ms=DAY_MS, period_ms=DAY_MS, longest_silence_ms=4 * DAY_MS,
        ),
        Table(
            "trades", "Aggregate trades: price, quantity and the side that took.",
            "tick",
            {
                "trade_id": Column("id", 0, kind="int64"),
                "price": _PRICE,
                "quantity": Column(SIZE_UNIT, ABOVE_0, 1e15),
                "side": Column("+1 taker bought, -1 sold", -1.0, 1.0),
            },
            identity=("trade_id",), in_parts=True,
        ),
        Table(
            "depth", "Best bid and ask, and the quantity on the first 100 levels of each side.",
            "tick",
            {
                "update_id": Column("id", 0, kind="int64"),
                "best_bid": _PRICE,
                "best_ask": _PRICE,
                "best_bid_quantity": _SIZE,
                "best_ask_quantity": _SIZE,
                "bid_quantity_100": _SIZE,
                "ask_quantity_100": _SIZE,
            },
            identity=("update_id",), in_parts=True,
        ),
        Table(
            "arrivals", "When the live runner received a row of another table: measured lags.",
            "tick",
            {"series": TEXT, "lag_ms": Column("ms after the row could be known", 0, kind="int64")},
            identity=("series",),
        ),
        Table(
            "quarantine", "Rows set aside, with the rule they break; an empty rule means released.",
            "tick",
            {"series": TEXT, "rule": TEXT, "found": TEXT, "expected": TEXT},
            identity=("series",),
        ),
    )
}  # fmt: skip
INGESTED = tuple(name for name in TABLES if name != "quarantine")
"""The tables that come from a source: one asset each."""
