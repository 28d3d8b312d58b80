"""Traded volume against its own average, and its lean towards the high or the low."""

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    CLOSE,
    HIGH,
    LOW,
    VOLUME,
    Observation,
    Out,
    State,
)

_COUNT = 0
_BARS = 20
_VOLUMES = 1
_LEANS = _VOLUMES + _BARS
_SLOTS = _LEANS + _BARS


def step(state: State, obs: Observation, out: Out) -> None:
    """Write volume over its 20-bar mean and the money flow of the 20 bars."""
    volume = obs[VOLUME]
    count = int(state[_COUNT])
    slot = count % _BARS
    state[_VOLUMES + slot] = volume
    state[_LEANS + slot] = volume * _lean(obs[HIGH], obs[LOW], obs[CLOSE])
    state[_COUNT] = count + 1.0
    total = 0.0
    leaning = 0.0
    for i in range(_BARS):
        total += state[_VOLUMES + i]
        leaning += state[_LEANS + i]
    if count + 1 < _BARS or total <= 0.0:
        out[0] = NAN
        out[1] = NAN
        return
    out[0] = volume / (total / _BARS)
    out[1] = min(max(leaning / total, -1.0), 1.0)


def _lean(high: float, low: float, close: float) -> float:
    """Return where the bar closed: +1 at its high, -1 at its low, 0 in the middle or without a
    range.
    """
    if high <= low:
        return 0.0
    return min(max(((close - low) - (high - close)) / (high - low), -1.0), 1.0)


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
    ),
)
