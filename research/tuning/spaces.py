"""What a search may try of a base, and how it judges: `tuning.yaml` and `tuning/<base>.yaml`."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field
from pydantic.dataclasses import dataclass

from kernel.digest import canonical_json
from kernel.errors import SettingsError
from kernel.trading_settings import TradingSettings
from research.models.base import Base
from research.strict import STRICT, read
from research.tuning.names import FOLDER

Value = float | int | str
Objective = Literal["log_loss", "sharpe"]


@dataclass(frozen=True, slots=True, config=STRICT)
class Integers:
    """The whole numbers from `low` to `high`, `step` apart, or even in their logarithm."""

    kind: Literal["integer"]
    low: int
    high: int
    step: Annotated[int, Field(ge=1)] = 1
    log: bool = False

    def __post_init__(self) -> None:
        _require_order(self.low, self.high, log=self.log)


@dataclass(frozen=True, slots=True, config=STRICT)
class Reals:
    """The numbers from `low` to `high`, even in themselves or in their logarithm."""

    kind: Literal["real"]
    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _require_order(self.low, self.high, log=self.log)


@dataclass(frozen=True, slots=True, config=STRICT)
class Choice:
    """One of the values that are listed."""

    kind: Literal["choice"]
    of: Annotated[tuple[Value, ...], Field(min_length=1)]


Parameter = Annotated[Integers | Reals | Choice, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True, config=STRICT)
class Space:
    """What may be tried of each setting that is named; the others stay as they are."""

    parameters: Annotated[dict[str, Parameter], Field(min_length=1)]


@dataclass(frozen=True, slots=True, config=STRICT)
class TuningSettings:
    """How a search judges.

    The first `startup_trials` are drawn at random and never pruned. A base alone is no candidate:
    in a trial its probabilities are traded at `min_confidence` and `min_prob_diff` of their own.
    """

    objective: Objective
    seed: int
    startup_trials: Annotated[int, Field(ge=1, le=1_000)]
    min_confidence: Annotated[float, Field(ge=0.34, le=1)]
    min_prob_diff: Annotated[float, Field(ge=0, le=1)]

    def traded(self, trading: TradingSettings) -> TradingSettings:
        """Return the trading settings under which a trial's predictions are traded."""
        return replace(
            trading, min_confidence=self.min_confidence, min_prob_diff=self.min_prob_diff
        )


class Suggester(Protocol):
    """What draws the parameters of a trial; an Optuna trial is one."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        """Return a whole number."""
        ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        """Return a number."""
        ...

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return one of the choices."""
        ...


def load_tuning(folder: Path) -> TuningSettings:
    """Return what `tuning.yaml` says; raise `SettingsError` as every reader of settings."""
    return read(TuningSettings, folder / "tuning.yaml")


def load_space(folder: Path, base: Base) -> Space:
    """Return the space of a base.

    Raises `SettingsError` for a missing file, a wrong key, and a name that is no setting of it.
    """
    path = folder / FOLDER / f"{base.name}.yaml"
    space = read(Space, path)
    settings = {one.name for one in dataclasses.fields(base.settings)}
    strange = sorted(set(space.parameters) - settings)
    if strange:
        raise SettingsError(
            f"{path}: found {strange[0]}, expected one of {', '.join(sorted(settings))}"
        )
    return space


def with_parameters(base: Base, parameters: Mapping[str, Value]) -> Base:
    """Return the base with these of its settings changed; ValueError for what they may not be."""
    changed: Any = replace(base.settings, **parameters)
    made: Any = type(base)
    return made(changed)


def parameters_of(base: Base) -> dict[str, Any]:
    """Return the settings of a base by name, lists as a file of settings has them."""
    return json.loads(canonical_json(asdict(base.settings)))


def suggest(space: Space, trial: Suggester) -> dict[str, Value]:
    """Return a value for every parameter, drawn in the order of their names."""
    return {name: _drawn(name, space.parameters[name], trial) for name in sorted(space.parameters)}


def _drawn(name: str, parameter: Integers | Reals | Choice, trial: Suggester) -> Value:
    match parameter:
        case Integers():
            return trial.suggest_int(
                name, parameter.low, parameter.high, step=parameter.step, log=parameter.log
            )
        case Reals():
            return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
        case Choice():
            return trial.suggest_categorical(name, list(parameter.of))


def _require_order(low: float, high: float, *, log: bool) -> None:
    if low > high or (log and low <= 0):
        least = "above 0 and " if log else ""
        raise ValueError(f"low is {low} and high {high}, expected low {least}at most high")
