"""Generated observations for the feature tests: ordinary markets, gaps, and worlds at the edge."""

import numpy as np
from numpy.typing import NDArray

from kernel.observation import FUNDING_HOURS, Series, settled_by_hour

START_MS = 1_672_531_200_000  # 2023-01-01 00:00 UTC
BAR_MS = 900_000
SETTLED_MS = 28_800_000


def market(
    bars: int, seed: int, *, start_ms: int = START_MS, price: float = 30_000.0
) -> NDArray[np.float64]:
    """Return gapless observations float64[bars, K] of a random walk with every input present.

    Each bar is made of its 15 minutes; trades, book, mark, index and BTC stay close to its price.
    """
    rng = np.random.default_rng(seed)
    minutes = _minutes(rng, bars, price)
    minutes[:, :, 4] *= np.random.default_rng((seed, 1)).choice(
        (1.0, 4.0), (bars, 1), p=(0.95, 0.05)
    )
    close, volume = minutes[:, -1, 3], minutes[:, :, 4].sum(axis=1)
    index = close * (1.0 + rng.normal(0.0, 1e-4, bars))
    btc = 40_000.0 * np.exp(0.5 * np.log(close / price) + np.cumsum(rng.normal(0, 0.002, bars)))
    bought = volume * rng.beta(5.0, 5.0, bars)
    count = rng.integers(50, 500, bars).astype(np.float64)
    signs = np.round(count * rng.uniform(-0.6, 0.6, bars))
    pairs = np.round((count - 1.0) * rng.uniform(-0.2, 0.8, bars))
    half_spread = close * rng.uniform(0.2e-4, 2e-4, bars)
    sizes = rng.gamma(2.0, 2.0, (bars, 2))
    columns = (
        start_ms + BAR_MS * np.arange(bars),
        minutes[:, 0, 0],
        minutes[:, :, 1].max(axis=1),
        minutes[:, :, 2].min(axis=1),
        close,
        volume,
        *_slow_series(rng, bars),
        index * (1.0 + rng.normal(0.0, 3e-4, bars)),
        index,
        btc,
        count,
        bought,
        volume - bought,
        signs,
        pairs,
        close - half_spread,
        close + half_spread,
        sizes[:, 0],
        sizes[:, 1],
        sizes[:, 0] * rng.uniform(20.0, 60.0, bars),
        sizes[:, 1] * rng.uniform(20.0, 60.0, bars),
        rng.normal(0.0, 20.0, bars),
    )
    times = event_times(columns[0])
    settled = settlements(columns[0].astype(np.int64), columns[6], seed)
    return np.column_stack([*columns, minutes.reshape(bars, 75), times, settled]).astype(np.float64)


def event_times(open_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return of when the on-chain metrics of each bar are, float64[bars, 6], where they are known
    at once: the day.
    """
    return np.column_stack([open_ms // 86_400_000 * 86_400_000] * 6)


def settlements(
    open_ms: NDArray[np.int64], rate: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Return what settled in the 24 hours before each close, float64[bars, 24], known at once.

    Every eight hours the `rate` of the first bar that opens then settles; before the first bar of
    all, what a generator draws.
    """
    if not len(open_ms):
        return np.empty((0, FUNDING_HOURS))
    earlier = np.random.default_rng((seed, 2)).normal(1e-4, 2e-4, 4)
    period = open_ms // SETTLED_MS
    first = np.flatnonzero(np.diff(period, prepend=-1))
    event_ms = np.concatenate([(period[0] - np.arange(4, 0, -1)), period[first]]) * SETTLED_MS
    rows = Series("funding_rate", event_ms, event_ms, np.concatenate([earlier, rate[first]]))
    return settled_by_hour(rows, open_ms + BAR_MS)


def _slow_series(rng: np.random.Generator, bars: int) -> list[NDArray[np.float64]]:
    """Return funding, open interest, fear & greed and six on-chain metrics, float64[bars] each."""
    day = np.arange(bars) // 96
    days = int(day[-1]) + 1 if bars else 0
    return [
        np.repeat(rng.normal(1e-4, 2e-4, 3 * days), 32)[:bars],
        1e9 * np.exp(np.cumsum(rng.normal(0.0, 0.002, bars))),
        rng.integers(5, 95, days).astype(np.float64)[day],
        rng.normal(0.0, 1e8, days)[day],
        rng.normal(1.8, 0.1, days)[day],
        rng.gamma(50.0, 2e4, days)[day],
        rng.gamma(50.0, 6e3, days)[day],
        3e8 * np.exp(np.cumsum(rng.normal(0.0, 0.02, days)))[day],
        rng.gamma(5.0, 5.0, days)[day],
    ]


def _minutes(rng: np.random.Generator, bars: int, price: float) -> NDArray[np.float64]:
    """Return open, high, low, close and volume of a random walk's minutes, float64[bars, 15, 5]."""
    log = np.cumsum(rng.normal(0.0, 0.0035 / np.sqrt(15.0), (bars, 15)).ravel())
    closes = price * np.exp(log).reshape(bars, 15)
    opens = np.concatenate(([price], closes.ravel()[:-1])).reshape(bars, 15)
    wiggle = np.abs(rng.normal(0.0, 0.0004, (2, bars, 15)))
    highs = np.maximum(opens, closes) * (1.0 + wiggle[0])
    lows = np.minimum(opens, closes) * (1.0 - wiggle[1])
    return np.stack([opens, highs, lows, closes, rng.gamma(2.0, 3.3, (bars, 15))], axis=2)


def damaged(obs: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return `obs` with bars missing singly and in runs, series NaN in runs, and unusable bars."""
    world = obs.copy()
    for column in (*range(6, 18), *range(105, 111)):
        for start in rng.integers(0, len(world), 3):
            world[start : start + rng.integers(1, 60), column] = rng.choice((np.nan, -np.nan))
    for block in (slice(18, 23), slice(23, 30), slice(30, 105), slice(111, 135)):
        for start in rng.integers(0, len(world), 3):
            world[start : start + rng.integers(1, 60), block] = rng.choice((np.nan, -np.nan))
    for row in rng.integers(0, len(world), 5):
        world[row, 30 + 5 * rng.integers(0, 15) : 105] = np.nan  # the bar's last minutes
    bad = rng.random(len(world)) < 0.01
    world[bad, rng.integers(1, 6)] = rng.choice((np.nan, np.inf, -1.0, 1e300))
    keep = rng.random(len(world)) > 0.03
    for start in rng.integers(0, len(world), 2):
        keep[start : start + rng.integers(1, 120)] = False
    return world[keep]


def extreme(kind: str, bars: int) -> NDArray[np.float64]:
    """Return one of the worlds of `EXTREMES`."""
    obs = market(bars, seed=5, price=_PRICES.get(kind, 30_000.0))
    if kind == "flat":
        obs[:, PRICES] = 100.0
    elif kind == "no volume":
        obs[:, VOLUMES] = 0.0
    elif kind == "one-tick moves":
        obs[:, PRICES] = 30_000.0 + 0.1 * (np.arange(bars) % 2)[:, None]
    elif kind == "crash to a millionth":
        obs[bars // 2 :, PRICES] *= 1e-6
    elif kind == "leap by a trillion":
        obs[bars // 2 :, PRICES] *= 1e12
    elif kind == "huge series":
        obs[:, 6:] = np.where(np.arange(bars) % 2, 1e308, -1e308)[:, None]
    elif kind == "tiny series":
        obs[:, 6:] = np.where(np.arange(bars) % 3, 5e-324, 1e308)[:, None]
    elif kind == "no series":
        obs[:, 6:] = np.nan
    elif kind == "infinite series":
        obs[:, 6:] = np.inf
    return obs


PRICES = [1, 2, 3, 4, 15, 16, 17, 23, 24, *(30 + i for i in range(75) if i % 5 != 4)]
VOLUMES = [5, 18, 19, 20, 21, 22, *range(34, 105, 5)]
_PRICES = {"tiny prices": 1e-12, "huge prices": 1e12}
EXTREMES = (
    *_PRICES,
    "flat",
    "no volume",
    "one-tick moves",
    "crash to a millionth",
    "leap by a trillion",
    "huge series",
    "tiny series",
    "no series",
    "infinite series",
)


def differing_bytes(a: NDArray[np.float64], b: NDArray[np.float64]) -> int:
    """Return how many bytes differ between two float64 arrays of one shape, NaN bits included."""
    assert a.shape == b.shape
    left = np.ascontiguousarray(a).reshape(-1).view(np.uint8)
    right = np.ascontiguousarray(b).reshape(-1).view(np.uint8)
    return int(np.count_nonzero(left != right))
