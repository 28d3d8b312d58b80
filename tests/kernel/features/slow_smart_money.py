"""The smart-money features by searching the whole history anew at each bar: slow and obvious.

Nothing here is carried from bar to bar and nothing of the kernel is used.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Values = NDArray[np.float64]
KEPT = 16
NEVER = 10**9


@dataclass(frozen=True)
class Zone:
    """A price zone: from which bar it exists, with which bar it is gone, and its edges."""

    since: int
    until: int
    bottom: float
    top: float
    volume_ratio: float = np.nan


@dataclass(frozen=True)
class Side:
    """Prices as seen from below: the market's, or with highs for lows and every price negated."""

    open: Values
    high: Values
    low: Values
    close: Values
    volume: Values
    atr: Values


def latest(obs: Values) -> list[float]:
    """Return the 16 features of the last bar of `obs`."""
    atr, close, now = wilder(obs)[-1], obs[-1, 4], len(obs) - 1
    up, down = sides(obs)
    demand, supply = living(blocks(up), now), living(blocks(down), now)
    below, above = living(gaps(up), now), living(gaps(down), now)
    pools_above, pools_below = (mirrored(living(pools(side), now)) for side in (up, down))
    newest = max([*demand, *supply], key=lambda zone: zone.since, default=None)
    return [
        within(close, demand, 3.0 * atr),
        within(-close, supply, 3.0 * atr),
        distance(close, demand, atr, -10.0),
        distance(-close, supply, atr, -10.0),
        newest.volume_ratio if newest else np.nan,
        within(-close, above, 10.0 * atr),
        within(close, below, 10.0 * atr),
        distance(-close, above, atr, 0.0),
        distance(close, below, atr, 0.0),
        *structure(up, down, now),
        distance(-close, pools_above, atr, 0.0),
        distance(close, pools_below, atr, 0.0),
        within(-close, pools_above, 10.0 * atr),
        within(close, pools_below, 10.0 * atr),
    ]


def sides(obs: Values) -> tuple[Side, Side]:
    """Return the market, and the market upside down."""
    opened, high, low, close, volume = obs[:, 1:6].T
    atr = wilder(obs)
    return Side(opened, high, low, close, volume, atr), Side(
        -opened, -low, -high, -close, volume, atr
    )


def wilder(obs: Values) -> Values:
    """Return Wilder's ATR14, float64[n], NaN for the first 14 bars."""
    high, low, before = obs[1:, 2], obs[1:, 3], obs[:-1, 4]
    spans = np.maximum(high, before) - np.minimum(low, before)
    atr = np.full(len(obs), np.nan)
    value = 0.0
    for i, span in enumerate(spans, start=1):
        value += (span - value) / i if i <= 14 else (span - value) * (1.0 / 14.0)
        atr[i] = value if i >= 14 else np.nan
    return atr


def distance(close: float, zones: list[Zone], atr: float, lowest: float) -> float:
    """Return how far the close is above the highest of the zones, in ATR."""
    if not zones or not atr > 0.0:
        return np.nan
    return float(np.clip((close - max(zone.top for zone in zones)) / atr, lowest, 10.0))


def within(close: float, zones: list[Zone], reach: float) -> float:
    """Return 1 when one of the zones is at most `reach` below the close, else 0."""
    return float(any(close - zone.top <= reach for zone in zones))


def mirrored(zones: list[Zone]) -> list[Zone]:
    """Return the same zones upside down."""
    return [Zone(zone.since, zone.until, -zone.top, -zone.bottom) for zone in zones]


def living(zones: list[Zone], now: int) -> list[Zone]:
    """Return the zones that stand at bar `now`; where a 17th came, the oldest had to go."""
    standing: list[Zone] = []
    for zone in zones:
        if zone.since <= now:
            standing = [one for one in standing if one.until > zone.since]
            standing = [*standing, zone][-KEPT:]
    return [zone for zone in standing if zone.until > now]


def swings(side: Side) -> list[tuple[int, float]]:
    """Return bar and price of each swing high that the history can confirm."""
    high = pd.Series(side.high)
    before = high.rolling(10).max().shift(1)
    after = high[::-1].rolling(10).max().shift(1)[::-1]
    bars = np.flatnonzero((high > before) & (high >= after))
    return [(int(bar), side.high[bar]) for bar in bars]


def breaks(side: Side) -> list[int]:
    """Return the bars that close above the last swing high known by then, as its first to do so."""
    found: list[int] = []
    known = swings(side)
    for i, (bar, price) in enumerate(known):
        end = known[i + 1][0] + 10 if i + 1 < len(known) else len(side.close)
        beyond = np.flatnonzero(side.close[bar + 10 : end] > price)
        if len(beyond):
            found.append(bar + 10 + int(beyond[0]))
    return found


def first(condition: NDArray[np.bool_], since: int) -> int:
    """Return the first bar after `since` at which the condition holds."""
    later = np.flatnonzero(condition[since + 1 :])
    return since + 1 + int(later[0]) if len(later) else NEVER


def blocks(side: Side) -> list[Zone]:
    """Return the last falling candle before each break, once each."""
    zones: list[Zone] = []
    used: set[int] = set()
    for bar in breaks(side):
        falling = np.flatnonzero(side.close[:bar] < side.open[:bar])
        if len(falling) == 0 or int(falling[-1]) in used:
            continue
        candle = int(falling[-1])
        used.add(candle)
        bottom, top = side.low[candle], side.high[candle]
        span = side.volume[max(0, bar - 49) : bar + 1]
        ratio = span[-3:].sum() * len(span) / (3.0 * span.sum()) if span.sum() > 0.0 else np.nan
        zones.append(Zone(bar, first(side.low < bottom, bar), bottom, top, ratio))
    return zones


def gaps(side: Side) -> list[Zone]:
    """Return the gaps that rising prices left, each as far as it is open after the last bar."""
    zones: list[Zone] = []
    for bar in range(2, len(side.low)):
        bottom, top = side.high[bar - 2], side.low[bar]
        if bottom < top:
            open_to = min(top, *side.low[bar:])
            zones.append(Zone(bar, first(side.low <= bottom, bar), bottom, open_to))
    return zones


def pools(side: Side) -> list[Zone]:
    """Return the levels that two or more swing highs share, from when the last is known."""
    zones: list[Zone] = []
    known = swings(side)
    for i, (bar, price) in enumerate(known):
        since = bar + 10
        equal = [
            earlier
            for then, earlier in known[max(0, i - 16) : i]
            if abs(earlier - price) <= 0.25 * side.atr[since]
            and side.high[then : bar + 1].max() <= max(earlier, price)
        ]
        if equal:
            level = max([price, *equal])
            zones.append(Zone(since, first(side.high > level, since), level, level))
    return zones


def named_breaks(up: Side, down: Side) -> list[tuple[int, str]]:
    """Return bar and name of each break: BOS with the trend, CHoCH against it."""
    rises = [(bar, "up") for bar in breaks(up)]
    turns = sorted([*rises, *((bar, "down") for bar in breaks(down))])
    return [
        (bar, "BOS" if way == before else "CHoCH") for (_, before), (bar, way) in pairwise(turns)
    ]


def structure(up: Side, down: Side, now: int) -> list[float]:
    """Return recent_bos, recent_choch and structure_bias."""
    named = named_breaks(up, down)
    recent = {name for bar, name in named if bar > now - 8}
    within = [name for bar, name in named if bar > now - 16]
    bias = 0.0 if not within else 1.0 if within[-1] == "BOS" else -1.0
    return [float("BOS" in recent), float("CHoCH" in recent), bias]


def events(obs: Values) -> dict[str, int]:
    """Return how often each rule of the definitions was met in a history."""
    up, down = sides(obs)
    names = [name for _, name in named_breaks(up, down)]
    now = len(obs) - 1
    kinds = [zones(side) for side in (up, down) for zones in (blocks, gaps, pools)]
    return {
        "BOS": names.count("BOS"),
        "CHoCH": names.count("CHoCH"),
        "lists that were full": sum(
            len(living(zones, bar)) == KEPT for zones in kinds for bar in range(now)
        ),
        "candles that were a block already": len(breaks(up)) - len(blocks(up)),
        "swept pools": sum(zone.until < NEVER for zone in [*pools(up), *pools(down)]),
        "standing pools": len(living(pools(up), now)) + len(living(pools(down), now)),
        "filled gaps": sum(zone.until < NEVER for zone in [*gaps(up), *gaps(down)]),
        "mitigated blocks": sum(zone.until < NEVER for zone in [*blocks(up), *blocks(down)]),
    }
