"""The four-hour, daily and weekly picture behind a 15-minute bar.

A higher bar counts once it is complete: at the close of its last bar, or, where that bar is
missing, at the first bar after it. Higher bars without any bar are absent. H4 bars and days begin
at multiples of their length in UTC, weeks on Monday at 00:00.
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
_W1_MS = 7 * _D1_MS
_MONDAY_MS = 3 * _D1_MS  # 1970 began on a Thursday, three days into a week
_DAY_BARS = 96
_W1_EMA_BARS = 10 * 7 * _DAY_BARS
_W1_RSI_BARS = 15 * 7 * _DAY_BARS

_PERIOD = 0  # the number of the running higher bar plus one
_PENDING = 1  # its close so far, 0 once it is complete
_LATEST = 2  # the close of the latest complete one
_EMA10 = 3
_EMA20 = 5
_RSI = 7
_STRENGTH = _RSI + RSI_SLOTS
_FAST = _STRENGTH + 1
_SLOW = _FAST + 2
_SIGNAL = _SLOW + 2
_LEAN = _SIGNAL + 2
_HIGHER_SLOTS = _LEAN + 1

_H4 = 0
_D1 = _H4 + _HIGHER_SLOTS
_W1 = _D1 + _HIGHER_SLOTS
_SEEN = _W1 + _HIGHER_SLOTS
_DAY = _SEEN + 1
_DAY_OPEN = _DAY + 1
_SLOTS = _DAY_OPEN + 1


def step(state: State, obs: Observation, out: Out) -> None:
    """Write what complete H4 bars, days and weeks say, and the distance to the running day's
    open.
    """
    open_ms = int(obs[OPEN_TIME])
    close = obs[CLOSE]
    state[_SEEN] += 1.0
    seen = state[_SEEN]
    _advance(state, _H4, open_ms, close, _H4_MS)
    _advance(state, _D1, open_ms, close, _D1_MS)
    _advance(state, _W1, open_ms + _MONDAY_MS, close, _W1_MS)
    _trend(state, _H4, out, 0)
    _trend(state, _D1, out, 3)
    out[6] = _bias(state, _D1, _EMA10, 10.0)
    against_open = _against_day_open(state, open_ms, obs[OPEN], close)
    out[7] = against_open if seen >= _DAY_BARS else NAN
    week = state[_W1 + _LATEST]
    out[8] = (week - state[_W1 + _EMA10 + 1]) / week if seen >= _W1_EMA_BARS else NAN
    out[9] = state[_W1 + _STRENGTH] if seen >= _W1_RSI_BARS else NAN


def _trend(state: State, at: int, out: Out, to: int) -> None:
    """Write distance to the EMA of 20, RSI and MACD's direction, each once it is warm."""
    out[to] = _bias(state, at, _EMA20, 20.0)
    out[to + 1] = state[at + _STRENGTH] if state[at + _RSI + 1] >= 14.0 else NAN
    out[to + 2] = state[at + _LEAN] if state[at + _SIGNAL] >= 9.0 else NAN


def _bias(state: State, at: int, ema: int, bars: float) -> float:
    return state[at + _LATEST] / state[at + ema + 1] - 1.0 if state[at + ema] >= bars else NAN


def _advance(state: State, at: int, open_ms: int, close: float, length_ms: int) -> None:
    """Take one bar into the higher bar at slot `at`; complete the higher bars that end by this
    bar's close.
    """
    period = open_ms // length_ms + 1.0
    if state[at + _PERIOD] != period and state[at + _PENDING] > 0.0:
        _complete(state, at, state[at + _PENDING])
    state[at + _PERIOD] = period
    state[at + _PENDING] = close
    if (open_ms + BAR_MS) % length_ms == 0:
        _complete(state, at, close)
        state[at + _PENDING] = 0.0


def _complete(state: State, at: int, close: float) -> None:
    """Take the close of a complete higher bar into its averages, RSI and MACD."""
    state[at + _LATEST] = close
    average(state, at + _EMA10, close, 10, 2.0 / 11.0)
    average(state, at + _EMA20, close, 20, 2.0 / 21.0)
    strength = rsi(state, at + _RSI, close, 14)
    if state[at + _RSI + 1] >= 14.0:
        state[at + _STRENGTH] = strength / 100.0
    fast = average(state, at + _FAST, close, 12, 2.0 / 13.0)
    slow = average(state, at + _SLOW, close, 26, 2.0 / 27.0)
    if state[at + _SLOW] >= 26.0:
        macd = fast - slow
        signal = average(state, at + _SIGNAL, macd, 9, 2.0 / 10.0)
        state[at + _LEAN] = 1.0 if macd > signal else -1.0 if macd < signal else 0.0


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


_WILDER = "Wilder, New Concepts in Technical Trading Systems, 1978"


def _ema_bias(name: str, bars: int, of: str, ema: int) -> Definition:
    return Definition(
        name=name,
        unit="ratio",
        low=-1.0,
        high=float("inf"),
        formula=(
            f"close of the latest complete {of} / EMA{ema} of the closes of complete ones - 1; "
            f"the EMA starts as the mean of {ema} closes"
        ),
        source="defined here: the documents name the higher time frame's trend, not its formula",
        inputs=("open_time_ms", "close"),
        warmup_bars=bars,
        missing="never",
    )


def _rsi_norm(name: str, bars: int, of: str, gate: str = "") -> Definition:
    return Definition(
        name=name,
        unit="ratio",
        low=0.0,
        high=1.0,
        formula=f"Wilder's RSI14 of the closes of complete {of}, / 100{gate}",
        source=_WILDER,
        inputs=("open_time_ms", "close"),
        warmup_bars=bars,
        missing="never",
    )


def _macd_dir(name: str, bars: int, of: str) -> Definition:
    return Definition(
        name=name,
        unit="sign",
        low=-1.0,
        high=1.0,
        formula=(
            f"sign of d - EMA9(d), d = EMA12 - EMA26 of the closes of complete {of}; each EMA "
            "starts as the mean of its first n values (TA-Lib starts EMA12 at the 15th close)"
        ),
        source="Appel, Technical Analysis: Power Tools for Active Investors, 2005",
        inputs=("open_time_ms", "close"),
        warmup_bars=bars,
        missing="never",
    )


def _gate(bars: int) -> str:
    return f"; NaN before {bars:,} bars were seen"


GROUP = Group(
    name="context",
    step=step,
    state_size=_SLOTS,
    features=(
        _ema_bias("h4_ema_bias", 320, "H4 bar", 20),
        _rsi_norm("h4_rsi_norm", 240, "H4 bars"),
        _macd_dir("h4_macd_dir", 544, "H4 bars"),
        _ema_bias("d1_ema_bias", 1920, "UTC day", 20),
        _rsi_norm("d1_rsi_norm", 1440, "UTC days"),
        _macd_dir("d1_macd_dir", 3264, "UTC days"),
        _ema_bias("d1_trend", 960, "UTC day", 10),
        Definition(
            name="price_vs_d1_open",
            unit="ratio",
            low=-1.0,
            high=float("inf"),
            formula=(
                "close / open of the UTC day's 00:00 bar - 1; NaN when that bar is missing"
                f"{_gate(_DAY_BARS)}"
            ),
            source="defined here: distance to the daily open",
            inputs=("open_time_ms", "open", "close"),
            warmup_bars=_DAY_BARS,
            missing="nan",
        ),
        Definition(
            name="w1_ema_bias",
            unit="ratio",
            low=-float("inf"),
            high=1.0,
            formula=(
                "(c - e) / c, c the close of the latest complete week (Monday 00:00 UTC, 672 "
                "bars), e the EMA10 of the closes of complete weeks, started as the mean of 10"
                f"{_gate(_W1_EMA_BARS)}"
            ),
            source="novosky roadmap 17.2, its week of 504 bars corrected to seven days of 96",
            inputs=("open_time_ms", "close"),
            warmup_bars=_W1_EMA_BARS,
            missing="never",
        ),
        _rsi_norm("w1_rsi_norm", _W1_RSI_BARS, "weeks (Monday 00:00 UTC)", _gate(_W1_RSI_BARS)),
    ),
)
