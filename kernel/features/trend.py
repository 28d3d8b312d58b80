"""Where price stands against its averages, and how strongly it moves one way."""

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

_EMA20 = 0
_EMA50 = 2
_EMA200 = 4
_HIGH = 6
_LOW = 7
_CLOSE = 8
_RANGE = 9
_PLUS = 11
_MINUS = 13
_ADX = 15
_SLOTS = 17


def step(state: State, obs: Observation, out: Out) -> None:
    """Write the distances to three averages, their order, and Wilder's ADX."""
    close = obs[CLOSE]
    ema20 = average(state, _EMA20, close, 20, 2.0 / 21.0)
    ema50 = average(state, _EMA50, close, 50, 2.0 / 51.0)
    ema200 = average(state, _EMA200, close, 200, 2.0 / 201.0)
    count = state[_EMA200]
    out[0] = close / ema20 - 1.0 if count >= 20 else NAN
    out[1] = close / ema50 - 1.0 if count >= 50 else NAN
    out[2] = close / ema200 - 1.0 if count >= 200 else NAN
    out[3] = _stack(ema20, ema50, ema200) if count >= 200 else NAN
    out[4] = _adx(state, obs[HIGH], obs[LOW], close)


def _stack(fast: float, middle: float, slow: float) -> float:
    if fast > middle > slow:
        return 1.0
    if fast < middle < slow:
        return -1.0
    return 0.0


def _adx(state: State, high: float, low: float, close: float) -> float:
    """Return Wilder's average directional index over 14 bars, 0..100; no directional movement
    counts as 0.
    """
    previous_high, previous_low, previous_close = state[_HIGH], state[_LOW], state[_CLOSE]
    state[_HIGH], state[_LOW], state[_CLOSE] = high, low, close
    if previous_close == 0.0:
        return NAN
    up = high - previous_high
    down = previous_low - low
    span = average(state, _RANGE, true_range(high, low, previous_close), 14, 1.0 / 14.0)
    plus = average(state, _PLUS, up if up > down and up > 0.0 else 0.0, 14, 1.0 / 14.0)
    minus = average(state, _MINUS, down if down > up and down > 0.0 else 0.0, 14, 1.0 / 14.0)
    if state[_RANGE] < 14:
        return NAN
    total = plus + minus
    moves = span > 0.0 and total > 0.0
    adx = average(state, _ADX, 100.0 * abs(plus - minus) / total if moves else 0.0, 14, 1.0 / 14.0)
    return adx if state[_ADX] >= 14 else NAN


def _distance(bars: int) -> Definition:
    return Definition(
        name=f"price_vs_ema{bars}",
        unit="ratio",
        low=-1.0,
        high=float("inf"),
        formula=f"close / EMA{bars}(close) - 1; the EMA starts as the mean of {bars} closes",
        source="exponential moving average, weight 2 / (n + 1)",
        inputs=("close",),
        warmup_bars=bars,
        missing="never",
    )


GROUP = Group(
    name="trend",
    step=step,
    state_size=_SLOTS,
    features=(
        _distance(20),
        _distance(50),
        _distance(200),
        Definition(
            name="ema_stack",
            unit="sign",
            low=-1.0,
            high=1.0,
            formula="+1 when EMA20 > EMA50 > EMA200, -1 when all are reversed, else 0",
            source="moving-average alignment",
            inputs=("close",),
            warmup_bars=200,
            missing="never",
        ),
        Definition(
            name="adx_14",
            unit="index",
            low=0.0,
            high=100.0,
            formula=(
                "Wilder average over 14 of 100 |+DM - -DM| / (+DM + -DM), each a Wilder average "
                "over 14; 0 where nothing moves"
            ),
            source="Wilder, New Concepts in Technical Trading Systems, 1978",
            inputs=("high", "low", "close"),
            warmup_bars=28,
            missing="never",
        ),
    ),
)
