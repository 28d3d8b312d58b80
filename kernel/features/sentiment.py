"""The mood of the market."""

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    FEAR_GREED,
    Observation,
    Out,
    State,
)


def step(state: State, obs: Observation, out: Out) -> None:  # noqa: ARG001  the one signature
    """Write the fear and greed index as a share, and whether it is missing; it needs no state."""
    index = obs[FEAR_GREED]
    present = 0.0 <= index <= 100.0
    out[0] = index / 100.0 if present else NAN
    out[1] = 0.0 if present else 1.0


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
            formula="fear and greed index / 100; an index outside 0..100 counts as missing",
            source="alternative.me crypto fear and greed index, daily; novosky roadmap 17.1",
            inputs=("fear_greed",),
            warmup_bars=1,
            missing="nan",
        ),
        Definition(
            name="fear_greed_missing",
            unit="flag",
            low=0.0,
            high=1.0,
            formula="1 when the fear and greed index is missing at the close, else 0",
            source="defined here: absence is told to a model, never filled in",
            inputs=("fear_greed",),
            warmup_bars=1,
            missing="never",
        ),
    ),
)
