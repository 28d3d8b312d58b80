"""The four-hour and daily picture behind a 15-minute bar.

A higher bar counts once it is complete: at the close of its last bar, or, where that bar is
missing, at the first bar after it. Higher bars without any bar are absent. They begin at multiples
of their length in UTC.
"""

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    BAR_MS,
    CLOSE,
    OPEN,
    OPEN_TIME,
    RSI_SLOTS,
    Observation,
    Out,
    State,
    average,
    rsi,
)

_H4_MS = 14_400_000
_D1_MS = 86_400_000

_H4 = 0
_H4_EMA = 3
_H4_RSI = _H4_EMA + 2
_H4_STRENGTH = _H4_RSI + RSI_SLOTS
_D1 = _H4_STRENGTH + 2
_D1_EMA = _D1 + 3
_DAY = _D1_EMA + 2
_DAY_OPEN = _DAY + 1
_SLOTS = _DAY_OPEN + 1

_BUCKET = 0
_PENDING = 1
_LATEST = 2


def step(state: State, obs: Observation, out: Out) -> None:
    """Write the bias of completed H4 and D1 bars, and the distance to the running day's open."""
    open_ms = int(obs[OPEN_TIME])
    close = obs[CLOSE]
    _advance(state, open_ms, close, _H4, _H4_MS)
    _advance(state, open_ms, close, _D1, _D1_MS)
    h4, d1 = state[_H4 + _LATEST], state[_D1 + _LATEST]
    out[0] = h4 / state[_H4_EMA + 1] - 1.0 if state[_H4_EMA] >= 20 else NAN
    out[1] = state[_H4_STRENGTH] if state[_H4_STRENGTH + 1] > 0.0 else NAN
    out[2] = d1 / state[_D1_EMA + 1] - 1.0 if state[_D1_EMA] >= 10 else NAN
    out[3] = _against_day_open(state, open_ms, obs[OPEN], close)


def _advance(state: State, open_ms: int, close: float, at: int, length_ms: int) -> None:
    """Take one bar into the higher bar at slot `at`; complete the higher bars that end by this
    bar's close.

    The slots hold the number of the running higher bar plus one, its close so far (0 once it is
    complete), and the close of the latest complete one.
    """
    bucket = open_ms // length_ms + 1.0
    if state[at + _BUCKET] != bucket and state[at + _PENDING] > 0.0:
        _complete(state, at, state[at + _PENDING])
    state[at + _BUCKET] = bucket
    state[at + _PENDING] = close
    if (open_ms + BAR_MS) % length_ms == 0:
        _complete(state, at, close)
        state[at + _PENDING] = 0.0


def _complete(state: State, at: int, close: float) -> None:
    state[at + _LATEST] = close
    if at == _D1:
        average(state, _D1_EMA, close, 10, 2.0 / 11.0)
        return
    average(state, _H4_EMA, close, 20, 2.0 / 21.0)
    strength = rsi(state, _H4_RSI, close, 14)
    if state[_H4_RSI + 1] >= 14:
        state[_H4_STRENGTH] = strength
        state[_H4_STRENGTH + 1] = 1.0


def _against_day_open(state: State, open_ms: int, open_price: float, close: float) -> float:
    """Return close over the open of the day's first bar, less 1; NaN on a day whose 00:00 bar was
    not seen.
    """
    if open_ms % _D1_MS == 0:
        state[_DAY] = open_ms // _D1_MS + 1.0
        state[_DAY_OPEN] = open_price
    if state[_DAY] != open_ms // _D1_MS + 1.0:
        return NAN
    return close / state[_DAY_OPEN] - 1.0


GROUP = Group(
    name="context",
    step=step,
    state_size=_SLOTS,
    features=(
        Definition(
            name="h4_ema_bias",
            unit="ratio",
            low=-1.0,
            high=float("inf"),
            formula="close of the latest complete H4 bar / EMA20 of H4 closes - 1",
            source="higher-timeframe trend",
            inputs=("open_time_ms", "close"),
            warmup_bars=320,
            missing="never",
        ),
        Definition(
            name="h4_rsi_norm",
            unit="index",
            low=0.0,
            high=100.0,
            formula="RSI14 of the closes of complete H4 bars",
            source="Wilder, New Concepts in Technical Trading Systems, 1978",
            inputs=("open_time_ms", "close"),
            warmup_bars=240,
            missing="never",
        ),
        Definition(
            name="d1_trend",
            unit="ratio",
            low=-1.0,
            high=float("inf"),
            formula="close of the latest complete UTC day / EMA10 of daily closes - 1",
            source="higher-timeframe trend",
            inputs=("open_time_ms", "close"),
            warmup_bars=960,
            missing="never",
        ),
        Definition(
            name="price_vs_d1_open",
            unit="ratio",
            low=-1.0,
            high=float("inf"),
            formula="close / open of the UTC day's 00:00 bar - 1; NaN when that bar is missing",
            source="distance to the daily open",
            inputs=("open_time_ms", "open", "close"),
            warmup_bars=96,
            missing="nan",
        ),
    ),
)
