"""How fast price moves, and whether it speeds up."""

from kernel.features.bounds import NAN, finite
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    CLOSE,
    RSI_SLOTS,
    Observation,
    Out,
    State,
    average,
    rsi,
)

_RSI = 0
_COUNT = _RSI + RSI_SLOTS
_RING = _COUNT + 1
_SLOPE_BARS = 4
_FAST = _RING + _SLOPE_BARS
_SLOW = _FAST + 2
_SIGNAL = _SLOW + 2
_SLOTS = _SIGNAL + 2


def step(state: State, obs: Observation, out: Out) -> None:
    """Write RSI, its change over 4 bars, and the MACD histogram relative to price."""
    close = obs[CLOSE]
    strength = rsi(state, _RSI, close, 14)
    out[0] = strength
    out[1] = _slope(state, strength)
    out[2] = _macd_histogram(state, close)


def _slope(state: State, strength: float) -> float:
    if not finite(strength):
        return NAN
    count = int(state[_COUNT])
    slot = _RING + count % _SLOPE_BARS
    earlier = state[slot]
    state[slot] = strength
    state[_COUNT] = count + 1.0
    return strength - earlier if count >= _SLOPE_BARS else NAN


def _macd_histogram(state: State, close: float) -> float:
    fast = average(state, _FAST, close, 12, 2.0 / 13.0)
    slow = average(state, _SLOW, close, 26, 2.0 / 27.0)
    if state[_SLOW] < 26:
        return NAN
    macd = fast - slow
    signal = average(state, _SIGNAL, macd, 9, 2.0 / 10.0)
    return (macd - signal) / close if state[_SIGNAL] >= 9 else NAN


GROUP = Group(
    name="momentum",
    step=step,
    state_size=_SLOTS,
    features=(
        Definition(
            name="rsi_14",
            unit="index",
            low=0.0,
            high=100.0,
            formula=(
                "100 * average gain / (average gain + average loss), Wilder averages over 14; "
                "50 without movement"
            ),
            source="Wilder, New Concepts in Technical Trading Systems, 1978",
            inputs=("close",),
            warmup_bars=15,
            missing="never",
        ),
        Definition(
            name="rsi_slope",
            unit="index points",
            low=-100.0,
            high=100.0,
            formula="rsi_14 - rsi_14 4 bars earlier",
            source="momentum of the index over one hour",
            inputs=("close",),
            warmup_bars=19,
            missing="never",
        ),
        Definition(
            name="macd_hist_norm",
            unit="ratio",
            low=float("-inf"),
            high=float("inf"),
            formula="(MACD - EMA9(MACD)) / close with MACD = EMA12(close) - EMA26(close)",
            source="Appel, The Moving Average Convergence Divergence Trading Method, 1979",
            inputs=("close",),
            warmup_bars=34,
            missing="never",
        ),
    ),
)
