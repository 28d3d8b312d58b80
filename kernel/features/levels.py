"""Prices that people look at: round numbers, and the high and low of the running day."""

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    CLOSE,
    HIGH,
    LOW,
    OPEN_TIME,
    Observation,
    Out,
    State,
    average,
    clip,
    true_range,
)

_DAY_MS = 86_400_000
_DAY_BARS = 96
_COARSEST = 0.02
_FARTHEST = 10.0

_COUNT = 0
_DAY = 1
_HIGH = 2
_LOW = 3
_CLOSE = 4
_ATR = 5
_SLOTS = 7


def step(state: State, obs: Observation, out: Out) -> None:
    """Write the distance to the nearest round number, and the place within the running UTC day."""
    close = obs[CLOSE]
    atr = _atr(state, obs[HIGH], obs[LOW], close)
    _take_into_day(state, int(obs[OPEN_TIME]), obs[HIGH], obs[LOW])
    out[0] = _to_round_number(close)
    out[1] = NAN
    out[2] = NAN
    state[_COUNT] += 1.0
    if state[_COUNT] < _DAY_BARS:
        return
    high = state[_HIGH]
    low = state[_LOW]
    if atr > 0.0:
        out[1] = clip(min(high - close, close - low) / atr, 0.0, _FARTHEST)
    out[2] = clip((close - low) / (high - low), 0.0, 1.0) if high > low else 0.5


def _atr(state: State, high: float, low: float, close: float) -> float:
    """Return Wilder's average true range over 14 bars, 0 on the first bar."""
    previous_close = state[_CLOSE]
    state[_CLOSE] = close
    if previous_close == 0.0:
        return 0.0
    return average(state, _ATR, true_range(high, low, previous_close), 14, 1.0 / 14.0)


def _take_into_day(state: State, open_ms: int, high: float, low: float) -> None:
    """Widen the day's range by one bar; the first bar of another day begins it anew."""
    day = open_ms // _DAY_MS + 1.0
    fresh = state[_DAY] != day
    state[_DAY] = day
    state[_HIGH] = high if fresh else max(state[_HIGH], high)
    state[_LOW] = low if fresh else min(state[_LOW], low)


def _to_round_number(price: float) -> float:
    grid = _grid(price)
    nearest = int(price / grid + 0.5) * grid
    return clip((price - nearest) / price, -0.5 * _COARSEST, 0.5 * _COARSEST)


def _grid(price: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is at most 2 % of `price`.

    Powers of ten up to 1e22 are exact, so that one division rounds only once.
    """
    coarsest = _COARSEST * price
    power = 1.0
    if coarsest >= 1.0:
        while coarsest >= 10.0 * power:
            power *= 10.0
        return _nice(coarsest / power) * power
    while coarsest * power < 1.0:
        power *= 10.0
    return _nice(coarsest * power) / power


def _nice(x: float) -> float:
    if x >= 5.0:
        return 5.0
    return 2.0 if x >= 2.0 else 1.0


GROUP = Group(
    name="levels",
    step=step,
    state_size=_SLOTS,
    features=(
        Definition(
            name="dist_to_round_number",
            unit="ratio",
            low=-0.01,
            high=0.01,
            formula=(
                "(close - nearest multiple of g) / close, the higher of two equally near, clipped "
                "to +-0.01; g is the largest of 1, 2, 5 times a power of ten that is at most 2 % "
                "of close"
            ),
            source=(
                "Osler, Currency Orders and Exchange Rate Dynamics, Journal of Finance 58:5, 2003; "
                "the grid is defined here, after Heckbert, Nice Numbers for Graph Labels, 1990, "
                "so that it follows the price over orders of magnitude"
            ),
            inputs=("close",),
            warmup_bars=1,
            missing="never",
        ),
        Definition(
            name="near_daily_high_low",
            unit="ATR",
            low=0.0,
            high=_FARTHEST,
            formula=(
                "min(day high - close, close - day low) / ATR14, clipped to 0..10, with the "
                "extremes of the UTC day's bars so far, this one included; NaN where ATR14 is 0"
            ),
            source="defined here: the document only names it; in ATR, so that volatility cancels",
            inputs=("open_time_ms", "high", "low", "close"),
            warmup_bars=_DAY_BARS,
            missing="nan",
        ),
        Definition(
            name="daily_range_position",
            unit="ratio",
            low=0.0,
            high=1.0,
            formula=(
                "(close - day low) / (day high - day low), clipped to 0..1, of the UTC day's bars "
                "so far, this one included; 0.5 where the day has no range"
            ),
            source="defined here: which of the day's extremes is near, which a distance hides",
            inputs=("open_time_ms", "high", "low", "close"),
            warmup_bars=_DAY_BARS,
            missing="never",
        ),
    ),
)
