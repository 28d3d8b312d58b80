"""What a chain says of its days: flows to and from exchanges, use, work and fees."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay_venue.market.instruments import Perpetual
from replay_venue.market.weather import BLOCK_DAYS, ar1, decay

_TILT_NOISE = 0.02
_TILT_OF_RETURN = -0.3
_REALISED_DECAY = decay(180.0)  # per day
_USE_DECAY = 0.97  # per day
_BITCOIN_TURNOVER = 1_485_000.0  # USD a minute at genesis
_HASH_GROWTH = math.log(1.5) / 365.25  # per day; Bitcoin's was about 1.5 a year over 2020 … 2025
_WEEKEND = np.where(np.arange(BLOCK_DAYS) % 7 >= 6, -0.08, 0.0)  # genesis is a Sunday
_WEEKEND[::7] = -0.12


@dataclass(frozen=True, slots=True)
class ChainState:
    """What one block hands to the next: log prices, log deviations of use and fees, days so far."""

    log_close: float
    log_realised: float
    use: float = 0.0
    congestion: float = 0.0
    days: int = 0


@dataclass(frozen=True, slots=True)
class Days:
    """float64[days] each, of the day itself.

    USD into and out of exchanges, market over realised value, addresses active, transactions, TH/s
    and fees in the native coin. `hash_rate` is NaN but for Bitcoin.
    """

    flow_in_usd: NDArray[np.float64]
    flow_out_usd: NDArray[np.float64]
    mvrv: NDArray[np.float64]
    active_addresses: NDArray[np.float64]
    transactions: NDArray[np.float64]
    hash_rate: NDArray[np.float64]
    fees: NDArray[np.float64]


def chain_days(
    draw: Callable[[str], np.random.Generator],
    what: Perpetual,
    log_close: NDArray[np.float64],
    state: ChainState,
) -> tuple[ChainState, Days]:
    """Return a block's days, of their last log prices, and the state after it.

    A chain is used more when prices move and less at weekends, and fees rise when it is full.
    Levels are Bitcoin's of 2020 … 2025 for BTC, and scale with turnover for others.
    """
    returns = np.diff(log_close, prepend=state.log_close)
    realised = ar1(state.log_realised, _REALISED_DECAY, (1.0 - _REALISED_DECAY) * log_close)
    turnover, noise = flow_draws(draw("flow"))
    turnover = 0.05 * 1_440 * what.volume * np.exp(log_close) * turnover
    leaning = tilt(noise, returns)
    rng = draw("chain")
    noise = rng.standard_normal((4, BLOCK_DAYS))
    moved = np.abs(returns) - 0.02
    busy = ar1(state.use, _USE_DECAY, 0.03 * noise[0] + 0.4 * moved)
    full = ar1(state.congestion, _USE_DECAY, 0.10 * noise[1] + 1.5 * moved)
    scale = what.volume * what.price / _BITCOIN_TURNOVER
    addresses = 850_000.0 * scale * np.exp(busy + _WEEKEND + 0.04 * noise[2])
    age = state.days + np.arange(BLOCK_DAYS)
    mined = rng.gamma(144.0, 1.0 / 144.0, BLOCK_DAYS)  # some 144 blocks a day, found by luck
    hash_rate = rounded(2.5e8 * np.exp(_HASH_GROWTH * age) * mined, 3)
    last = (float(one[-1]) for one in (log_close, realised, busy, full))
    return ChainState(*last, days=state.days + BLOCK_DAYS), Days(
        flow_in_usd=rounded(turnover * (1.0 + leaning), 2),
        flow_out_usd=rounded(turnover * (1.0 - leaning), 2),
        mvrv=rounded(np.exp(log_close - realised), 6),
        active_addresses=rounded(addresses, 0),
        transactions=rounded(0.45 * addresses * np.exp(0.5 * full + 0.06 * noise[3]), 0),
        hash_rate=hash_rate if what.base == "BTC" else np.full(BLOCK_DAYS, np.nan),
        fees=rounded(20.0 * scale * np.exp(full), 8),
    )


def flow_draws(
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the noise of a block's turnover and of its tilt, float64[days] each."""
    turnover = np.exp(0.3 * rng.standard_normal(BLOCK_DAYS))
    return turnover, _TILT_NOISE * rng.standard_normal(BLOCK_DAYS)


def tilt(noise: NDArray[np.float64], returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of turnover that stays on exchanges: coins come in when the price falls."""
    return np.clip(noise + _TILT_OF_RETURN * returns, -0.4, 0.4)


def rounded(values: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    """Return positive values as the doubles nearest to their decimals."""
    scale = 10.0**decimals
    return np.maximum(np.rint(values * scale), 1.0) / scale
