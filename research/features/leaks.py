"""Whether observations hold only what was known: the as-of join, done again the slow way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from math import isfinite, nan
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kernel.observation import (
    BAR_FIELDS,
    DATED_SERIES,
    DEPTH_FIELDS,
    FUNDING_FIELDS,
    HOUR_MS,
    LOOKBACK_MS,
    MAX_AGE_MS,
    MINUTE_FIELDS,
    MINUTE_MS,
    OBSERVATION_FIELDS,
    TRADE_FIELDS,
    Market,
    Series,
    last_settlement_ms,
    observe,
    settlement_ms,
)
from kernel.order_flow import Depth, Trades

Times = NDArray[np.int64]
Ticks = TypeVar("Ticks", Trades, Depth)
TICKED = {
    "candle": BAR_FIELDS,
    "trades": TRADE_FIELDS,
    "depth": DEPTH_FIELDS,
    "minutes": MINUTE_FIELDS,
}


_FIRST_SETTLED = OBSERVATION_FIELDS.index(FUNDING_FIELDS[0])
_SETTLED = slice(_FIRST_SETTLED, _FIRST_SETTLED + len(FUNDING_FIELDS))


@dataclass(frozen=True, slots=True)
class Leak:
    """One value of a series that was used before it was known; `at_ms` is a bar's close, or the
    event of a row that counts as known too early.
    """

    series: str
    at_ms: int
    found: str
    expected: str


def known_too_early(series: Mapping[str, Series], earliest_ms: Mapping[str, int]) -> list[Leak]:
    """Return the rows that count as known earlier than `earliest_ms` after their event.

    A series without such a time is not read.
    """
    leaks: list[Leak] = []
    for name, rows in series.items():
        if name not in earliest_ms:
            continue
        after_ms = rows.known_at_ms - rows.event_time_ms
        leaks += [
            Leak(
                name,
                int(rows.event_time_ms[row]),
                f"known {int(after_ms[row])} ms after its event",
                f"at least {earliest_ms[name]} ms",
            )
            for row in np.flatnonzero(after_ms < earliest_ms[name]).tolist()
        ]
    return leaks


def used_too_early(
    observed: NDArray[np.float64],
    close_ms: Times,
    series: Mapping[str, Series],
    *,
    samples: int,
    seed: int,
) -> list[Leak]:
    """Return the observations that differ from what the rows known at the bar's close say.

    `observed` float64[n, K] is what `kernel.observation.observe` made of bars that close at
    `close_ms` int64[n]. Each series is looked up anew, without that join, at bars drawn at random
    and at the last bar before and the first after rows drawn at random became known.
    """
    if not len(close_ms):
        return []
    rng = np.random.default_rng(seed)
    leaks: list[Leak] = []
    for name, rows in series.items():
        stated = (name, f"{name}_time_ms") if name in DATED_SERIES else (name,)
        columns = [OBSERVATION_FIELDS.index(one) for one in stated]
        for bar in _drawn(rng, close_ms, rows, samples).tolist():
            expected = _known_row(rows, int(close_ms[bar]))[: len(columns)]
            found = observed[bar, columns].tolist()
            if name == "funding_rate":
                found += observed[bar, _SETTLED].tolist()
                expected += _known_settlements(rows, int(close_ms[bar]))
            if not np.array_equal(found, expected, equal_nan=True):
                leaks.append(Leak(name, int(close_ms[bar]), f"{found!r}", f"{expected!r}"))
    return leaks


def ticked_too_early(
    observed: NDArray[np.float64], market: Market, bar_ms: int, *, samples: int, seed: int
) -> list[Leak]:
    """Return where candle, minutes, trades or book of an observation are not what was known at the
    close.

    `observed` float64[n, K] is what `observe` made of the market. Bars drawn at random, and those
    on either side of ticks drawn at random, are observed again by themselves, from only the rows
    that happened in them and were known at their close.
    """
    if not len(market.bars):
        return []
    rng = np.random.default_rng(seed)
    leaks: list[Leak] = []
    for bar in np.unique(list(_bars_drawn(rng, market, samples))).tolist():
        alone = observe(_known_of(market, bar, bar_ms), bar_ms)[0]
        close_ms = int(market.bars.open_time_ms[bar]) + bar_ms
        for name, columns in TICKED.items():
            first = OBSERVATION_FIELDS.index(columns[0])
            part = slice(first, first + len(columns))
            if not np.array_equal(observed[bar, part], alone[part], equal_nan=True):
                found, expected = (str(row[part].tolist()) for row in (observed[bar], alone))
                leaks.append(Leak(name, close_ms, found, expected))
    return leaks


def _bars_drawn(rng: np.random.Generator, market: Market, samples: int) -> Iterator[int]:
    """Yield bars drawn anywhere, and those next to ticks: most of history may have none."""
    opens = market.bars.open_time_ms
    yield from rng.integers(0, len(opens), samples).tolist()
    for ticks in (market.trades, market.depth):
        known_ms = ticks.known_at_ms
        drawn = known_ms[rng.integers(0, len(known_ms), samples)] if len(known_ms) else known_ms
        at = np.searchsorted(opens, drawn, side="right") - 1
        yield from np.clip(np.concatenate((at - 1, at)), 0, len(opens) - 1).tolist()


def _known_of(market: Market, bar: int, bar_ms: int) -> Market:
    """Return one bar with the minutes and ticks of it that were known at its close."""
    open_ms = int(market.bars.open_time_ms[bar])
    opened = market.minutes.open_time_ms
    begin, end = np.searchsorted(opened, [open_ms, open_ms + bar_ms - MINUTE_MS + 1]).tolist()
    return Market(
        market.bars.slice(bar, bar + 1),
        {},
        market.minutes.slice(begin, end),
        _known_ticks(market.trades, open_ms, open_ms + bar_ms),
        _known_ticks(market.depth, open_ms, open_ms + bar_ms),
    )


def _known_ticks(ticks: Ticks, open_ms: int, close_ms: int) -> Ticks:
    begin, end = np.searchsorted(ticks.event_time_ms, [open_ms, close_ms]).tolist()
    rows = np.flatnonzero(ticks.known_at_ms[begin:end] <= close_ms) + begin
    return type(ticks)(*(getattr(ticks, column.name)[rows] for column in fields(ticks)))


def _drawn(
    rng: np.random.Generator, close_ms: Times, rows: Series, samples: int
) -> NDArray[np.intp]:
    """Return bars, ascending: some at random, and those on either side of a publication."""
    anywhere = rng.integers(0, len(close_ms), samples)
    known_ms = rows.known_at_ms
    published = known_ms[rng.integers(0, len(known_ms), samples)] if len(known_ms) else known_ms
    first = np.searchsorted(close_ms, published, side="left")
    drawn = np.concatenate((anywhere, first - 1, first))
    return np.unique(drawn[(drawn >= 0) & (drawn < len(close_ms))])


def _known_row(rows: Series, close_ms: int) -> list[float]:
    """Return value and time of the latest event among the rows known at the close, NaN if too
    old.
    """
    known = np.flatnonzero(rows.known_at_ms <= close_ms)
    if not len(known):
        return [nan, nan]
    event_ms = int(rows.event_time_ms[known].max())
    latest = known[rows.event_time_ms[known] == event_ms]
    learned_ms = rows.known_at_ms[latest].max()
    stated = [float(x) for x in rows.value[latest[rows.known_at_ms[latest] == learned_ms]]]
    value = max(stated, key=lambda x: x if isfinite(x) else np.inf)
    fresh = close_ms - event_ms <= MAX_AGE_MS[rows.name]
    return [value + 0.0, float(event_ms)] if fresh and isfinite(value) else [nan, nan]


def _known_settlements(rows: Series, close_ms: int) -> list[float]:
    """Return the rates of the last 24 full hours before a close, row by row."""
    latest_ms = last_settlement_ms(close_ms)
    recent = np.flatnonzero(np.abs(rows.event_time_ms - close_ms) <= LOOKBACK_MS[rows.name])
    best: dict[int, tuple[int, int, float]] = {}
    for at in recent.tolist():
        event_ms = int(rows.event_time_ms[at])
        known_ms = int(rows.known_at_ms[at])
        value = float(rows.value[at])
        row = (event_ms, known_ms, value + 0.0 if isfinite(value) else np.inf)
        if known_ms <= close_ms:
            hour_ms = settlement_ms(event_ms)
            best[hour_ms] = max(best.get(hour_ms, row), row)
    hours = [latest_ms - k * HOUR_MS for k in range(len(FUNDING_FIELDS))]
    return [best[at][2] if at in best and isfinite(best[at][2]) else nan for at in hours]
