"""Named lists of features: what `features.yaml` says, spelled out against the catalogue."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from kernel.features.registry import FEATURES, GROUPS

_WHOLE = ".*"
_MEMBERS = {group.name: tuple(one.name for one in group.features) for group in GROUPS}

Entries = Annotated[tuple[str, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class FeatureSets:
    """The named sets, and the name of the one that the signal model is trained on.

    An entry is written as a feature or as `group.*`, which stands for the group's features in the
    order of the catalogue; `sets` holds features only. Raises ValueError for an unknown feature,
    group or set, an empty set, and a name that comes twice in one.
    """

    signal: str
    sets: dict[str, Entries]

    @field_validator("sets")
    @classmethod
    def _spelled_out(cls, written: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        sets = {name: tuple(spelled(name, entries)) for name, entries in written.items()}
        for name, features in sets.items():
            twice = sorted({one for one in features if features.count(one) > 1})
            if twice:
                raise ValueError(f"{name} has {twice[0]} twice, expected each name once")
        return sets

    @model_validator(mode="after")
    def _has_the_chosen_one(self) -> "FeatureSets":
        if self.signal not in self.sets:
            raise ValueError(f"signal is {self.signal}, expected one of {sorted(self.sets)}")
        return self


def spelled(name: str, entries: tuple[str, ...]) -> Iterator[str]:
    """Yield the features that `entries` stand for; raise ValueError for what is neither a feature
    nor `group.*`, under the name of the list that has it.
    """
    for entry in entries:
        group = entry.removesuffix(_WHOLE)
        if entry in FEATURES:
            yield entry
        elif entry.endswith(_WHOLE) and group in _MEMBERS:
            yield from _MEMBERS[group]
        else:
            raise ValueError(
                f"{name} has {entry}, expected one of the catalogue's {len(FEATURES)} features, "
                f"or <group>.* of {', '.join(_MEMBERS)}"
            )
