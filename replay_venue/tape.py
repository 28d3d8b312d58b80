"""One symbol's generated market at its finest grain, block by block from genesis."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay_venue.instruments import Instrument
from replay_venue.weather import (
    BAR_MINUTES,
    BLOCK_BARS,
    BLOCK_DAYS,
    DAY_BARS,
    Weather,
    WeatherState,
    ar1,
    decay,
    next_weather,
    stream,
)

SIGNAL_HALF_LIFE_BARS = 96
FUNDING_BARS = 32
_FUNDING_LIMIT = 0.003
_OI_RATE = 0.0009  # of open interest, per bar and unit of signal
_OI_NOISE = 1.5
_OI_HALF_LIFE_BARS = 14 * DAY_BARS
_DRIFT_HALF_LIFE_BARS = (
    30 * DAY_BARS
)  # planted drift is given back slowly, so that prices stay in this world
_REALISED_DECAY = decay(180.0)  # per day


@dataclass(frozen=True, slots=True)
class TapeState:
    """What one block hands to the next."""

    weather: WeatherState
    log_price: float
    log_realised: float
    drift: float = 0.0
    signal: float = 0.0
    log_oi: float = 0.0
    premium: float = 0.0
    liquidation: float = 0.0


@dataclass(frozen=True, slots=True)
class Block:
    """28 days of one symbol, in whole ticks and lots so that every sum is exact.

    `minutes` int32[m, 5]: open, high, low, close in ticks and volume in lots, one row a minute.
    `signal` float64[bars]: the planted signal at the open of each 15m bar, which drifts that bar.
    `open_interest` float64[bars]: base quantity at the open of each bar. `funding` float64[days*3].
    `fear_greed`, `flow_in_usd`, `flow_out_usd`, `mvrv` float64[days]; the last three describe the
    day itself.
    """

    minutes: NDArray[np.int32]
    signal: NDArray[np.float64]
    open_interest: NDArray[np.float64]
    funding: NDArray[np.float64]
    fear_greed: NDArray[np.float64]
    flow_in_usd: NDArray[np.float64]
    flow_out_usd: NDArray[np.float64]
    mvrv: NDArray[np.float64]


def initial_state(what: Instrument) -> TapeState:
    """Return the state at genesis."""
    log_price = math.log(what.price)
    return TapeState(WeatherState(), log_price, log_price - 0.2)


def next_block(
    seed: int, edge: float, what: Instrument, number: int, state: TapeState
) -> tuple[TapeState, Block]:
    """Return block `number` and the state after it.

    Bar i moves by sigma_i * (eps_i + edge * z_i) less the slow return of drift already given; z_i
    shows at the open of bar i, in open interest. Neither z nor open interest depends on `edge`.
    """

    def draw(name: str) -> np.random.Generator:
        return stream(seed, number, f"{what.symbol} {name}")

    weather_state, weather = next_weather(seed, number, state.weather)
    sigma = what.volatility * weather.volatility
    signal = _signal(draw("signal"), state.signal)
    planted = ar1(state.drift, decay(_DRIFT_HALF_LIFE_BARS), edge * sigma * signal)
    drift = np.diff(planted, prepend=state.drift)[:, None] / BAR_MINUTES
    noise = _noise(draw("price"), what.loading, weather)
    path = state.log_price + np.cumsum((sigma[:, None] * noise + drift).ravel())
    liquidation = 0.01 * np.maximum(np.abs(noise.sum(axis=1)) - 4.0, 0.0)
    fed = _OI_RATE * (signal + _OI_NOISE * draw("oi").standard_normal(BLOCK_BARS))
    held = ar1(
        state.log_oi, decay(_OI_HALF_LIFE_BARS), fed - _before(state.liquidation, liquidation)
    )
    closes = path[BAR_MINUTES - 1 :: BAR_MINUTES]
    premium = ar1(state.premium, decay(64), np.diff(closes, prepend=state.log_price))
    days = closes[DAY_BARS - 1 :: DAY_BARS]
    realised = ar1(state.log_realised, _REALISED_DECAY, (1.0 - _REALISED_DECAY) * days)
    flow_in, flow_out = _flows(draw("flow"), what, np.diff(days, prepend=state.log_price), days)
    block = Block(
        minutes=_minutes(draw("candle"), what, weather, state.log_price, path),
        signal=signal,
        open_interest=_rounded(what.open_interest * np.exp(held), what.lot_decimals),
        funding=_funding(draw("funding"), _before(state.premium, premium)[::FUNDING_BARS]),
        fear_greed=weather.fear_greed,
        flow_in_usd=flow_in,
        flow_out_usd=flow_out,
        mvrv=_rounded(np.exp(days - realised), 6),
    )
    last = (
        float(column[-1])
        for column in (path, realised, planted, signal, held, premium, liquidation)
    )
    return TapeState(weather_state, *last), block


def _before(start: float, path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what `path` was one step earlier, `start` before its first step."""
    return np.concatenate([[start], path[:-1]])


def _rounded(values: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    """Return positive values as the doubles nearest to their decimals."""
    scale = 10.0**decimals
    return np.maximum(np.rint(values * scale), 1.0) / scale


def _signal(rng: np.random.Generator, start: float) -> NDArray[np.float64]:
    coefficient = decay(SIGNAL_HALF_LIFE_BARS)
    shocks = rng.standard_normal(BLOCK_BARS)
    return ar1(start, coefficient, math.sqrt(1.0 - coefficient**2) * shocks)


def _noise(rng: np.random.Generator, loading: float, weather: Weather) -> NDArray[np.float64]:
    """Return each minute's shock, float64[bars, 15], in standard deviations of a whole bar."""
    own = rng.standard_normal(weather.shocks.shape)
    noise = loading * weather.shocks + math.sqrt(1.0 - loading**2) * own
    noise /= math.sqrt(BAR_MINUTES)
    noise[np.arange(BLOCK_BARS), weather.jump_minute] += weather.jumps
    return noise


def _minutes(
    rng: np.random.Generator,
    what: Instrument,
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


def _funding(rng: np.random.Generator, premium: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rates settled: longs pay after the price has run up."""
    rates = 0.0001 + 0.004 * premium + 0.00003 * rng.standard_normal(len(premium))
    return np.rint(np.clip(rates, -_FUNDING_LIMIT, _FUNDING_LIMIT) * 1e8) / 1e8


def _flows(
    rng: np.random.Generator,
    what: Instrument,
    returns: NDArray[np.float64],
    log_close: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return USD into and out of exchanges a day: coins come in when the price falls."""
    usual = 0.05 * 1_440 * what.volume * np.exp(log_close)
    turnover = usual * np.exp(0.3 * rng.standard_normal(BLOCK_DAYS))
    tilt = np.clip(0.02 * rng.standard_normal(BLOCK_DAYS) - 0.3 * returns, -0.4, 0.4)
    return _rounded(turnover * (1.0 + tilt), 2), _rounded(turnover * (1.0 - tilt), 2)
