"""Returns over 1, 4 and 16 bars."""

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    CLOSE,
    Observation,
    Out,
    State,
)

_COUNT = 0
_RING = 1
_BARS = 16


def step(state: State, obs: Observation, out: Out) -> None:
    """Write the simple returns and remember the close in a ring of 16."""
    count = int(state[_COUNT])
    close = obs[CLOSE]
    out[0] = _return(state, count, close, 1)
    out[1] = _return(state, count, close, 4)
    out[2] = _return(state, count, close, 16)
    state[_RING + count % _BARS] = close
    state[_COUNT] = count + 1.0


def _return(state: State, count: int, close: float, bars: int) -> float:
    if count < bars:
        return NAN
    return close / state[_RING + (count - bars) % _BARS] - 1.0


def _definition(name: str, bars: int) -> Definition:
    return Definition(
        name=name,
        unit="ratio",
        low=-1.0,
        high=float("inf"),
        formula=f"close / close {bars} bars earlier - 1; bars are counted as they exist",
        source="simple return",
        inputs=("close",),
        warmup_bars=bars + 1,
        missing="never",
    )


GROUP = Group(
    name="returns",
    step=step,
    state_size=_RING + _BARS,
    features=(
        _definition("return_1", 1),
        _definition("hourly_return", 4),
        _definition("return_16", 16),
    ),
)
