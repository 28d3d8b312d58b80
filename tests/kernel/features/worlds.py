"""Generated observations for the feature tests: ordinary markets, gaps, and worlds at the edge."""

import numpy as np
from numpy.typing import NDArray

START_MS = 1_672_531_200_000  # 2023-01-01 00:00 UTC
BAR_MS = 900_000


def market(
    bars: int, seed: int, *, start_ms: int = START_MS, price: float = 30_000.0
) -> NDArray[np.float64]:
    """Return gapless observations float64[bars, 11] of a random walk with every series present."""
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.normal(0.0, 0.0035, bars)))
    open_ = np.concatenate(([price], close[:-1]))
    high = np.maximum(open_, close) * (1.0 + np.abs(rng.normal(0.0, 0.001, bars)))
    low = np.minimum(open_, close) * (1.0 - np.abs(rng.normal(0.0, 0.001, bars)))
    day = np.arange(bars) // 96
    days = int(day[-1]) + 1 if bars else 0
    columns = (
        start_ms + BAR_MS * np.arange(bars),
        open_,
        high,
        low,
        close,
        rng.gamma(2.0, 50.0, bars),
        np.repeat(rng.normal(1e-4, 2e-4, 3 * days), 32)[:bars],
        1e9 * np.exp(np.cumsum(rng.normal(0.0, 0.002, bars))),
        rng.integers(5, 95, days).astype(np.float64)[day],
        rng.normal(0.0, 1e8, days)[day],
        rng.normal(1.8, 0.1, days)[day],
    )
    return np.column_stack(columns).astype(np.float64)


def damaged(obs: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return `obs` with bars missing singly and in runs, series NaN in runs, and unusable bars."""
    world = obs.copy()
    for column in range(6, 11):
        for start in rng.integers(0, len(world), 3):
            world[start : start + rng.integers(1, 60), column] = rng.choice((np.nan, -np.nan))
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
        obs[:, 1:5] = 100.0
    elif kind == "no volume":
        obs[:, 5] = 0.0
    elif kind == "one-tick moves":
        obs[:, 1:5] = 30_000.0 + 0.1 * (np.arange(bars) % 2)[:, None]
    elif kind == "crash to a millionth":
        obs[bars // 2 :, 1:5] *= 1e-6
    elif kind == "leap by a trillion":
        obs[bars // 2 :, 1:5] *= 1e12
    elif kind == "huge series":
        obs[:, 6:] = np.where(np.arange(bars) % 2, 1e308, -1e308)[:, None]
    elif kind == "tiny series":
        obs[:, 6:] = np.where(np.arange(bars) % 3, 5e-324, 1e308)[:, None]
    elif kind == "no series":
        obs[:, 6:] = np.nan
    elif kind == "infinite series":
        obs[:, 6:] = np.inf
    return obs


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
    left = np.frombuffer(np.ascontiguousarray(a).tobytes(), dtype=np.uint8)
    right = np.frombuffer(np.ascontiguousarray(b).tobytes(), dtype=np.uint8)
    return int((left != right).sum())
