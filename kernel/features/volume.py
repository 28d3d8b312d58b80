"""Traded volume against its own average, and the side on which it was traded."""

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import CLOSE, HIGH, LOW, VOLUME, Observation, Out, State, clip
from kernel.features.windows import sliding_total

_BARS = 20
_MFI_BARS = 14
_SURGE = 2.0
_ROUNDING = 1e-12  # of a price; the least real change in three recorded years is 3e-7
_COUNT = 0
_CLOSE = 1
_TYPICAL = 2
_TRADED = 3
_VOLUMES = 4
_LEANS = _VOLUMES + 2 + _BARS
_SIGNED = _LEANS + 2 + _BARS
_GAINED = _SIGNED + 2 + _BARS
_LOST = _GAINED + 2 + _MFI_BARS
_SLOTS = _LOST + 2 + _MFI_BARS


def step(state: State, obs: Observation, out: Out) -> None:
    """Write volume against the 20 bars before and among them, and its lean by range and change."""
    high = obs[HIGH]
    low = obs[LOW]
    close = obs[CLOSE]
    volume = obs[VOLUME]
    before = state[_TRADED]
    traded = sliding_total(state, _VOLUMES, _BARS, volume)
    leaning = sliding_total(state, _LEANS, _BARS, volume * _lean(high, low, close))
    state[_TRADED] = traded
    state[_COUNT] += 1.0
    known = state[_COUNT] >= _BARS and traded > 0.0
    out[0] = min(volume / traded * _BARS, 20.0) if known else NAN
    out[1] = clip(leaning / traded, -1.0, 1.0) if known else NAN
    surges = 1.0 if volume > _SURGE * (before / _BARS) else 0.0
    out[2] = surges if state[_COUNT] > _BARS else NAN
    out[3] = _money_flow(state, (high + low + close) / 3.0, volume)
    out[4] = _balance_slope(state, close, volume, traded)


def _lean(high: float, low: float, close: float) -> float:
    """Return where the bar closed: +1 at its high, -1 at its low, 0 in the middle or without a
    range.
    """
    if high <= low:
        return 0.0
    return clip(((close - low) - (high - close)) / (high - low), -1.0, 1.0)


def _money_flow(state: State, typical: float, volume: float) -> float:
    """Return the share of positive money flow over 14 bars, 0..100.

    Three prices of the same decimal sum may differ in the last bit of their binary one: a change
    within rounding is none.
    """
    previous = state[_TYPICAL]
    state[_TYPICAL] = typical
    if previous == 0.0:
        return NAN
    flow = typical * volume
    change = typical - previous
    least = _ROUNDING * previous
    gained = sliding_total(state, _GAINED, _MFI_BARS, flow if change > least else 0.0)
    lost = sliding_total(state, _LOST, _MFI_BARS, flow if change < -least else 0.0)
    if state[_COUNT] < _MFI_BARS + 1:
        return NAN
    return 100.0 * (gained / (gained + lost)) if gained + lost > 0.0 else 50.0


def _balance_slope(state: State, close: float, volume: float, traded: float) -> float:
    """Return the change of on-balance volume over 20 bars as a share of what was traded."""
    previous = state[_CLOSE]
    state[_CLOSE] = close
    if previous == 0.0:
        return NAN
    signed = volume if close > previous else -volume if close < previous else 0.0
    change = sliding_total(state, _SIGNED, _BARS, signed)
    if state[_COUNT] < _BARS + 1 or traded <= 0.0:
        return NAN
    return clip(change / traded, -1.0, 1.0)


GROUP = Group(
    name="volume",
    step=step,
    state_size=_SLOTS,
    features=(
        Definition(
            name="volume_ratio",
            unit="ratio",
            low=0.0,
            high=20.0,
            formula="volume / mean volume of the last 20 bars; NaN when none was traded",
            source="relative volume",
            inputs=("volume",),
            warmup_bars=20,
            missing="nan",
        ),
        Definition(
            name="volume_delta",
            unit="ratio",
            low=-1.0,
            high=1.0,
            formula=(
                "sum of volume * ((close - low) - (high - close)) / (high - low) over 20 bars / "
                "sum of volume; a proxy for bought minus sold volume; NaN when none was traded"
            ),
            source="Chaikin money flow",
            inputs=("high", "low", "close", "volume"),
            warmup_bars=20,
            missing="nan",
        ),
        Definition(
            name="volume_surge",
            unit="flag",
            low=0.0,
            high=1.0,
            formula="1 when volume > 2 * mean volume of the 20 bars before, else 0",
            source="defined here: the document only names it; twice the usual, the bar not counted",
            inputs=("volume",),
            warmup_bars=21,
            missing="never",
        ),
        Definition(
            name="mfi_14",
            unit="index",
            low=0.0,
            high=100.0,
            formula=(
                "100 * gained / (gained + lost) over 14 bars: p * volume with "
                "p = (high + low + close) / 3 is gained where p rose, lost where it fell, by more "
                "than 10^-12 of it, which is rounding; 50 where neither (TA-Lib 0.8 draws that "
                "line between 10^-14 and 10^-13, and gives 0 where they sum to less than 1)"
            ),
            source="Quong and Soudack, Volume-Weighted RSI, Stocks & Commodities 7:3, 1989",
            inputs=("high", "low", "close", "volume"),
            warmup_bars=15,
            missing="never",
        ),
        Definition(
            name="obv_slope",
            unit="ratio",
            low=-1.0,
            high=1.0,
            formula=(
                "(OBV - OBV 20 bars earlier) / volume of those 20 bars; OBV adds the volume of a "
                "bar that closed higher and takes that of one that closed lower; NaN when none was "
                "traded"
            ),
            source="Granville, Granville's New Key to Stock Market Profits, 1963",
            inputs=("close", "volume"),
            warmup_bars=21,
            missing="nan",
        ),
    ),
)
