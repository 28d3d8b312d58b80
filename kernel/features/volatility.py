"""How much price moves: ATR, its rank among 500 bars, Bollinger bands."""

from math import sqrt

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    CLOSE,
    HIGH,
    LOW,
    Observation,
    Out,
    State,
    average,
    true_range,
)

_CLOSE = 0
_ATR = 1
_RANKED = 3
_RANK_BARS = 500
_RANK_RING = 4
_CLOSES = _RANK_RING + _RANK_BARS
_BAND_BARS = 20
_BAND_RING = _CLOSES + 1
_SLOTS = _BAND_RING + _BAND_BARS


def step(state: State, obs: Observation, out: Out) -> None:
    """Write ATR relative to price, its percentile, and width of and place within the Bollinger
    bands.
    """
    close = obs[CLOSE]
    _atr(state, obs[HIGH], obs[LOW], close, out)
    _bands(state, close, out)


def _atr(state: State, high: float, low: float, close: float, out: Out) -> None:
    previous_close = state[_CLOSE]
    state[_CLOSE] = close
    out[0] = NAN
    out[1] = NAN
    if previous_close == 0.0:
        return
    atr = average(state, _ATR, true_range(high, low, previous_close), 14, 1.0 / 14.0)
    if state[_ATR] >= 14:
        out[0] = atr / close
        out[1] = _percentile(state, atr)


def _percentile(state: State, x: float) -> float:
    """Return the rank of `x` among the last 500 values including itself, ties averaged, as a share
    in (0, 1].
    """
    count = int(state[_RANKED])
    state[_RANK_RING + count % _RANK_BARS] = x
    state[_RANKED] = count + 1.0
    if count + 1 < _RANK_BARS:
        return NAN
    window = state[_RANK_RING : _RANK_RING + _RANK_BARS]
    below = 0
    upto = 0
    for i in range(_RANK_BARS):
        below += window[i] < x
        upto += window[i] <= x
    return 0.5 * (below + upto + 1) / _RANK_BARS


def _bands(state: State, close: float, out: Out) -> None:
    """Write the bands' width and the close's place; moments are taken about the latest close."""
    count = int(state[_CLOSES])
    state[_BAND_RING + count % _BAND_BARS] = close
    state[_CLOSES] = count + 1.0
    if count + 1 < _BAND_BARS:
        out[2] = NAN
        out[3] = NAN
        return
    total = 0.0
    squares = 0.0
    for i in range(_BAND_BARS):
        gap = state[_BAND_RING + i] - close
        total += gap
        squares += gap * gap
    shift = total / _BAND_BARS
    variance = squares / _BAND_BARS - shift * shift
    deviation = sqrt(variance) if variance > 0.0 else 0.0
    out[2] = 4.0 * deviation / (close + shift)
    out[3] = 0.5 - shift / (4.0 * deviation) if deviation > 0.0 else 0.5


GROUP = Group(
    name="volatility",
    step=step,
    state_size=_SLOTS,
    features=(
        Definition(
            name="atr_14",
            unit="ratio",
            low=0.0,
            high=float("inf"),
            formula="ATR14 / close; ATR14 is the Wilder average of the true range",
            source="Wilder, New Concepts in Technical Trading Systems, 1978",
            inputs=("high", "low", "close"),
            warmup_bars=15,
            missing="never",
        ),
        Definition(
            name="atr_percentile",
            unit="ratio",
            low=0.0,
            high=1.0,
            formula="rank of ATR14 among its last 500 values, ties averaged, / 500",
            source="volatility regime as a continuous rank",
            inputs=("high", "low", "close"),
            warmup_bars=514,
            missing="never",
        ),
        Definition(
            name="bb_width",
            unit="ratio",
            low=0.0,
            high=float("inf"),
            formula="4 s / m with mean m and population deviation s of the last 20 closes",
            source="Bollinger, Bollinger on Bollinger Bands, 2001",
            inputs=("close",),
            warmup_bars=20,
            missing="never",
        ),
        Definition(
            name="bb_position",
            unit="ratio",
            low=-0.6,
            high=1.6,
            formula="(close - (m - 2 s)) / (4 s); 0.5 where the bands have no width",
            source="Bollinger, Bollinger on Bollinger Bands, 2001",
            inputs=("close",),
            warmup_bars=20,
            missing="never",
        ),
    ),
)
