"""What the perpetual's funding rate and open interest say."""

from kernel.features.bounds import NAN, finite
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    FUNDING_RATE,
    OPEN_INTEREST,
    Observation,
    Out,
    State,
    clip,
)

_COUNT = 0
_RING = 1
_BARS = 16
_CAP = 0.003


def step(state: State, obs: Observation, out: Out) -> None:
    """Write the capped funding rate and the change of open interest over 16 bars."""
    rate = obs[FUNDING_RATE]
    out[0] = clip(rate, -_CAP, _CAP) / _CAP if finite(rate) else NAN
    out[1] = _change(state, obs[OPEN_INTEREST])


def _change(state: State, interest: float) -> float:
    """Return interest over its value 16 bars ago, less 1, within -1..1; a missing value is kept as
    0.
    """
    known = interest if finite(interest) and interest > 0.0 else 0.0
    slot = _RING + int(state[_COUNT]) % _BARS
    earlier = state[slot]
    state[slot] = known
    state[_COUNT] += 1.0
    if known == 0.0 or earlier == 0.0:
        return NAN
    return clip(known / earlier - 1.0, -1.0, 1.0)


GROUP = Group(
    name="derivatives",
    step=step,
    state_size=_RING + _BARS,
    features=(
        Definition(
            name="funding_rate_norm",
            unit="ratio",
            low=-1.0,
            high=1.0,
            formula="funding rate held within +-0.003, / 0.003",
            source="perpetual funding, paid every 8 hours",
            inputs=("funding_rate",),
            warmup_bars=1,
            missing="nan",
        ),
        Definition(
            name="oi_change",
            unit="ratio",
            low=-1.0,
            high=1.0,
            formula="open interest / open interest 16 bars earlier - 1, held within +-1",
            source="open interest of the perpetual over four hours",
            inputs=("open_interest",),
            warmup_bars=17,
            missing="nan",
        ),
    ),
)
