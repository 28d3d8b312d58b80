"""What a feature and a feature group are."""

from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Literal

Missing = Literal["never", "nan", "absent"]
Step = Callable[[MutableSequence[float], Sequence[float], MutableSequence[float]], None]


@dataclass(frozen=True, slots=True)
class Definition:
    """What one feature means.

    `low` and `high` bound its value, `source` says where the formula comes from, `inputs` names the
    observation fields it reads. `warmup_bars` is the number of gapless bars after which it has a
    value. `missing` says what NaN means after that: "nan" that an input is missing or that the
    formula divides by nothing, "absent" that there is nothing to measure, such as the distance to a
    level where no level is, which a flag says too; "never" that there is none.
    """

    name: str
    unit: str
    low: float
    high: float
    formula: str
    source: str
    inputs: tuple[str, ...]
    warmup_bars: int
    missing: Missing


@dataclass(frozen=True, slots=True)
class Group:
    """Features that one step function computes from its own state and one observation.

    `step(state, observation, out)` advances `state` in place and writes one float per feature into
    `out`. All three are indexable floats: lists live, arrays over history. The step lives in the
    module `kernel.features.<name>`; `modules` names those beside it that its step uses.
    """

    name: str
    step: Step
    state_size: int
    features: tuple[Definition, ...]
    modules: tuple[str, ...] = ()
