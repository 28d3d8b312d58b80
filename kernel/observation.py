"""What was known when a bar closed: the as-of join of a bar with the slower series.

A row of a series says what was so at `event_time` and when that could be known. A bar takes the
latest event among the rows known at its close, and nothing that is too old to be true. Batch and
live give the same bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import nan

import numpy as np
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.order_flow import Depth, Trades, depth_in_bars, known_too_early, trades_in_bars
from kernel.resampling import joined

NAN = nan
SERIES_TABLE = {  # the raw table that holds each as-of series
    "funding_rate": "funding",
    "open_interest": "open_interest",
    "fear_greed": "fear_greed",
    "exchange_net_flow": "onchain",
    "mvrv": "onchain",
    "active_addresses": "onchain",
    "transactions": "onchain",
    "hash_rate": "onchain",
    "fees": "onchain",
    "mark_close": "mark_candles",
    "index_close": "index_candles",
    "btc_close": "candles",  # those of OTHER_MARKET, whatever the symbol
}
SERIES = tuple(SERIES_TABLE)
DATED_SERIES = tuple(  # whose values are counted once each: an observation says of when they are
    name for name, table in SERIES_TABLE.items() if table == "onchain"
)
OTHER_MARKET = "BTCUSDT"  # the market that every symbol is compared with
OBSERVED_TABLES = (  # the raw tables that hold what a symbol's observations are made of
    *dict.fromkeys(("candles", *SERIES_TABLE.values(), "minute_candles", "trades", "depth")),
)
BAR_FIELDS = ("open_time_ms", "open", "high", "low", "close", "volume")
TRADE_FIELDS = ("trade_count", "buy_volume", "sell_volume", "sign_sum", "sign_pair_sum")
DEPTH_FIELDS = (
    "best_bid",
    "best_ask",
    "best_bid_quantity",
    "best_ask_quantity",
    "bid_quantity_100",
    "ask_quantity_100",
    "order_flow",
)
MINUTES_IN_BAR = 15
MINUTE_FIELDS = tuple(
    f"minute_{minute:02d}_{name}" for minute in range(MINUTES_IN_BAR) for name in BAR_FIELDS[1:]
)
TIME_FIELDS = tuple(f"{name}_time_ms" for name in DATED_SERIES)
FUNDING_HOURS = 24
# The rate settled at the last full hour before the close, and at each of the 23 before it: some
# symbols settle every eight hours, some every hour, and some change from one to the other.
FUNDING_FIELDS = tuple(f"funding_{hours:02d}h_earlier" for hours in range(FUNDING_HOURS))
OBSERVATION_FIELDS = (
    *BAR_FIELDS,
    *SERIES,
    *TRADE_FIELDS,
    *DEPTH_FIELDS,
    *MINUTE_FIELDS,
    *TIME_FIELDS,
    *FUNDING_FIELDS,
)
_FIRST_TRADE, _FIRST_DEPTH, _FIRST_MINUTE, _FIRST_FUNDING = (
    OBSERVATION_FIELDS.index(names[0])
    for names in (TRADE_FIELDS, DEPTH_FIELDS, MINUTE_FIELDS, FUNDING_FIELDS)
)
_TRADES = slice(_FIRST_TRADE, _FIRST_DEPTH)
_DEPTH = slice(_FIRST_DEPTH, _FIRST_MINUTE)
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
_DAY_MS = 86_400_000
MAX_AGE_MS: dict[str, int] = {
    "funding_rate": _DAY_MS,
    "open_interest": 2 * HOUR_MS,
    "fear_greed": 3 * _DAY_MS,
    **dict.fromkeys((name for name in SERIES if SERIES_TABLE[name] == "onchain"), 4 * _DAY_MS),
    **dict.fromkeys(("mark_close", "index_close", "btc_close"), 15 * 60_000),  # this very bar
}
LOOKBACK_MS: dict[str, int] = {  # how much older than a close a row may be that a bar looks at
    **MAX_AGE_MS,
    "funding_rate": _DAY_MS + HOUR_MS,  # stamps lie up to half an hour off the hour they settle
}


@dataclass(frozen=True, slots=True)
class Series:
    """Rows of one slow series, in any order.

    `event_time_ms` and `known_at_ms` are int64 milliseconds UTC, `value` float64, all of length m.
    A correction is a further row with the same event time and a later `known_at_ms`. Nothing is
    known before it happens.
    """

    name: str
    event_time_ms: NDArray[np.int64]
    known_at_ms: NDArray[np.int64]
    value: NDArray[np.float64]

    def __post_init__(self) -> None:
        check_name(self.name)
        lengths = {
            field.name: len(getattr(self, field.name))
            for field in fields(self)
            if field.name != "name"
        }
        if len(set(lengths.values())) != 1:
            raise ValueError(
                f"series {self.name}: found columns of length {lengths}, expected one length"
            )
        early = np.flatnonzero(self.known_at_ms < self.event_time_ms)
        if len(early):
            row = early[0]
            raise known_too_early(
                f"series {self.name}", int(self.event_time_ms[row]), int(self.known_at_ms[row])
            )


@dataclass(frozen=True, slots=True)
class Market:
    """What one symbol's observations are made of: its bars and all that was known beside them.

    `minutes` are the one-minute bars that were known when the bar they lie in closed; trades and
    depth say themselves when each row was known. What is absent is missing in the observations.
    """

    bars: Bars
    series: Mapping[str, Series]
    minutes: Bars = field(default_factory=lambda: joined([]))
    trades: Trades = field(default_factory=Trades)
    depth: Depth = field(default_factory=Depth)


def observe(market: Market, bar_ms: int) -> NDArray[np.float64]:
    """Return one observation per bar, float64[n, K] in the order of `OBSERVATION_FIELDS`.

    A slow value is the one with the latest event time among the rows with `known_at_ms` <= the
    bar's close (ties: the latest `known_at_ms`, then the larger value, non-finite last). Missing,
    non-finite, or older than `MAX_AGE_MS` at the close: NaN. Of `DATED_SERIES` its event time
    follows. The minutes are the last 15 that open within the bar; of trades and depth see
    `kernel.order_flow`, of `FUNDING_FIELDS` see `settled_by_hour`.
    """
    bars = market.bars
    observations = np.full((len(bars), len(OBSERVATION_FIELDS)), NAN)
    for column, name in enumerate(BAR_FIELDS):
        observations[:, column] = getattr(bars, name)
    close_ms = bars.open_time_ms + bar_ms
    for name, rows in market.series.items():
        check_name(name)
        value, event_ms = as_of(rows, close_ms, MAX_AGE_MS[name])
        observations[:, OBSERVATION_FIELDS.index(name)] = value
        if name in DATED_SERIES:
            observations[:, OBSERVATION_FIELDS.index(f"{name}_time_ms")] = event_ms
    if (funding := market.series.get("funding_rate")) is not None:
        observations[:, _FIRST_FUNDING:] = settled_by_hour(funding, close_ms)
    observations[:, _TRADES] = trades_in_bars(market.trades, bars, bar_ms)
    observations[:, _DEPTH] = depth_in_bars(market.depth, bars, bar_ms)
    _place_minutes(observations, market.minutes, bars.open_time_ms, bar_ms)
    return observations


def _place_minutes(
    observations: NDArray[np.float64], minutes: Bars, open_ms: NDArray[np.int64], bar_ms: int
) -> None:
    """Write each minute into the bar in which it opens, if it is one of that bar's last 15."""
    if not len(open_ms):
        return
    bar = np.maximum(np.searchsorted(open_ms, minutes.open_time_ms, side="right") - 1, 0)
    to_close_ms = open_ms[bar] + bar_ms - minutes.open_time_ms
    place = MINUTES_IN_BAR - to_close_ms // MINUTE_MS
    inside = (minutes.open_time_ms >= open_ms[bar]) & (to_close_ms > 0) & (place >= 0)
    inside &= to_close_ms % MINUTE_MS == 0
    for offset, name in enumerate(BAR_FIELDS[1:]):
        column = _FIRST_MINUTE + place[inside] * len(BAR_FIELDS[1:]) + offset
        value = getattr(minutes, name)[inside] + 0.0
        observations[bar[inside], column] = np.where(np.isfinite(value), value, NAN)


def as_of(
    rows: Series, close_ms: NDArray[np.int64], max_age_ms: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return value and event time, float64[n] each, of the best row known at each close, NaN where
    there is none.

    Rows are ranked by event time, and sorted by the time they become known; the running maximum of
    the rank then says which of the first k known rows is the best.
    """
    found = np.full(len(close_ms), NAN)
    found_ms = np.full(len(close_ms), NAN)
    if not len(rows.value):
        return found, found_ms
    value = np.where(np.isfinite(rows.value), rows.value + 0.0, np.inf)
    known_ms = rows.known_at_ms
    if (np.diff(rows.event_time_ms) > 0).all() and (np.diff(known_ms) >= 0).all():
        best = np.arange(len(value))  # the usual case: nothing is late, nothing is corrected
    else:
        by_rank = np.lexsort((value, known_ms, rows.event_time_ms))
        rank = np.empty(len(by_rank), dtype=np.int64)
        rank[by_rank] = np.arange(len(by_rank))
        by_known = np.argsort(known_ms, kind="stable")
        best = by_rank[np.maximum.accumulate(rank[by_known])]
        known_ms = known_ms[by_known]
    known = np.searchsorted(known_ms, close_ms, side="right")
    row = best[np.maximum(known - 1, 0)]
    fresh = (
        (known > 0) & (close_ms - rows.event_time_ms[row] <= max_age_ms) & np.isfinite(value[row])
    )
    found[fresh] = value[row[fresh]]
    found_ms[fresh] = rows.event_time_ms[row[fresh]]
    return found, found_ms


def settlement_ms(event_time_ms: int) -> int:
    """Return the full hour at which a rate settled: the one nearest to its stamp, which jitters."""
    return (event_time_ms + HOUR_MS // 2) // HOUR_MS * HOUR_MS


def last_settlement_ms(close_ms: int) -> int:
    """Return the last full hour before a close; what settles at the close is the next bar's."""
    return (close_ms - 1) // HOUR_MS * HOUR_MS


def settled_by_hour(rows: Series, close_ms: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the rates settled in the 24 hours before each close, float64[n, 24], latest first.

    Column k is the rate of `last_settlement_ms(close)` less k hours, the best row known at the
    close as in `as_of`; NaN where nothing settled then, or it is not known yet. A settlement has
    one column whatever its stamps, so whoever counts columns counts each settlement once.
    """
    settled = np.full((len(close_ms), FUNDING_HOURS), NAN)
    if not len(rows.value) or not len(close_ms):
        return settled
    value = np.where(np.isfinite(rows.value), rows.value + 0.0, np.inf)
    order = np.lexsort((value, rows.known_at_ms, rows.event_time_ms))
    value = value[order]
    hour_ms = (rows.event_time_ms[order] + HOUR_MS // 2) // HOUR_MS * HOUR_MS
    latest_ms = (close_ms - 1) // HOUR_MS * HOUR_MS
    # The bars that see a row stand side by side, from the first that closes after the hour and
    # knows it to the last that reaches a day back. Of two rows of an hour the better comes last.
    first = np.maximum(
        np.searchsorted(latest_ms, hour_ms, side="left"),
        np.searchsorted(close_ms, rows.known_at_ms[order], side="left"),
    )
    stop = np.searchsorted(latest_ms, hour_ms + (FUNDING_HOURS - 1) * HOUR_MS, side="right")
    seen = np.maximum(stop - first, 0)
    row = np.repeat(np.arange(len(value)), seen)
    bar = np.arange(len(row)) - np.repeat(np.cumsum(seen) - seen, seen) + first[row]
    settled[bar, (latest_ms[bar] - hour_ms[row]) // HOUR_MS] = value[row]
    settled[np.isinf(settled)] = NAN
    return settled


def check_name(name: str) -> None:
    """Raise ValueError for a series that is none."""
    if name not in MAX_AGE_MS:
        raise ValueError(f"series: found {name!r}, expected one of {', '.join(SERIES)}")
