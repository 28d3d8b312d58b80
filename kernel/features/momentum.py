"""How fast price moves, whether it speeds up, and how far it went within its recent range."""

from kernel.features.bounds import NAN, finite
from kernel.features.definition import Definition, Group
from kernel.features.extremes import sliding_highest
from kernel.features.recursions import (
    CLOSE,
    HIGH,
    LOW,
    RSI_SLOTS,
    Observation,
    Out,
    State,
    average,
    clip,
    rsi,
)
from kernel.features.windows import back, full, push

_RSI14 = 0
_RSI7 = _RSI14 + RSI_SLOTS
_FAST = _RSI7 + RSI_SLOTS
_SLOW = _FAST + 2
_SIGNAL = _SLOW + 2
_SLOPE_BARS = 4
_STRENGTHS = _SIGNAL + 2
_STOCH_BARS = 14
_HIGHS = _STRENGTHS + 1 + _SLOPE_BARS + 1
_LOWS = _HIGHS + 2 + _STOCH_BARS
_FAST_K = _LOWS + 2 + _STOCH_BARS
_SLOW_K = _FAST_K + 2
_CCI_BARS = 20
_PRICES = _SLOW_K + 2
_CLOSES = _PRICES + _CCI_BARS
_PEAK_BARS = 24
_MOMENTA = _CLOSES + 1 + 9
_SLOTS = _MOMENTA + 2 + _PEAK_BARS


def step(state: State, obs: Observation, out: Out) -> None:
    """Write RSI and its slope, MACD, the stochastic, CCI, and how momentum grows or fades."""
    high = obs[HIGH]
    low = obs[LOW]
    close = obs[CLOSE]
    out[0] = rsi(state, _RSI14, close, 14)
    out[1] = _slope(state, out[0])
    out[2] = rsi(state, _RSI7, close, 7)
    _macd(state, close, out)
    _stochastic(state, high, low, close, out)
    out[8] = _channel_index(state, high + low + close)
    _change(state, close, out)


def _slope(state: State, strength: float) -> float:
    if not finite(strength):
        return NAN
    push(state, _STRENGTHS, _SLOPE_BARS + 1, strength)
    if not full(state, _STRENGTHS, _SLOPE_BARS + 1):
        return NAN
    return strength - back(state, _STRENGTHS, _SLOPE_BARS + 1, _SLOPE_BARS)


def _macd(state: State, close: float, out: Out) -> None:
    """Write MACD, its signal and their difference over the close."""
    out[3] = NAN
    out[4] = NAN
    out[5] = NAN
    fast = average(state, _FAST, close, 12, 2.0 / 13.0)
    slow = average(state, _SLOW, close, 26, 2.0 / 27.0)
    if state[_SLOW] < 26:
        return
    macd = fast - slow
    signal = average(state, _SIGNAL, macd, 9, 2.0 / 10.0)
    out[3] = macd / close
    if state[_SIGNAL] >= 9:
        out[4] = signal / close
        out[5] = (macd - signal) / close


def _stochastic(state: State, high: float, low: float, close: float, out: Out) -> None:
    """Write Lane's slow %K and %D."""
    out[6] = NAN
    out[7] = NAN
    bottom = -sliding_highest(state, _LOWS, _STOCH_BARS, -low)
    span = sliding_highest(state, _HIGHS, _STOCH_BARS, high) - bottom
    bars = state[_SLOW]
    if bars < _STOCH_BARS:
        return
    place = 100.0 * clip((close - bottom) / span, 0.0, 1.0) if span > 0.0 else 50.0
    slow = _mean_of_three(state, _FAST_K, place)
    if bars >= _STOCH_BARS + 2:
        out[6] = slow
        smooth = _mean_of_three(state, _SLOW_K, slow)
        if bars >= _STOCH_BARS + 4:
            out[7] = smooth


def _mean_of_three(state: State, at: int, x: float) -> float:
    """Return the mean of `x` and the two values before it, which two slots keep."""
    mean = (state[at] + state[at + 1] + x) / 3.0
    state[at] = state[at + 1]
    state[at + 1] = x
    return mean


def _channel_index(state: State, price: float) -> float:
    """Return Lambert's index of a price in any unit.

    The mean is taken about the latest price, which keeps its digits. The ring holds the 19 prices
    before it and takes it in last: a processor waits for what it reads right after writing it.
    """
    known = full(state, _PRICES, _CCI_BARS - 1)
    gaps = 0.0
    for i in range(_CCI_BARS - 1):
        gaps += state[_PRICES + 1 + i] - price
    mean = price + gaps / _CCI_BARS
    spread = abs(price - mean)
    for i in range(_CCI_BARS - 1):
        spread += abs(state[_PRICES + 1 + i] - mean)
    push(state, _PRICES, _CCI_BARS - 1, price)
    if not known:
        return NAN
    return clip(-gaps / (0.015 * spread), -667.0, 667.0) if spread > 0.0 else 0.0


def _change(state: State, close: float, out: Out) -> None:
    """Write the change of the hourly return, and how far momentum fell from its peak."""
    out[9] = NAN
    out[10] = NAN
    if push(state, _CLOSES, 9, close) < 9:
        return
    hour_ago = back(state, _CLOSES, 9, 4)
    two_hours_ago = back(state, _CLOSES, 9, 8)
    out[9] = close / hour_ago - hour_ago / two_hours_ago
    momentum = abs(close / two_hours_ago - 1.0)
    peak = sliding_highest(state, _MOMENTA, _PEAK_BARS, momentum)
    if state[_CLOSES] >= 8 + _PEAK_BARS:
        out[10] = 1.0 - momentum / peak if peak > 0.0 else 0.0


def _close_index(name: str, formula: str, source: str, warmup_bars: int) -> Definition:
    return Definition(
        name=name,
        unit="index",
        low=0.0,
        high=100.0,
        formula=formula,
        source=source,
        inputs=("close",),
        warmup_bars=warmup_bars,
        missing="never",
    )


def _rsi(bars: int) -> Definition:
    return _close_index(
        f"rsi_{bars}",
        "100 * average gain / (average gain + average loss), Wilder averages over "
        f"{bars}; 50 without movement",
        "Wilder, New Concepts in Technical Trading Systems, 1978",
        bars + 1,
    )


def _macd_definition(name: str, formula: str, warmup_bars: int) -> Definition:
    return Definition(
        name=name,
        unit="ratio",
        low=float("-inf"),
        high=float("inf"),
        formula=f"{formula} with MACD = EMA12(close) - EMA26(close)",
        source="Appel, The Moving Average Convergence Divergence Trading Method, 1979",
        inputs=("close",),
        warmup_bars=warmup_bars,
        missing="never",
    )


def _stochastic_definition(name: str, formula: str, warmup_bars: int) -> Definition:
    return Definition(
        name=name,
        unit="index",
        low=0.0,
        high=100.0,
        formula=formula,
        source="Lane, Lane's Stochastics, Stocks & Commodities 2:3, 1984",
        inputs=("high", "low", "close"),
        warmup_bars=warmup_bars,
        missing="never",
    )


GROUP = Group(
    name="momentum",
    step=step,
    state_size=_SLOTS,
    modules=("extremes",),
    features=(
        _rsi(14),
        Definition(
            name="rsi_slope",
            unit="index points",
            low=-100.0,
            high=100.0,
            formula=f"rsi_14 - rsi_14 {_SLOPE_BARS} bars earlier",
            source="momentum of the index over one hour",
            inputs=("close",),
            warmup_bars=19,
            missing="never",
        ),
        _rsi(7),
        _macd_definition("macd_norm", "MACD / close", 26),
        _macd_definition("macd_signal_norm", "EMA9(MACD) / close", 34),
        _macd_definition("macd_hist_norm", "(MACD - EMA9(MACD)) / close", 34),
        _stochastic_definition(
            "stoch_k",
            "mean over 3 bars of 100 (close - lowest low) / (highest high - lowest low) of the "
            "last 14 bars; 50 for a bar whose window has no range (TA-Lib: 0)",
            16,
        ),
        _stochastic_definition("stoch_d", "mean of stoch_k over 3 bars", 18),
        Definition(
            name="cci_20",
            unit="index",
            low=-667.0,
            high=667.0,
            formula=(
                "(p - m) / (0.015 d) with p = (high + low + close) / 3, m its mean and d its mean "
                "absolute deviation over 20 bars; 0 where d is 0; within +-n / (2 * 0.015) by "
                "arithmetic, clipped to +-667"
            ),
            source="Lambert, Commodity Channel Index, Commodities 9:10, 1980",
            inputs=("high", "low", "close"),
            warmup_bars=20,
            missing="never",
        ),
        Definition(
            name="price_acceleration",
            unit="ratio",
            low=float("-inf"),
            high=float("inf"),
            formula="hourly_return - hourly_return 4 bars earlier",
            source=(
                "defined here: the document only names it; the second difference of price over "
                "hours, as m1_price_accel_5 over minutes is the first"
            ),
            inputs=("close",),
            warmup_bars=9,
            missing="never",
        ),
        Definition(
            name="momentum_decay",
            unit="ratio",
            low=0.0,
            high=1.0,
            formula=(
                f"1 - |r| / max |r| of the last {_PEAK_BARS} bars with r = close / close 8 bars "
                "earlier - 1; 0 where nothing moved"
            ),
            source=(
                "defined here: the document only names it; how much of the strongest move of the "
                "last six hours is gone"
            ),
            inputs=("close",),
            warmup_bars=32,
            missing="never",
        ),
    ),
)
