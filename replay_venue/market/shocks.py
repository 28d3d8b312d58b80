"""The shocks of each minute: the leader's from the market factor, everyone else's after the leader.

A led symbol takes `LEAD[k]` of the leader's move k minutes later. Its own noise leans against the
memory that this alone would give it, so that its returns have no linear autocorrelation of their
own: what foretells a led symbol is the leader's past, not its own.
"""

import math

import numpy as np
from numpy.typing import NDArray

from replay_venue.market.weather import BAR_MINUTES, BLOCK_BARS, RETURN_SPREAD, Weather

LEADER = "BTCUSDT"
LEADER_LOADING = 0.97  # on the market factor
LEAD = np.array([0.88, 0.06, 0.04, 0.02])  # of the leader's move, 0, 1, 2 and 3 minutes later
_OWN_JUMP_CHANCE = 0.0008  # a bar
_OWN_JUMP_SIZE = 5.0  # standard deviations of a bar


def own_shocks(rng: np.random.Generator, loading: float, weather: Weather) -> NDArray[np.float64]:
    """Return each minute's shock, float64[bars, 15], in standard deviations of a whole bar."""
    own = rng.standard_normal(weather.shocks.shape)
    noise = loading * weather.shocks + math.sqrt(1.0 - loading**2) * own
    noise /= math.sqrt(BAR_MINUTES)
    noise[np.arange(BLOCK_BARS), weather.jump_minute] += weather.jumps
    return noise


def led_shocks(
    rng: np.random.Generator,
    correlation: float,
    leader: NDArray[np.float64],
    before: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the shocks of a symbol that follows `leader`, float64[bars, 15].

    `before` is the block of the leader's shocks that precedes; `correlation` is that of returns
    over times much longer than the lead.
    """
    late = len(LEAD) - 1
    moves = np.concatenate([before.ravel()[-late:], leader.ravel()])
    common = correlation * np.convolve(moves, LEAD, "valid")
    own = _own_noise(rng, correlation, len(common)) / math.sqrt(BAR_MINUTES)
    happens = rng.random(BLOCK_BARS) < _OWN_JUMP_CHANCE
    jumps = np.where(happens, _OWN_JUMP_SIZE * rng.standard_normal(BLOCK_BARS), 0.0)
    shocks = (common + own).reshape(leader.shape)
    shocks[np.arange(BLOCK_BARS), rng.integers(0, BAR_MINUTES, BLOCK_BARS)] += jumps
    return shocks


def _own_noise(rng: np.random.Generator, correlation: float, count: int) -> NDArray[np.float64]:
    """Return noise whose autocovariances cancel those that the leader's moves and jumps bring."""
    memory = correlation**2 * _products(LEAD)
    variance = 1.0 - memory[0]
    wanted = -(RETURN_SPREAD**2) * memory[1:] / variance
    weights = np.array([1.0, *wanted])
    for _ in range(20):  # towards the moving average that has these autocorrelations
        found = _products(weights)
        weights[1:] += wanted * found[0] - found[1:]
    draws = rng.standard_normal(count + len(LEAD) - 1)
    return math.sqrt(variance / _products(weights)[0]) * np.convolve(draws, weights, "valid")


def _products(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of products of weights 0, 1, 2 … apart."""
    return np.correlate(weights, weights, "full")[len(weights) - 1 :]
