"""Where price stands against its averages, and how strongly it moves one way."""

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.extremes import AGO, EXTRA_SLOTS, highest
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
from kernel.features.windows import back, full, push

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
_SLOPE_BARS = 4
_AVERAGES = 17
_AROON_BARS = 25
_HIGHS = _AVERAGES + 1 + _SLOPE_BARS + 1
_LOWS = _HIGHS + EXTRA_SLOTS + _AROON_BARS + 1
_SLOTS = _LOWS + EXTRA_SLOTS + _AROON_BARS + 1


def step(state: State, obs: Observation, out: Out) -> None:
    """Write the distances to three averages, their order and slope, Wilder's directional movement
    and Aroon.
    """
    close = obs[CLOSE]
    ema20 = average(state, _EMA20, close, 20, 2.0 / 21.0)
    ema50 = average(state, _EMA50, close, 50, 2.0 / 51.0)
    ema200 = average(state, _EMA200, close, 200, 2.0 / 201.0)
    count = state[_EMA200]
    out[0] = close / ema20 - 1.0 if count >= 20 else NAN
    out[1] = close / ema50 - 1.0 if count >= 50 else NAN
    out[2] = close / ema200 - 1.0 if count >= 200 else NAN
    out[3] = _stack(ema20, ema50, ema200) if count >= 200 else NAN
    out[4] = _slope(state, ema20) if count >= 20 else NAN
    _directional(state, obs[HIGH], obs[LOW], close, out)
    out[8] = _aroon(state, obs[HIGH], obs[LOW])


def _stack(fast: float, middle: float, slow: float) -> float:
    if fast > middle > slow:
        return 1.0
    if fast < middle < slow:
        return -1.0
    return 0.0


def _slope(state: State, ema: float) -> float:
    push(state, _AVERAGES, _SLOPE_BARS + 1, ema)
    if not full(state, _AVERAGES, _SLOPE_BARS + 1):
        return NAN
    return ema / back(state, _AVERAGES, _SLOPE_BARS + 1, _SLOPE_BARS) - 1.0


def _directional(state: State, high: float, low: float, close: float, out: Out) -> None:
    """Write Wilder's ADX, +DI and -DI over 14 bars, each 0..100 and 0 where nothing moves."""
    out[5] = NAN
    out[6] = NAN
    out[7] = NAN
    previous_high = state[_HIGH]
    previous_low = state[_LOW]
    previous_close = state[_CLOSE]
    state[_HIGH] = high
    state[_LOW] = low
    state[_CLOSE] = close
    if previous_close == 0.0:
        return
    up = high - previous_high
    down = previous_low - low
    span = average(state, _RANGE, true_range(high, low, previous_close), 14, 1.0 / 14.0)
    plus = average(state, _PLUS, up if up > down and up > 0.0 else 0.0, 14, 1.0 / 14.0)
    minus = average(state, _MINUS, down if down > up and down > 0.0 else 0.0, 14, 1.0 / 14.0)
    if state[_RANGE] < 14:
        return
    out[6] = 100.0 * min(plus / span, 1.0) if span > 0.0 else 0.0
    out[7] = 100.0 * min(minus / span, 1.0) if span > 0.0 else 0.0
    total = plus + minus
    moves = span > 0.0 and total > 0.0
    lead = 100.0 * (abs(plus - minus) / total) if moves else 0.0
    adx = average(state, _ADX, lead, 14, 1.0 / 14.0)
    if state[_ADX] >= 14:
        out[5] = adx


def _aroon(state: State, high: float, low: float) -> float:
    highest(state, _HIGHS, _AROON_BARS + 1, high)
    highest(state, _LOWS, _AROON_BARS + 1, -low)
    if state[_HIGHS] < _AROON_BARS + 1:
        return NAN
    return 100.0 * (state[_LOWS + AGO] - state[_HIGHS + AGO]) / _AROON_BARS


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


def _direction(name: str, formula: str, warmup_bars: int) -> Definition:
    return Definition(
        name=name,
        unit="index",
        low=0.0,
        high=100.0,
        formula=formula,
        source="Wilder, New Concepts in Technical Trading Systems, 1978",
        inputs=("high", "low", "close"),
        warmup_bars=warmup_bars,
        missing="never",
    )


def _index(sign: str, move: str) -> str:
    return (
        f"100 {sign}DM / TR, clipped to 0..100, each a Wilder average over 14 that starts as the "
        f"mean of its first 14 values (TA-Lib: as the sum of 13); {sign}DM = {move} where that is "
        "positive and more than the other side's, else 0; 0 where nothing moves"
    )


GROUP = Group(
    name="trend",
    step=step,
    state_size=_SLOTS,
    modules=("extremes",),
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
            name="ema20_slope",
            unit="ratio",
            low=-1.0,
            high=float("inf"),
            formula=f"EMA20(close) / EMA20(close) {_SLOPE_BARS} bars earlier - 1",
            source="defined here: the hourly growth of the fast average, free of the price's unit",
            inputs=("close",),
            warmup_bars=24,
            missing="never",
        ),
        _direction(
            "adx_14",
            "Wilder average over 14 of 100 |+DM - -DM| / (+DM + -DM), each a Wilder average "
            "over 14; 0 where nothing moves; on the scale of 0 to 100, on which the 0.25 and 0.20 "
            "of the roadmap's detect_regime are 25 and 20",
            28,
        ),
        _direction("plus_di_14", _index("+", "high - previous high"), 15),
        _direction("minus_di_14", _index("-", "previous low - low"), 15),
        Definition(
            name="aroon_oscillator_25",
            unit="index",
            low=-100.0,
            high=100.0,
            formula=(
                "100 (bars since the lowest low - bars since the highest high) / 25 over the last "
                "26 bars, the latest of equal ones"
            ),
            source="Chande, The Time Price Oscillator, Stocks & Commodities 13:9, 1995",
            inputs=("high", "low"),
            warmup_bars=26,
            missing="never",
        ),
    ),
)
