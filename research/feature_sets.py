"""Named lists of features: what `features.yaml` says, spelled out against the catalogue."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kernel.features.registry import FEATURES, GROUPS
from research.strict_yaml import SettingsError, load

_WHOLE = ".*"


@dataclass(frozen=True, slots=True)
class FeatureSets:
    """The named sets, and the name of the one that the signal model is trained on.

    An entry of a set is a feature or `group.*`, which stands for the group's features in the order
    of the catalogue.
    """

    signal: str
    sets: dict[str, tuple[str, ...]]


def load_feature_sets(path: Path) -> FeatureSets:
    """Return the sets of a file with every entry spelled out as features.

    Raises SettingsError for an unknown feature, group or set, an empty set, and a name that comes
    twice in one.
    """
    written = load(FeatureSets, path)
    if written.signal not in written.sets:
        raise SettingsError(
            f"{path}: signal is {written.signal}, expected one of {sorted(written.sets)}"
        )
    groups = {group.name: tuple(one.name for one in group.features) for group in GROUPS}
    sets = {
        name: tuple(_spelled(entries, groups, path, f"sets.{name}"))
        for name, entries in written.sets.items()
    }
    for name, features in sets.items():
        _check(features, path, f"sets.{name}")
    return FeatureSets(written.signal, sets)


def _spelled(
    entries: tuple[str, ...], groups: Mapping[str, tuple[str, ...]], path: Path, key: str
) -> Iterator[str]:
    for entry in entries:
        group = entry.removesuffix(_WHOLE)
        if entry in FEATURES:
            yield entry
        elif entry.endswith(_WHOLE) and group in groups:
            yield from groups[group]
        else:
            raise SettingsError(
                f"{path}: {key} is {entry}, expected one of the catalogue's {len(FEATURES)} "
                f"features, or <group>.* of {', '.join(groups)}"
            )


def _check(features: tuple[str, ...], path: Path, key: str) -> None:
    if not features:
        raise SettingsError(f"{path}: {key} is (), expected at least one feature")
    twice = sorted({name for name in features if features.count(name) > 1})
    if twice:
        raise SettingsError(f"{path}: {key} is {twice[0]} twice, expected each name once")
