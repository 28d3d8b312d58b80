"""The mood of the market."""

from kernel.features.bounds import NAN, finite
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    FEAR_GREED,
    Observation,
    Out,
    State,
)


def step(state: State, obs: Observation, out: Out) -> None:  # noqa: ARG001  the one signature
    """Write the fear and greed index as a share; it needs no state."""
    index = obs[FEAR_GREED]
    out[0] = index / 100.0 if finite(index) else NAN


GROUP = Group(
    name="sentiment",
    step=step,
    state_size=0,
    features=(
        Definition(
            name="fear_greed",
            unit="ratio",
            low=0.0,
            high=1.0,
            formula="fear and greed index / 100",
            source="alternative.me crypto fear and greed index, daily",
            inputs=("fear_greed",),
            warmup_bars=1,
            missing="nan",
        ),
    ),
)
