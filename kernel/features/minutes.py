"""What happened within the bar: its 15 one-minute bars.

Averages run over all minutes seen, so that a bar begins where the one before it ended. A missing
minute shortens nothing: the next one follows the one before it.
"""

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    AVERAGE_SLOTS,
    MINUTE_WIDTH,
    MINUTES,
    MINUTES_IN_BAR,
    RSI_SLOTS,
    Observation,
    Out,
    State,
    average,
    clip,
    rsi,
    true_range,
)

_STRENGTH = 0
_RANGE = _STRENGTH + RSI_SLOTS
_SLOTS = _RANGE + AVERAGE_SLOTS

_OPEN = 0
_HIGH = 1
_LOW = 2
_CLOSE = 3
_VOLUME = 4
_LAST = MINUTES + MINUTE_WIDTH * (MINUTES_IN_BAR - 1)
_SMALLEST = 1e-18
_LARGEST = 1e18
_MOST = 100.0


def step(state: State, obs: Observation, out: Out) -> None:
    """Fold the bar's minutes, then write move, volume, strength, range and body of the latest."""
    strength = NAN
    unbroken = 0
    for minute in range(MINUTES_IN_BAR):
        at = MINUTES + MINUTE_WIDTH * minute
        if _present(obs, at):
            strength = _fold(state, obs[at + _HIGH], obs[at + _LOW], obs[at + _CLOSE])
            unbroken += 1
        else:
            unbroken = 0
    close = obs[_LAST + _CLOSE]
    out[0] = _move(close, obs[_LAST + _CLOSE - 5 * MINUTE_WIDTH]) if unbroken >= 6 else NAN
    out[1] = _volume_ratio(obs) if unbroken >= 10 else NAN
    out[2] = strength if unbroken >= 1 else NAN
    out[3] = state[_RANGE + 1] / close if unbroken >= 1 and state[_RANGE] >= 3.0 else NAN
    out[4] = _body(obs) if unbroken >= 1 else NAN
    out[5] = 0.0 if unbroken == MINUTES_IN_BAR else 1.0


def _present(obs: Observation, at: int) -> bool:
    """Return whether the minute at slot `at` is there, by the bounds that bars are held to."""
    return (
        _SMALLEST < obs[at + _OPEN] < _LARGEST
        and _SMALLEST < obs[at + _HIGH] < _LARGEST
        and _SMALLEST < obs[at + _LOW] < _LARGEST
        and _SMALLEST < obs[at + _CLOSE] < _LARGEST
        and 0.0 <= obs[at + _VOLUME] < 1e30
    )


def _fold(state: State, high: float, low: float, close: float) -> float:
    """Take in one minute and return RSI9; the range needs the close that RSI remembers."""
    previous = state[_STRENGTH]
    if previous > 0.0:
        average(state, _RANGE, true_range(high, low, previous), 3, 1.0 / 3.0)
    return rsi(state, _STRENGTH, close, 9)


def _move(close: float, earlier: float) -> float:
    return clip((close - earlier) / earlier, -1.0, 1.0)


def _volume_ratio(obs: Observation) -> float:
    """Return the volume of the latest five minutes over that of the five before, at most 100."""
    newer = 0.0
    older = 0.0
    for minute in range(MINUTES_IN_BAR - 5, MINUTES_IN_BAR):
        at = MINUTES + MINUTE_WIDTH * minute + _VOLUME
        newer += obs[at]
        older += obs[at - 5 * MINUTE_WIDTH]
    return min(newer / older, _MOST) if older > 0.0 else NAN


def _body(obs: Observation) -> float:
    """Return the share of the last minute's range that open and close span; NaN without a range."""
    span = obs[_LAST + _HIGH] - obs[_LAST + _LOW]
    body = abs(obs[_LAST + _CLOSE] - obs[_LAST + _OPEN])
    return min(body / span, 1.0) if span > 0.0 else NAN


def _inputs(first: int) -> tuple[str, ...]:
    """Return the fields of the minutes from `first` on: any one of the five makes its minute
    missing.
    """
    return tuple(
        f"minute_{minute:02d}_{field}"
        for minute in range(first, MINUTES_IN_BAR)
        for field in ("open", "high", "low", "close", "volume")
    )


def _feature(
    name: str, unit: str, low: float, high: float, formula: str, inputs: tuple[str, ...]
) -> Definition:
    return Definition(
        name=name,
        unit=unit,
        low=low,
        high=high,
        formula=formula,
        source="novosky roadmap, phase 10: intra-candle features of one-minute bars",
        inputs=inputs,
        warmup_bars=1,
        missing="nan",
    )


GROUP = Group(
    name="minutes",
    step=step,
    state_size=_SLOTS,
    features=(
        _feature(
            name="m1_price_accel_5",
            unit="ratio",
            low=-1.0,
            high=1.0,
            formula=(
                "(c0 - c5) / c5, c0 the close of the bar's last minute, c5 that 5 minutes before; "
                "held within +-1; NaN unless the last 6 minutes are all there"
            ),
            inputs=_inputs(9),
        ),
        _feature(
            name="m1_vol_ratio_5",
            unit="ratio",
            low=0.0,
            high=_MOST,
            formula=(
                "mean volume of the last 5 minutes / of the 5 before, held to at most 100; NaN "
                "unless the last 10 minutes are all there and the earlier 5 traded"
            ),
            inputs=_inputs(5),
        ),
        _feature(
            name="m1_rsi_9",
            unit="index",
            low=0.0,
            high=100.0,
            formula=(
                "Wilder's RSI9 of the closes of all minutes seen, 0..100, 50 without movement; "
                "NaN unless the last minute is there"
            ),
            inputs=_inputs(0),
        ),
        _feature(
            name="m1_atr_3",
            unit="ratio",
            low=0.0,
            high=float("inf"),
            formula=(
                "ATR3 / close of the last minute, ATR3 the Wilder average of the true range over "
                "all minutes seen; NaN unless the last minute is there"
            ),
            inputs=_inputs(0),
        ),
        _feature(
            name="m1_body_pct",
            unit="ratio",
            low=0.0,
            high=1.0,
            formula=(
                "|close - open| / (high - low) of the last minute, at most 1; NaN where it has no "
                "range (the document adds a small number to the range and gets 0)"
            ),
            inputs=_inputs(14),
        ),
        Definition(
            name="minutes_missing",
            unit="flag",
            low=0.0,
            high=1.0,
            formula="1 when any of the bar's 15 one-minute bars is missing or unusable, else 0",
            source="defined here: absence is told to a model, never filled in",
            inputs=_inputs(0),
            warmup_bars=1,
            missing="never",
        ),
    ),
)
