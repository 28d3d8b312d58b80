"""How much price moves, against its own past, and how much of that movement leads somewhere."""

from math import sqrt

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.extremes import sliding_highest
from kernel.features.recursions import (
    CLOSE,
    HIGH,
    LOW,
    Observation,
    Out,
    State,
    average,
    clip,
    log,
    true_range,
)
from kernel.features.windows import back, push, sliding_total

_SQRT_2 = 1.4142135623730951
_LOG_2 = 0.6931471805599453
_LOG_14 = 2.6390573296152584

_DAY_BARS = 96
_REGIME_BARS = 500
_BAND_BARS = 20
_PATH_BARS = 10
_CHOP_BARS = 14

_CLOSE = 0
_ATR14 = 1
_ATR20 = 3
_EMA20 = 5
_DAY = 7
_REGIME = _DAY + _DAY_BARS
_CLOSES = _REGIME + _REGIME_BARS
_MOVES = _CLOSES + _BAND_BARS
_RANGES = _MOVES + 2 + _PATH_BARS
_TRUE_HIGHS = _RANGES + 2 + _CHOP_BARS
_TRUE_LOWS = _TRUE_HIGHS + 2 + _CHOP_BARS
_SLOTS = _TRUE_LOWS + 2 + _CHOP_BARS


def step(state: State, obs: Observation, out: Out) -> None:
    """Write ATR and its ranks, the Bollinger bands and their squeeze, and how direct the way is."""
    high = obs[HIGH]
    low = obs[LOW]
    close = obs[CLOSE]
    previous_close = state[_CLOSE]
    state[_CLOSE] = close
    _ranges(state, high, low, previous_close, out)
    out[6] = _efficiency(state, close, previous_close)
    _bands(state, close, out)
    out[7] = _choppiness(state, high, low, previous_close)


def _ranges(state: State, high: float, low: float, previous_close: float, out: Out) -> None:
    """Write ATR14 over the close and its ranks within a day and within 500 bars."""
    out[0] = NAN
    out[1] = NAN
    out[2] = NAN
    if previous_close == 0.0:
        return
    span = true_range(high, low, previous_close)
    average(state, _ATR20, span, 20, 1.0 / 20.0)
    atr = average(state, _ATR14, span, 14, 1.0 / 14.0)
    if state[_ATR14] >= 14:
        out[0] = atr / state[_CLOSE]
        out[1] = _rank(state, _DAY, _DAY_BARS, atr)
        out[2] = _rank(state, _REGIME, _REGIME_BARS, atr)


def _rank(state: State, at: int, bars: int, x: float) -> float:
    """Return the rank of `x` among the last `bars` values with itself, ties averaged, as a share.

    The ring holds the values before it and takes it in last: a processor waits for what it reads
    right after writing it.
    """
    before = state[at + 1 : at + bars]
    halves = 0
    for i in range(bars - 1):
        if before[i] <= x:
            halves += 2 if before[i] < x else 1
    if push(state, at, bars - 1, x) < bars:
        return NAN
    return 0.5 * (halves + 2) / bars


def _bands(state: State, close: float, out: Out) -> None:
    """Write the bands' width and squeeze and the close's place.

    Moments are taken about the latest close; the ring holds the 19 before it and takes it in last.
    """
    out[3] = NAN
    out[4] = NAN
    out[5] = NAN
    ema = average(state, _EMA20, close, _BAND_BARS, 2.0 / 21.0)
    gaps = 0.0
    squares = 0.0
    for i in range(_BAND_BARS - 1):
        gap = state[_CLOSES + 1 + i] - close
        gaps += gap
        squares += gap * gap
    if push(state, _CLOSES, _BAND_BARS - 1, close) < _BAND_BARS:
        return
    shift = gaps / _BAND_BARS
    variance = squares / _BAND_BARS - shift * shift
    deviation = sqrt(variance) if variance > 0.0 else 0.0
    out[3] = 4.0 * deviation / (close + shift)
    out[5] = 0.5 - shift / (4.0 * deviation) if deviation > 0.0 else 0.5
    if state[_ATR20] >= _BAND_BARS:
        apart = abs(close + shift - ema)
        out[4] = 1.0 if apart + 2.0 * deviation < 1.5 * state[_ATR20 + 1] else 0.0


def _efficiency(state: State, close: float, previous_close: float) -> float:
    """Return Kaufman's ratio of the way made to the way gone over 10 bars, 0..1."""
    if previous_close == 0.0:
        return NAN
    gone = sliding_total(state, _MOVES, _PATH_BARS, abs(close - previous_close))
    if state[_CLOSES] < _PATH_BARS:
        return NAN
    made = abs(close - back(state, _CLOSES, _BAND_BARS - 1, _PATH_BARS - 1))
    return min(made / gone, 1.0) if gone > 0.0 else 0.0


def _choppiness(state: State, high: float, low: float, previous_close: float) -> float:
    """Return Dreiss's index over 14 bars, 0..100."""
    if previous_close == 0.0:
        return NAN
    top = max(high, previous_close)
    bottom = min(low, previous_close)
    way = sliding_total(state, _RANGES, _CHOP_BARS, top - bottom)
    span = sliding_highest(state, _TRUE_HIGHS, _CHOP_BARS, top)
    span += sliding_highest(state, _TRUE_LOWS, _CHOP_BARS, -bottom)
    if state[_ATR14] < _CHOP_BARS:
        return NAN
    return clip(100.0 * _log_14(way / span), 0.0, 100.0) if span > 0.0 else 100.0


def _log_14(x: float) -> float:
    """Return the logarithm of a small `x` to base 14; halving it first is exact and quicker."""
    twos = 0.0
    while x > _SQRT_2:
        x *= 0.5
        twos += 1.0
    return (twos * _LOG_2 + log(x)) / _LOG_14


def _definition(
    name: str,
    formula: str,
    source: str,
    bounds: tuple[float, float],
    warmup_bars: int,
    *,
    unit: str = "ratio",
    inputs: tuple[str, ...] = ("high", "low", "close"),
) -> Definition:
    return Definition(
        name, unit, bounds[0], bounds[1], formula, source, inputs, warmup_bars, missing="never"
    )


_WILDER = "Wilder, New Concepts in Technical Trading Systems, 1978"
_BOLLINGER = "Bollinger, Bollinger on Bollinger Bands, 2001"

GROUP = Group(
    name="volatility",
    step=step,
    state_size=_SLOTS,
    modules=("extremes",),
    features=(
        _definition(
            "atr_14",
            "ATR14 / close; ATR14 is the Wilder average of the true range over 14, started as the "
            "mean of its first 14 values",
            _WILDER,
            (0.0, float("inf")),
            15,
        ),
        _definition(
            "atr_percentile",
            "rank of ATR14 among its last 96 values, ties averaged, / 96",
            "defined here: the document only names it; the rank within a day, beside "
            "volatility_regime",
            (0.0, 1.0),
            110,
        ),
        _definition(
            "volatility_regime",
            "rank of ATR14 among its last 500 values, ties averaged, / 500",
            "NOVOSKY roadmap 17.2: a continuous rank, for boundaries would be artificial",
            (0.0, 1.0),
            514,
        ),
        _definition(
            "bb_width",
            "4 s / m with mean m and population deviation s of the last 20 closes",
            _BOLLINGER,
            (0.0, float("inf")),
            20,
            inputs=("close",),
        ),
        _definition(
            "bb_squeeze",
            "1 when m + 2 s < e + 1.5 a and m - 2 s > e - 1.5 a, else 0, with mean m and "
            "population deviation s of the last 20 closes, e = EMA20(close) and a = ATR20, the "
            "Wilder average of the true range",
            "Carter, Mastering the Trade, 2005",
            (0.0, 1.0),
            21,
            unit="flag",
        ),
        _definition(
            "bb_position",
            "(close - (m - 2 s)) / (4 s), m and s as in bb_width; 0.5 where the bands have no "
            "width",
            _BOLLINGER,
            (-0.6, 1.6),
            20,
            inputs=("close",),
        ),
        _definition(
            "market_quality",
            "|close - close 10 bars earlier| / sum of |close - previous close| over those bars; "
            "0 where nothing moved",
            "efficiency ratio: Kaufman, Smarter Trading, 1995; that it is meant by the name is "
            "decided here",
            (0.0, 1.0),
            11,
            inputs=("close",),
        ),
        _definition(
            "choppiness_14",
            "100 ln(sum of true ranges / (highest true high - lowest true low)) / ln 14 over 14 "
            "bars; true highs and lows include the previous close, so that it cannot leave 0..100; "
            "100 where nothing moves",
            "Dreiss, Choppiness Index, in Technical Analysis of Stocks & Commodities, 1993",
            (0.0, 100.0),
            15,
            unit="index",
        ),
    ),
)
