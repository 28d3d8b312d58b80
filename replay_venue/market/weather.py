"""What all generated symbols share: regimes, volatility, seasonality, shocks and mood.

The market is a fold over blocks of 28 days from a fixed genesis. A block is a pure function of the
seed, its number and the state the block before it left behind, so any window of the market is the
same bytes however it was asked for.
"""

import math
import zlib
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

GENESIS_MS = 1_672_531_200_000  # 2023-01-01T00:00:00Z
MINUTE_MS = 60_000
BAR_MS = 900_000
DAY_MS = 86_400_000
BAR_MINUTES = 15
DAY_BARS = 96
DAY_MINUTES = 1_440
BLOCK_DAYS = 28
BLOCK_BARS = BLOCK_DAYS * DAY_BARS
BLOCK_MS = BLOCK_DAYS * DAY_MS

BAR_VOLATILITY = (
    0.0035  # of one 15m log return of an instrument of unit volatility, root mean square
)
_REGIME_LEVEL = np.array([0.6, 1.0, 1.8])  # calm, normal, turbulent
_REGIME_LEAVE = (1 / 500, 1 / 400, 1 / 130)  # chance of leaving, per bar
_VOLATILITY_SPREAD = 0.3  # standard deviation of log volatility inside a regime
_SCALE = 0.96  # brings the product of the three factors back to unit mean square
_JUMP_CHANCE = np.array([0.0008, 0.0015, 0.006])
_JUMP_SIZE = 6.0  # standard deviations of a bar
RETURN_SPREAD = 1.027  # standard deviation of a bar's shock with its jumps


def stream(seed: int, block: int, name: str) -> np.random.Generator:
    """Return the random stream `name` of one block; streams are independent of each other."""
    return np.random.Generator(np.random.PCG64([seed, block, zlib.crc32(name.encode())]))


def decay(half_life_bars: float) -> float:
    """Return the AR(1) coefficient of a process that halves in `half_life_bars`."""
    return math.exp(-math.log(2.0) / half_life_bars)


def ar1(start: float, coefficient: float, shocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x with x[i] = coefficient * x[i-1] + shocks[i], where x[-1] is `start`."""
    path = accumulate(shocks.tolist(), lambda x, shock: coefficient * x + shock, initial=start)
    return np.fromiter(path, np.float64, len(shocks) + 1)[1:]


@dataclass(frozen=True, slots=True)
class WeatherState:
    """What one block hands to the next."""

    regime: int = 1
    log_volatility: float = 0.0
    trend: float = 0.0
    mood: float = 0.0


@dataclass(frozen=True, slots=True)
class Weather:
    """One block of what every symbol feels.

    `volatility` float64[bars]: standard deviation of a bar's log return at unit volatility.
    `activity` float64[bars]: volume against the usual. `shocks` float64[bars, 15]: the market
    factor, unit variance. `jumps` float64[bars]: in standard deviations of a bar, mostly 0, in
    minute `jump_minute` int64[bars]. `fear_greed` float64[days]: 0 … 100, whole, known at the
    start of its day.
    """

    volatility: NDArray[np.float64]
    activity: NDArray[np.float64]
    shocks: NDArray[np.float64]
    jumps: NDArray[np.float64]
    jump_minute: NDArray[np.int64]
    fear_greed: NDArray[np.float64]


def next_weather(seed: int, block: int, state: WeatherState) -> tuple[WeatherState, Weather]:
    """Return block number `block` and the state after it."""
    regimes = _regimes(stream(seed, block, "regime"), state.regime)
    spread = _VOLATILITY_SPREAD * math.sqrt(1.0 - decay(96) ** 2)
    noise = stream(seed, block, "volatility").standard_normal(BLOCK_BARS)
    log_volatility = ar1(state.log_volatility, decay(96), spread * noise)
    season = _season()
    volatility = BAR_VOLATILITY * _SCALE * _REGIME_LEVEL[regimes] * np.exp(log_volatility) * season
    shocks = stream(seed, block, "market").standard_normal((BLOCK_BARS, BAR_MINUTES))
    jumps, minutes = _jumps(stream(seed, block, "jump"), regimes)
    returns = volatility * (shocks.sum(axis=1) / math.sqrt(BAR_MINUTES) + jumps)
    trend = ar1(state.trend, decay(14 * DAY_BARS), returns)
    state = replace(state, regime=int(regimes[-1]), log_volatility=float(log_volatility[-1]))
    mood = ar1(state.mood, 0.8, 4.0 * stream(seed, block, "mood").standard_normal(BLOCK_DAYS))
    fear_greed = _fear_greed(np.concatenate([[state.trend], trend])[:-1:DAY_BARS], mood)
    weather = Weather(
        volatility=volatility,
        activity=season**2 * _REGIME_LEVEL[regimes],
        shocks=shocks,
        jumps=jumps,
        jump_minute=minutes,
        fear_greed=fear_greed,
    )
    return replace(state, trend=float(trend[-1]), mood=float(mood[-1])), weather


def _regimes(rng: np.random.Generator, start: int) -> NDArray[np.int64]:
    def move(regime: int, draw: float) -> int:
        leave = _REGIME_LEAVE[regime]
        if draw >= leave:
            return regime
        return 1 if regime != 1 else (0 if draw < 0.6 * leave else 2)

    path = accumulate(rng.random(BLOCK_BARS).tolist(), move, initial=start)
    return np.fromiter(path, np.int64, BLOCK_BARS + 1)[1:]


def _season() -> NDArray[np.float64]:
    """Return the volatility factor of each bar's hour: quiet at 04 UTC, busiest around 15 UTC."""
    hour = np.arange(BLOCK_BARS) % DAY_BARS / 4.0
    london = np.exp(-(((hour - 8.5) / 2.0) ** 2))
    new_york = np.exp(-(((hour - 15.0) / 2.5) ** 2))
    return 0.82 + 0.2 * london + 0.55 * new_york


def _jumps(
    rng: np.random.Generator, regimes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    happens = rng.random(BLOCK_BARS) < _JUMP_CHANCE[regimes]
    size = _JUMP_SIZE * rng.standard_normal(BLOCK_BARS)
    return np.where(happens, size, 0.0), rng.integers(0, BAR_MINUTES, BLOCK_BARS)


def _fear_greed(trend: NDArray[np.float64], mood: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.rint(np.clip(50.0 + 150.0 * trend + mood, 3.0, 97.0))
