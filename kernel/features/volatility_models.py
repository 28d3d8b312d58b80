"""Volatility from models and from ranges: GARCH, Parkinson, Garman–Klass, Yang–Zhang, and how
volatility itself moves.

All of it is per bar, in units of the log return; nothing is annualised.
"""

from math import sqrt

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    Observation,
    Out,
    State,
    clip,
    log,
)
from kernel.features.windows import sliding_total

GARCH_FIT_BARS = 8640
GARCH_SLOTS = 0  # omega, alpha, beta

_VARIANCE = 3
_COUNT = 4
_CLOSE = 5
_DAY = 96
_HOURS = 16
_WEEK = 672
_RANGE = 6
_KLASS = _RANGE + 2 + _DAY
_GAP = _KLASS + 2 + _DAY
_GAP_SQUARE = _GAP + 2 + _DAY
_BODY = _GAP_SQUARE + 2 + _DAY
_BODY_SQUARE = _BODY + 2 + _DAY
_DRIFTLESS = _BODY_SQUARE + 2 + _DAY
_SHORT = _DRIFTLESS + 2 + _DAY
_LONG = _SHORT + 2 + _HOURS
_VOL = _LONG + 2 + _WEEK
_VOL_SQUARE = _VOL + 2 + _DAY
_SLOTS = _VOL_SQUARE + 2 + _DAY

_LN_2 = 0.6931471805599453
_BODY_WEIGHT = 2.0 * _LN_2 - 1.0
_YANG_ZHANG = 0.34 / (1.34 + (_DAY + 1) / (_DAY - 1))
_MOST_RATIO = 6.5
_MOST_VARIATION = 10.0


def step(state: State, obs: Observation, out: Out) -> None:
    """Write the volatilities; a bar enters as the logarithms of its high, low and close over its
    open, and of its open and close over the close before.
    """
    opened = obs[OPEN]
    previous_close = state[_CLOSE]
    count = state[_COUNT] + 1.0
    state[_CLOSE] = obs[CLOSE]
    state[_COUNT] = count
    body = log(obs[CLOSE] / opened)
    high = log(obs[HIGH] / opened)
    low = log(obs[LOW] / opened)
    _ranges(state, count, high, low, body, out)
    if previous_close == 0.0:
        out[0] = out[3] = out[4] = out[5] = NAN
        return
    change = log(obs[CLOSE] / previous_close)
    out[0] = _garch(state, count, change * change)
    out[3] = _yang_zhang(state, count, high, low, body, log(opened / previous_close))
    _of_volatility(state, count, change * change, out)


def _garch(state: State, count: float, square: float) -> float:
    omega = state[GARCH_SLOTS]
    alpha = state[GARCH_SLOTS + 1]
    beta = state[GARCH_SLOTS + 2]
    variance = omega + alpha * square + beta * state[_VARIANCE]
    state[_VARIANCE] = variance
    return sqrt(variance) if omega > 0.0 and count >= GARCH_FIT_BARS else NAN


def _ranges(state: State, count: float, high: float, low: float, body: float, out: Out) -> None:
    square = (high - low) * (high - low)
    parkinson = sliding_total(state, _RANGE, _DAY, square)
    klass = sliding_total(state, _KLASS, _DAY, 0.5 * square - _BODY_WEIGHT * (body * body))
    out[1] = sqrt(parkinson / (4.0 * _LN_2 * _DAY)) if count >= _DAY else NAN
    out[2] = sqrt(max(klass, 0.0) / _DAY) if count >= _DAY else NAN


def _yang_zhang(
    state: State, count: float, high: float, low: float, body: float, gap: float
) -> float:
    driftless = high * (high - body) + low * (low - body)
    rogers = sliding_total(state, _DRIFTLESS, _DAY, driftless) / _DAY
    opening = _variance(state, _GAP, _GAP_SQUARE, gap)
    closing = _variance(state, _BODY, _BODY_SQUARE, body)
    variance = opening + _YANG_ZHANG * closing + (1.0 - _YANG_ZHANG) * rogers
    return sqrt(max(variance, 0.0)) if count > _DAY else NAN


def _variance(state: State, values: int, squares: int, x: float) -> float:
    """Return the sample variance of the last 96 values, by n - 1."""
    total = sliding_total(state, values, _DAY, x)
    square = sliding_total(state, squares, _DAY, x * x)
    return max(square - total * total / _DAY, 0.0) / (_DAY - 1)


def _of_volatility(state: State, count: float, square: float, out: Out) -> None:
    short = sliding_total(state, _SHORT, _HOURS, square)
    long = sliding_total(state, _LONG, _WEEK, square)
    ratio = short / long * (_WEEK / _HOURS) if long > 0.0 else 0.0
    known = count > _WEEK and long > 0.0
    out[4] = clip(sqrt(ratio), 0.0, _MOST_RATIO) if known else NAN
    out[5] = NAN
    if count > _HOURS:
        volatility = sqrt(short / _HOURS)
        total = sliding_total(state, _VOL, _DAY, volatility)
        squares = sliding_total(state, _VOL_SQUARE, _DAY, volatility * volatility)
        if count >= _HOURS + _DAY and total > 0.0:
            spread = max(squares / _DAY - total / _DAY * (total / _DAY), 0.0)
            out[5] = clip(sqrt(spread) / (total / _DAY), 0.0, _MOST_VARIATION)


def _over_a_day(
    name: str, formula: str, source: str, inputs: tuple[str, ...], warmup_bars: int = _DAY
) -> Definition:
    return Definition(
        name=name,
        unit="log return per bar",
        low=0.0,
        high=float("inf"),
        formula=formula,
        source=source,
        inputs=inputs,
        warmup_bars=warmup_bars,
        missing="never",
    )


GROUP = Group(
    name="volatility_models",
    step=step,
    state_size=_SLOTS,
    features=(
        Definition(
            name="garch_volatility",
            unit="log return per bar",
            low=0.0,
            high=float("inf"),
            formula=(
                "sqrt(h), the deviation of the next bar's log return; h = omega + alpha r^2 + "
                "beta h of the bar before, r = ln(close / close before), h = 0 before the first "
                "return; omega, alpha, beta are fitted once, by Student's t likelihood on the "
                "first 8,640 bars of the history (research/features/garch.py): NaN until then and "
                "where none were fitted"
            ),
            source=(
                "GARCH(1,1): Bollerslev, Generalized Autoregressive Conditional "
                "Heteroskedasticity, Journal of Econometrics 31, 1986"
            ),
            inputs=("close",),
            warmup_bars=GARCH_FIT_BARS,
            missing="nan",
        ),
        _over_a_day(
            "parkinson_volatility",
            "sqrt(mean of ln(high / low)^2 over 96 bars / (4 ln 2))",
            (
                "Parkinson, The Extreme Value Method for Estimating the Variance of the Rate of "
                "Return, Journal of Business 53, 1980"
            ),
            ("open", "high", "low"),
        ),
        _over_a_day(
            "garman_klass_volatility",
            (
                "sqrt(mean over 96 bars of 0.5 ln(high / low)^2 - (2 ln 2 - 1) "
                "ln(close / open)^2); 0 where the mean is negative, as only bars with an open or "
                "close outside low..high can make it"
            ),
            (
                "Garman and Klass, On the Estimation of Security Price Volatilities from "
                "Historical Data, Journal of Business 53, 1980: the practical estimator"
            ),
            ("open", "high", "low", "close"),
        ),
        _over_a_day(
            "yang_zhang_volatility",
            (
                "sqrt(VO + k VC + (1 - k) VRS) over 96 bars: VO, VC sample variances (n - 1) of "
                "o = ln(open / close before) and c = ln(close / open); VRS mean of u (u - c) + "
                "d (d - c), u = ln(high / open), d = ln(low / open); k = 0.34 / (1.34 + 97 / 95); "
                "0 where the sum is negative"
            ),
            (
                "Yang and Zhang, Drift-Independent Volatility Estimation Based on High, Low, "
                "Open, and Close Prices, Journal of Business 73, 2000"
            ),
            ("open", "high", "low", "close"),
            _DAY + 1,
        ),
        Definition(
            name="realized_vol_ratio",
            unit="ratio",
            low=0.0,
            high=_MOST_RATIO,
            formula=(
                "sqrt(mean r^2 over 16 bars / mean r^2 over 672 bars), "
                "r = ln(close / close before); at most sqrt(42); NaN where nothing moved in 672 "
                "bars"
            ),
            source=(
                "defined here: realised volatility (Andersen, Bollerslev, Diebold and Labys, "
                "Econometrica 71, 2003) of 4 hours against that of a week, whole days so that the "
                "time of day cancels from the long leg"
            ),
            inputs=("close",),
            warmup_bars=_WEEK + 1,
            missing="nan",
        ),
        Definition(
            name="vol_of_vol",
            unit="ratio",
            low=0.0,
            high=_MOST_VARIATION,
            formula=(
                "population deviation / mean of v over 96 bars, v = sqrt(mean r^2 over 16 bars), "
                "r as in realized_vol_ratio; at most sqrt(95); NaN where nothing moved"
            ),
            source=(
                "defined here: coefficient of variation of realised volatility, after Corsi, "
                "Mittnik, Pigorsch and Pigorsch, The Volatility of Realized Volatility, "
                "Econometric Reviews 27, 2008"
            ),
            inputs=("close",),
            warmup_bars=_HOURS + _DAY,
            missing="nan",
        ),
    ),
)
