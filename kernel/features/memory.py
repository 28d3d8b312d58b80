"""What returns remember: past returns, the shape of their distribution, and whether they persist or
turn back.

Everything comes from one ring of the logarithms of the last 673 closes.
"""

from math import sqrt

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group, Missing
from kernel.features.recursions import (
    CLOSE,
    Observation,
    Out,
    State,
    clip,
    log,
)
from kernel.features.windows import back, push, sliding_total

_DAY = 96
_SPAN = 480
_RING = 673
_VARIES = 1e-6

_LOGS = 0
_SQUARES = _LOGS + 1 + _RING
_CUBES = _SQUARES + 2 + _DAY
_FOURTHS = _CUBES + 2 + _DAY
_NEIGHBOURS = _FOURTHS + 2 + _DAY
_STEP_1 = _NEIGHBOURS + 2 + _DAY - 1
_STEP_2 = _STEP_1 + 2 + _SPAN
_STEP_4 = _STEP_2 + 2 + _SPAN - 1
_STEP_8 = _STEP_4 + 2 + _SPAN - 3
_STEP_16 = _STEP_8 + 2 + _SPAN - 7
_CHANGE_4 = _STEP_16 + 2 + _SPAN - 15
_SLOTS = _CHANGE_4 + 2 + _SPAN - 3

_LN_2 = 0.6931471805599453
_SKEW_SCALE = sqrt(_DAY * (_DAY - 1)) / (_DAY - 2)
_KURTOSIS_SCALE = (_DAY - 1) / ((_DAY - 2) * (_DAY - 3))
_MOST_SKEW = 9.8  # sqrt(n), of one return that differs from all others
_LEAST_KURTOSIS = -2.1
_DEGREES = 4.0 * (_SPAN - 3) * (1.0 - 4.0 / _SPAN)
_MOST_RATIO = 4.1


def step(state: State, obs: Observation, out: Out) -> None:
    """Write the lagged returns, skewness, kurtosis and autocorrelation of a day, and the Hurst
    exponent and variance ratio of five days.
    """
    count = push(state, _LOGS, _RING, log(obs[CLOSE]))
    out[0] = _change(state, count, 2)
    out[1] = _change(state, count, 8)
    out[2] = _change(state, count, 32)
    out[3] = _change(state, count, 96)
    out[4] = _change(state, count, 192)
    out[5] = _change(state, count, 384)
    out[6] = _change(state, count, 672)
    out[7] = out[8] = out[9] = out[10] = out[11] = NAN
    if count > 1:
        change = _ago(state, 0) - _ago(state, 1)
        _shape(state, count, change, out)
        _persistence(state, count, change, out)


def _ago(state: State, bars: int) -> float:
    return back(state, _LOGS, _RING, bars)


def _change(state: State, count: int, bars: int) -> float:
    return _ago(state, 0) - _ago(state, bars) if count > bars else NAN


def _shape(state: State, count: int, change: float, out: Out) -> None:
    """Write skewness, kurtosis and autocorrelation of the last 96 log returns."""
    square = change * change
    squares = sliding_total(state, _SQUARES, _DAY, square) / _DAY
    cubes = sliding_total(state, _CUBES, _DAY, square * change) / _DAY
    fourths = sliding_total(state, _FOURTHS, _DAY, square * square) / _DAY
    before = _ago(state, 1) - _ago(state, 2) if count > 2 else 0.0
    neighbours = sliding_total(state, _NEIGHBOURS, _DAY - 1, change * before)
    if count <= _DAY:
        return
    total = _ago(state, 0) - _ago(state, _DAY)
    mean = total / _DAY
    second = squares - mean * mean
    if not second > _VARIES * squares:
        return
    third = cubes - mean * (3.0 * squares - 2.0 * mean * mean)
    fourth = fourths - mean * (4.0 * cubes - mean * (6.0 * squares - 3.0 * mean * mean))
    first = _ago(state, _DAY - 1) - _ago(state, _DAY)
    shift = mean * (2.0 * total - first - change) - (_DAY - 1) * (mean * mean)
    out[7] = clip(_SKEW_SCALE * third / (second * sqrt(second)), -_MOST_SKEW, _MOST_SKEW)
    excess = fourth / (second * second) - 3.0
    out[8] = clip(_KURTOSIS_SCALE * ((_DAY + 1) * excess + 6.0), _LEAST_KURTOSIS, _DAY)
    out[10] = clip((neighbours - shift) / (_DAY * second), -1.0, 1.0)


def _persistence(state: State, count: int, change: float, out: Out) -> None:
    """Write the Hurst exponent and the variance ratio of the last 480 log returns."""
    ones = sliding_total(state, _STEP_1, _SPAN, change * change)
    twos = _squares(state, count, _STEP_2, 2)
    fours = _squares(state, count, _STEP_4, 4)
    eights = _squares(state, count, _STEP_8, 8)
    sixteens = _squares(state, count, _STEP_16, 16)
    change_4 = _ago(state, 0) - _ago(state, 4) if count > 4 else 0.0
    changes_4 = sliding_total(state, _CHANGE_4, _SPAN - 3, change_4)
    if count <= _SPAN or ones <= 0.0:
        return
    out[9] = _hurst(ones / _SPAN, twos / (_SPAN - 1), eights / (_SPAN - 7), sixteens / (_SPAN - 15))
    mean = (_ago(state, 0) - _ago(state, _SPAN)) / _SPAN
    single = ones - _SPAN * (mean * mean)
    if single > _VARIES * ones:
        fourfold = fours - 4.0 * mean * (2.0 * changes_4 - 4.0 * (_SPAN - 3) * mean)
        ratio = fourfold / _DEGREES / (single / (_SPAN - 1))
        out[11] = clip(ratio, 0.0, _MOST_RATIO)


def _squares(state: State, count: int, at: int, bars: int) -> float:
    """Return the sum of the squared changes over `bars` bars that lie within 480 returns."""
    change = _ago(state, 0) - _ago(state, bars) if count > bars else 0.0
    return sliding_total(state, at, _SPAN + 1 - bars, change * change)


def _hurst(one: float, two: float, eight: float, sixteen: float) -> float:
    """Return half the slope of ln(mean squared change over k bars) on ln k, k = 1, 2, 4, 8, 16.

    In least squares over these five the fourth bar has no weight.
    """
    if two <= 0.0 or eight <= 0.0 or sixteen <= 0.0:
        return 0.0
    rise = sixteen / one
    return clip(log(rise * rise * (eight / two)) / (20.0 * _LN_2), 0.0, 1.0)


def _definition(
    name: str,
    low: float,
    high: float,
    formula: str,
    source: str,
    warmup_bars: int,
    missing: Missing = "nan",
    unit: str = "ratio",
) -> Definition:
    return Definition(name, unit, low, high, formula, source, ("close",), warmup_bars, missing)


def _lagged(bars: int) -> Definition:
    return _definition(
        f"lagged_return_{bars}",
        -83.0,
        83.0,
        f"ln(close) - ln(close {bars} bars earlier); bars are counted as they exist",
        "log return; horizons of half an hour, 2 h, 8 h, 1, 2, 4 and 7 days",
        bars + 1,
        "never",
        "log return",
    )


GROUP = Group(
    name="memory",
    step=step,
    state_size=_SLOTS,
    features=(
        _lagged(2),
        _lagged(8),
        _lagged(32),
        _lagged(96),
        _lagged(192),
        _lagged(384),
        _lagged(672),
        _definition(
            "rolling_skew",
            -_MOST_SKEW,
            _MOST_SKEW,
            (
                "G1 = sqrt(n (n - 1)) / (n - 2) m3 / m2^1.5 of the last n = 96 log returns, m_k "
                "their central moments (pandas' skew); NaN where m2 is under 1e-6 of the mean "
                "square"
            ),
            "Joanes and Gill, Comparing Measures of Sample Skewness and Kurtosis, JRSS D 47, 1998",
            _DAY + 1,
        ),
        _definition(
            "rolling_kurtosis",
            _LEAST_KURTOSIS,
            float(_DAY),
            (
                "G2 = (n - 1) / ((n - 2) (n - 3)) ((n + 1) (m4 / m2^2 - 3) + 6) of the last n = 96 "
                "log returns, an excess: 0 for the normal (pandas' kurt); NaN as rolling_skew"
            ),
            "Joanes and Gill, Comparing Measures of Sample Skewness and Kurtosis, JRSS D 47, 1998",
            _DAY + 1,
        ),
        _definition(
            "hurst",
            0.0,
            1.0,
            (
                "half the least-squares slope of ln M(k) on ln k, k = 1, 2, 4, 8, 16, with M(k) "
                "the mean squared change of ln(close) over k bars, overlapping, within the last "
                "480 returns, drift not removed, = ln((M16 / M1)^2 M8 / M2) / (20 ln 2), clipped "
                "to 0..1; 0 where M2, M8 or M16 is 0; NaN where nothing moved. On fractional "
                "Gaussian noise of H = 0.3, 0.5, 0.7, 0.9 it is off by 0.00, 0.00, -0.01, -0.02 "
                "with a deviation of 0.03, 0.04, 0.04, 0.05"
            ),
            (
                "Di Matteo, Multi-Scaling in Finance, Quantitative Finance 7, 2007: generalised "
                "Hurst exponent, q = 2; rescaled range costs a pass per bar and overstates H in "
                "short windows (Lo, Econometrica 59, 1991)"
            ),
            _SPAN + 1,
        ),
        _definition(
            "autocorrelation_1",
            -1.0,
            1.0,
            (
                "sum over 95 neighbours of (r_i - m)(r_(i-1) - m) / sum over 96 of (r_i - m)^2, "
                "r the last 96 log returns, m their mean; NaN as rolling_skew"
            ),
            "Box and Jenkins, Time Series Analysis: Forecasting and Control, 1970",
            _DAY + 1,
        ),
        _definition(
            "variance_ratio",
            0.0,
            _MOST_RATIO,
            (
                "VR(4) over the last T = 480 log returns, overlapping and debiased: (sum of "
                "(ln c_t - ln c_(t-4) - 4 m)^2 / (4 (T - 3)(1 - 4 / T))) / (sum of (r - m)^2 / "
                "(T - 1)), m the mean return; 1 for a random walk; NaN where the variance is under "
                "1e-6 of the mean square"
            ),
            (
                "Lo and MacKinlay, Stock Market Prices Do Not Follow Random Walks, Review of "
                "Financial Studies 1, 1988"
            ),
            _SPAN + 1,
        ),
    ),
)
