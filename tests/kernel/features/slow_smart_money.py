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
LIFE = 672
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
    atr = wilder(obs)[-1]
    close = obs[-1, 4]
    now = len(obs) - 1
    up, down = sides(obs)
    demand = living(blocks(up), now)
    supply = living(blocks(down), now)
    below = living(gaps(up), now)
    above = living(gaps(down), now)
    pools_above, pools_below = (mirrored(living(pools(side), now)) for side in (up, down))
    newest = max([*demand, *supply], key=lambda zone: zone.since, default=None)
    return [
        within(close, demand, 3.0, atr),
        within(-close, supply, 3.0, atr),
        distance(close, demand, atr),
        distance(-close, supply, atr),
        newest.volume_ratio if newest else np.nan,
        within(-close, above, 10.0, atr),
        within(close, below, 10.0, atr),
        distance(-close, above, atr),
        distance(close, below, atr),
        *structure(up, down, now),
        distance(-close, pools_above, atr),
        distance(close, pools_below, atr),
        within(-close, pools_above, 10.0, atr),
        within(close, pools_below, 10.0, atr),
    ]


def sides(obs: Values) -> tuple[Side, Side]:
    """Return the market, and the market upside down."""
    opened, high, low, close, volume = obs[:, 1:6].T
    atr = wilder(obs)
    return Side(open=opened, high=high, low=low, close=close, volume=volume, atr=atr), Side(
        open=-opened, high=-low, low=-high, close=-close, volume=volume, atr=atr
    )


def wilder(obs: Values) -> Values:
    """Return Wilder's ATR14, float64[n], NaN for the first 14 bars."""
    high = obs[1:, 2]
    low = obs[1:, 3]
    before = obs[:-1, 4]
    spans = np.maximum(high, before) - np.minimum(low, before)
    atr = np.full(len(obs), np.nan)
    value = 0.0
    for i, span in enumerate(spans, start=1):
        value += (span - value) / i if i <= 14 else (span - value) * (1.0 / 14.0)
        atr[i] = value if i >= 14 else np.nan
    return atr


def distance(close: float, zones: list[Zone], atr: float) -> float:
    """Return how far the close is above the highest of the zones, in ATR; NaN beyond 10."""
    away = [(close - zone.top) / atr for zone in zones if atr > 0.0]
    near = [one for one in away if one <= 10.0]
    return max(min(near), -10.0) if near else np.nan


def within(close: float, zones: list[Zone], atrs: float, atr: float) -> float:
    """Return 1 when one of the zones is at most so many ATR below the close, else 0."""
    return float(atr > 0.0 and any((close - zone.top) / atr <= atrs for zone in zones))


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


def breaks(side: Side, life: int = LIFE) -> list[int]:
    """Return the bars that close above the last swing high known by then, as its first to do so
    and within its life.
    """
    found: list[int] = []
    known = swings(side)
    for i, (bar, price) in enumerate(known):
        following = known[i + 1][0] + 10 if i + 1 < len(known) else len(side.close)
        beyond = np.flatnonzero(side.close[bar + 10 : min(following, bar + 10 + life)] > price)
        if len(beyond):
            found.append(bar + 10 + int(beyond[0]))
    return found


def first(condition: NDArray[np.bool_], since: int) -> int:
    """Return the first bar after `since` at which the condition holds."""
    later = np.flatnonzero(condition[since + 1 :])
    return since + 1 + int(later[0]) if len(later) else NEVER


def end(condition: NDArray[np.bool_], since: int) -> int:
    """Return the first bar after `since` at which the condition holds, a week later at most."""
    return min(first(condition, since), since + LIFE)


def blocks(side: Side) -> list[Zone]:
    """Return the last falling candle within 16 bars before each break, once each."""
    zones: list[Zone] = []
    used: set[int] = set()
    for bar in breaks(side):
        start = max(bar - 16, 0)
        falling = start + np.flatnonzero(side.close[start:bar] < side.open[start:bar])
        if len(falling) == 0 or int(falling[-1]) in used:
            continue
        candle = int(falling[-1])
        used.add(candle)
        bottom = side.low[candle]
        top = side.high[candle]
        span = side.volume[max(0, bar - 49) : bar + 1]
        ratio = span[-3:].sum() * len(span) / (3.0 * span.sum()) if span.sum() > 0.0 else np.nan
        zones.append(Zone(bar, end(side.low < bottom, bar), bottom, top, ratio))
    return zones


def gaps(side: Side) -> list[Zone]:
    """Return the gaps that rising prices left, each as far as it is open after the last bar."""
    zones: list[Zone] = []
    for bar in range(2, len(side.low)):
        bottom = side.high[bar - 2]
        top = side.low[bar]
        if bottom < top:
            open_to = min(top, *side.low[bar:])
            zones.append(Zone(bar, end(side.low <= bottom, bar), bottom, open_to))
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
            if bar - then < LIFE
            and abs(earlier - price) <= 0.25 * side.atr[since]
            and side.high[then : bar + 1].max() <= max(earlier, price)
        ]
        if equal:
            level = max([price, *equal])
            zones.append(Zone(since, end(side.high > level, since), level, level))
    return zones


def named_breaks(up: Side, down: Side) -> list[tuple[int, str]]:
    """Return bar and name of each break within a week of another: BOS with the trend, CHoCH
    against it.
    """
    rises = [(bar, "up") for bar in breaks(up)]
    turns = sorted([*rises, *((bar, "down") for bar in breaks(down))])
    return [
        (bar, "BOS" if way == before else "CHoCH")
        for (then, before), (bar, way) in pairwise(turns)
        if bar - then < LIFE
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
    both = sides(obs)
    now = len(obs) - 1
    kinds = {find: [find(side) for side in both] for find in (blocks, gaps, pools)}
    lists = [zones for two in kinds.values() for zones in two]
    ended = {find.__name__: [one for two in kinds[find] for one in two] for find in kinds}
    early = {name: sum(z.until < z.since + LIFE for z in zones) for name, zones in ended.items()}
    late = {
        name: sum(z.until == z.since + LIFE <= now for z in zones) for name, zones in ended.items()
    }
    broken = [(side, bar) for side in both for bar in breaks(side)]
    candles = [(side.close < side.open)[max(bar - 16, 0) : bar].any() for side, bar in broken]
    names = [name for _, name in named_breaks(*both)]
    return {
        "BOS": names.count("BOS"),
        "CHoCH": names.count("CHoCH"),
        "breaks after a trend's end": max(len(broken) - 1, 0) - len(names),
        "swings that outlived themselves": sum(
            len(breaks(side, NEVER)) - len(breaks(side)) for side in both
        ),
        "lists that were full": sum(
            len(living(zones, bar)) == KEPT for zones in lists for bar in range(0, now, 50)
        ),
        "candles too old for a block": sum(not one for one in candles),
        "standing pools": sum(len(living(zones, now)) for zones in kinds[pools]),
        **{f"{name} that price took": count for name, count in early.items()},
        **{f"{name} that a week took": count for name, count in late.items()},
    }
