"""What only a perpetual has: funding, mark price, open interest."""

from collections.abc import Mapping

from kernel.bars import TIMEFRAME_MS
from replay_venue.market import intervals
from replay_venue.market.funding import HOUR_MS
from replay_venue.market.intervals import DAY_MS
from replay_venue.serving import parameters
from replay_venue.serving.parameters import RefusedError
from replay_venue.serving.venue import ServedVenue
from replay_venue.serving.wire import JsonObject, decimal

PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
Query = Mapping[str, str]


def funding_rate(venue: ServedVenue, query: Query) -> list[JsonObject]:
    """Return settled funding, ascending; up to 1000, 100 by default; of all if none is named."""
    symbols = parameters.symbols(query, venue.market.symbols)
    start_ms, end_ms = parameters.window(query)
    limit = parameters.limit(query, default=100, largest=1_000)
    rows = [row for symbol in symbols for row in _settled(venue, symbol, start_ms, end_ms)]
    rows.sort(key=lambda row: row["fundingTime"])
    rows = rows[-limit:] if start_ms is None else rows[:limit]
    for symbol in symbols:
        _add_marks(venue, symbol, [row for row in rows if row["symbol"] == symbol])
    return rows


def _settled(
    venue: ServedVenue, symbol: str, start_ms: int | None, end_ms: int | None
) -> list[JsonObject]:
    settled = venue.funding(symbol, start_ms, end_ms)
    return [
        {"symbol": symbol, "fundingTime": time_ms, "fundingRate": decimal(rate), "markPrice": ""}
        for time_ms, rate in zip(settled.time_ms.tolist(), settled.value.tolist(), strict=True)
    ]


def _add_marks(venue: ServedVenue, symbol: str, rows: list[JsonObject]) -> None:
    """Write the mark price at settlement into rows where it is known: the close of 8 hours, or of
    the hour where the symbol settles in between.
    """
    if not rows:
        return
    first_ms = rows[0]["fundingTime"]
    last_ms = rows[-1]["fundingTime"]
    for interval in ("8h", "1h"):
        without = [row for row in rows if not row["markPrice"]]
        if not without:
            return
        step_ms = TIMEFRAME_MS[interval]
        marks = venue.marks(symbol, interval, first_ms - step_ms, last_ms - 1)
        closes = (marks.open_time_ms + step_ms).tolist()
        price = dict(zip(closes, marks.close.tolist(), strict=True))
        for row in without:
            if row["fundingTime"] in price:
                row["markPrice"] = decimal(price[row["fundingTime"]])


def funding_info(venue: ServedVenue, query: Query) -> list[JsonObject]:
    """Return the bounds of funding and its interval, of every symbol."""
    del query
    return [
        {
            "symbol": symbol,
            "adjustedFundingRateCap": "0.00300000",
            "adjustedFundingRateFloor": "-0.00300000",
            "fundingIntervalHours": venue.market.funding_hours(symbol, venue.clock.now_ms()),
            "disclaimer": False,
        }
        for symbol in venue.market.symbols
    ]


def premium_index(venue: ServedVenue, query: Query) -> JsonObject | list[JsonObject]:
    """Return mark price, index price and the last funding rate, of one symbol or of all."""
    rows = [premium(venue, one) for one in parameters.symbols(query, venue.market.symbols)]
    return rows[0] if query.get("symbol") else rows


def premium(venue: ServedVenue, symbol: str) -> JsonObject:
    """Return one row of `premium_index`; mark and index are those of the last whole minute.

    Where the market has neither, both are the last price.
    """
    now_ms = venue.clock.now_ms()
    settled = venue.funding(symbol, now_ms - DAY_MS, now_ms).value
    interval_ms = venue.market.funding_hours(symbol, now_ms) * HOUR_MS
    index = decimal(venue.reference_price(symbol, "index"))
    return {
        "symbol": symbol,
        "markPrice": decimal(venue.reference_price(symbol, "mark")),
        "indexPrice": index,
        "estimatedSettlePrice": index,
        "lastFundingRate": decimal(settled[-1]) if len(settled) else "",
        "interestRate": "0.00010000",
        "nextFundingTime": (now_ms // interval_ms + 1) * interval_ms,
        "time": venue.clock.shown_ms(),
    }


def open_interest(venue: ServedVenue, query: Query) -> JsonObject:
    """Return the latest open interest."""
    symbol = parameters.symbol(query, venue.market.symbols)
    now_ms = venue.clock.now_ms()
    held = venue.open_interest(symbol, now_ms - DAY_MS, now_ms)
    if len(held.value) == 0:
        raise RefusedError(
            -4_108, "Symbol is on delivering or delivered or settling or closed or pre-trading."
        )
    return {
        "openInterest": decimal(held.value[-1]),
        "symbol": symbol,
        "time": int(held.time_ms[-1]),
    }


def open_interest_history(venue: ServedVenue, query: Query) -> list[JsonObject]:
    """Return open interest by `period`, ascending; up to 500, 30 by default.

    The exchange keeps the last month only; this venue keeps all of it. It measures every 15
    minutes, so that period 5m has these values and none between them.
    """
    symbol = parameters.symbol(query, venue.market.symbols)
    period = parameters.interval(query, "period", PERIODS)
    period = "15m" if period == "5m" else period
    start_ms, end_ms = parameters.window(query)
    limit = parameters.limit(query, default=30, largest=500)
    until = venue.clock.now_ms() if end_ms is None else min(end_ms, venue.clock.now_ms())
    if start_ms is None:
        start_ms = intervals.open_of(period, until, 1 - limit)
    last_ms = intervals.open_of(period, intervals.first_open(period, start_ms), limit - 1)
    until = min(until, last_ms)
    held = venue.open_interest(symbol, start_ms, until)
    opens = venue.klines(symbol, period, start_ms, until, limit)
    price = dict(zip(opens.open_time_ms.tolist(), opens.open.tolist(), strict=True))
    return [
        {
            "symbol": symbol,
            "sumOpenInterest": decimal(value),
            "sumOpenInterestValue": decimal(round(value * price[time_ms], 8)),
            "timestamp": time_ms,
        }
        for time_ms, value in zip(held.time_ms.tolist(), held.value.tolist(), strict=True)
        if time_ms in price
    ]
