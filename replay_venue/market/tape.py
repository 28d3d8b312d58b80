"""One symbol's generated market at its finest grain, block by block from genesis."""

import math
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from replay_venue.market import edges
from replay_venue.market.climate import Climate
from replay_venue.market.daily import ChainState, Days, chain_days, flow_draws, rounded
from replay_venue.market.edges import Edges, Memory
from replay_venue.market.funding import LIMIT
from replay_venue.market.instruments import Perpetual
from replay_venue.market.prints import trade_counts
from replay_venue.market.shocks import LEADER, led_shocks
from replay_venue.market.weather import (
    BAR_MINUTES,
    BLOCK_BARS,
    DAY_BARS,
    DAY_MINUTES,
    Weather,
    ar1,
    decay,
    stream,
)

SIGNAL_HALF_LIFE_BARS = 96
FUNDING_BARS = edges.FUNDING_BARS
_OI_RATE = 0.0009  # of open interest, per bar and unit of signal
_OI_NOISE = 1.5
_OI_HALF_LIFE_BARS = 14 * DAY_BARS
_DRIFT_HALF_LIFE_BARS = (
    30 * DAY_BARS
)  # planted drift is given back slowly, so that prices stay in this world


@dataclass(frozen=True, slots=True)
class TapeState:
    """What one block hands to the next; `trades` is the id of the first trade after it."""

    chain: ChainState
    log_price: float
    drift: float = 0.0
    signal: float = 0.0
    log_oi: float = 0.0
    premium: float = 0.0
    liquidation: float = 0.0
    trades: int = 0
    memory: Memory = field(default_factory=Memory)


@dataclass(frozen=True, slots=True)
class Block:
    """28 days of one symbol, in whole ticks and lots so that every sum is exact.

    `minutes` int32[m, 5]: open, high, low, close in ticks and volume in lots, one row a minute.
    `trades` int32[m]: aggregate trades of each minute; `first_trade` is the id of the first.
    `volatility` float64[bars]: standard deviation of each 15m bar's log return, without jumps.
    `premium` float64[bars + 1]: how much the perpetual trades above its index at the bars' bounds,
    as its returns of late have it. `signal` float64[bars]: the planted signal at the open of each
    bar, which drifts that bar. `open_interest` float64[bars]: base quantity at the open of each
    bar. `funding` float64[days*3]. `fear_greed`, `flow_in_usd`, `flow_out_usd`, `mvrv`
    float64[days] and `use`; all but the first describe the day itself.
    """

    minutes: NDArray[np.int32]
    trades: NDArray[np.int32]
    first_trade: int
    volatility: NDArray[np.float64]
    premium: NDArray[np.float64]
    signal: NDArray[np.float64]
    open_interest: NDArray[np.float64]
    funding: NDArray[np.float64]
    fear_greed: NDArray[np.float64]
    days: Days


def initial_state(what: Perpetual) -> TapeState:
    """Return the state at genesis."""
    log_price = math.log(what.price)
    return TapeState(ChainState(log_price, log_price - 0.2), log_price)


def next_block(
    climate: Climate, edge: float, planted: Edges, what: Perpetual, number: int, state: TapeState
) -> tuple[TapeState, Block]:
    """Return block `number` and the state after it.

    Bar i moves by sigma_i * (eps_i + edge * z_i + what `planted` adds) less the slow return of
    drift already given; z_i shows in open interest at its open. Neither depends on any edge.
    """
    draw = partial(_stream, climate.seed, number, what.symbol)
    weather = climate.weather(number)
    noise = _noise(climate, draw("price"), what, number)
    signal = _signal(draw("signal"), state.signal)
    bars = edges.Untouched(
        sigma=what.volatility * weather.volatility,
        noise=noise.sum(axis=1),
        latent=(edge + planted.latent, signal),
        funding_noise=draw("funding").standard_normal(BLOCK_BARS // FUNDING_BARS),
        flow_noise=flow_draws(draw("flow"))[1],
        fear_greed=weather.fear_greed,
    )
    memory, given = _drift(planted, bars, state)
    drift = np.diff(given, prepend=state.drift)[:, None] / BAR_MINUTES
    path = state.log_price + np.cumsum((bars.sigma[:, None] * noise + drift).ravel())
    liquidation = 0.01 * np.maximum(np.abs(bars.noise) - 4.0, 0.0)
    held = _held(draw("oi"), signal, _before(state.liquidation, liquidation), state.log_oi)
    minutes = _minutes(draw("candle"), what, weather, state.log_price, path)
    counts = trade_counts(draw("trade counts"), what, minutes)
    returns = np.diff(path[BAR_MINUTES - 1 :: BAR_MINUTES], prepend=state.log_price)
    premium = ar1(state.premium, edges.PREMIUM_DECAY, returns)
    chain, days = chain_days(draw, what, path[DAY_MINUTES - 1 :: DAY_MINUTES], state.chain)
    block = Block(
        minutes=minutes,
        trades=counts,
        first_trade=state.trades,
        volatility=bars.sigma,
        premium=edges.funding_of(np.concatenate([[state.premium], premium])),
        signal=signal,
        open_interest=rounded(what.open_interest * np.exp(held), what.lot_decimals),
        funding=_funding(_before(state.premium, premium)[::FUNDING_BARS], bars.funding_noise),
        fear_greed=weather.fear_greed,
        days=days,
    )
    after = TapeState(
        chain,
        *_lasts(path, given, signal, held, premium, liquidation),
        trades=state.trades + int(counts.sum()),
        memory=memory,
    )
    return after, block


def _stream(seed: int, number: int, symbol: str, name: str) -> np.random.Generator:
    return stream(seed, number, f"{symbol} {name}")


def _held(
    rng: np.random.Generator,
    signal: NDArray[np.float64],
    liquidated: NDArray[np.float64],
    start: float,
) -> NDArray[np.float64]:
    """Return log open interest against the usual, at the open of each bar."""
    fed = _OI_RATE * (signal + _OI_NOISE * rng.standard_normal(BLOCK_BARS)) - liquidated
    return ar1(start, decay(_OI_HALF_LIFE_BARS), fed)


def _lasts(*columns: NDArray[np.float64]) -> list[float]:
    return [float(column[-1]) for column in columns]


def _drift(
    planted: Edges, bars: edges.Untouched, state: TapeState
) -> tuple[Memory, NDArray[np.float64]]:
    """Return the drift given so far at the end of each bar."""
    give_back = decay(_DRIFT_HALF_LIFE_BARS)
    if planted.folded:
        return edges.fold_drift(
            planted=planted,
            start=state.drift,
            premium=state.premium,
            give_back=give_back,
            bars=bars,
            memory=state.memory,
        )
    return state.memory, ar1(state.drift, give_back, bars.latent_drift())


def _before(start: float, path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what `path` was one step earlier, `start` before its first step."""
    return np.concatenate([[start], path[:-1]])


def _signal(rng: np.random.Generator, start: float) -> NDArray[np.float64]:
    coefficient = decay(SIGNAL_HALF_LIFE_BARS)
    shocks = rng.standard_normal(BLOCK_BARS)
    return ar1(start, coefficient, math.sqrt(1.0 - coefficient**2) * shocks)


def _noise(
    climate: Climate, rng: np.random.Generator, what: Perpetual, number: int
) -> NDArray[np.float64]:
    leader = climate.leader(number)
    if what.symbol == LEADER:
        return leader
    return led_shocks(rng, what.correlation, leader, climate.leader(number - 1))


def _minutes(
    rng: np.random.Generator,
    what: Perpetual,
    weather: Weather,
    log_open: float,
    path: NDArray[np.float64],
) -> NDArray[np.int32]:
    """Return minute candles; extremes are those of a Brownian bridge between open and close."""
    opens = _before(log_open, path)
    step = path - opens
    sigma = np.repeat(what.volatility * weather.volatility, BAR_MINUTES) / math.sqrt(BAR_MINUTES)
    reach = step**2 - 2.0 * sigma**2 * np.log(1.0 - rng.random((2, len(path))))
    excess = 0.5 * (np.sqrt(reach) - np.abs(step))
    ticks = 10.0**what.tick_decimals
    columns = np.empty((len(path), 5), np.int32)
    columns[:, 0] = _whole(np.exp(opens) * ticks)
    columns[:, 3] = _whole(np.exp(path) * ticks)
    columns[:, 1] = _whole(np.exp(np.maximum(opens, path) + excess[0]) * ticks)
    columns[:, 2] = _whole(np.exp(np.minimum(opens, path) - excess[1]) * ticks)
    busy = np.repeat(weather.activity, BAR_MINUTES) * (0.5 + 0.5 * np.abs(step) / sigma)
    volume = what.volume * busy * np.exp(0.5 * rng.standard_normal(len(path)))
    columns[:, 4] = _whole(volume * 10.0**what.lot_decimals)
    return columns


def _whole(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(np.rint(values), 1.0, 2.0e9)


def _funding(premium: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rates settled: longs pay after the price has run up."""
    rates = edges.funding_of(premium) + edges.FUNDING_NOISE * noise
    return np.rint(np.clip(rates, -LIMIT, LIMIT) * 1e8) / 1e8
