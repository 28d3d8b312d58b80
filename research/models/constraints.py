"""Constraints on what a booster may learn, by the names of features and groups.

A column's number changes with the set of features and with what a week leaves out; a name does not.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator

from kernel.features.registry import FEATURES
from research.feature_sets import spelled


def _known(written: dict[str, Literal[-1, 1]]) -> dict[str, Literal[-1, 1]]:
    unknown = sorted(set(written) - set(FEATURES))
    if unknown:
        raise ValueError(
            f"monotone has {unknown[0]}, expected one of the catalogue's {len(FEATURES)} features"
        )
    return written


def _spelled_out(written: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    groups = tuple(tuple(spelled("interactions", entries)) for entries in written)
    names = [name for group in groups for name in group]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"interactions has {twice[0]} twice, expected each name in one list")
    return groups


Monotone = Annotated[dict[str, Literal[-1, 1]], AfterValidator(_known)]
Interactions = Annotated[tuple[tuple[str, ...], ...], AfterValidator(_spelled_out)]


def monotone_columns(monotone: Mapping[str, int], names: Sequence[str]) -> list[int]:
    """Return 1, -1 or 0 for each column: the score of every class rises or falls with it, or is
    free. A feature that is not among `names` this week constrains nothing.
    """
    return [monotone.get(name, 0) for name in names]


def interaction_columns(
    interactions: Sequence[Sequence[str]], names: Sequence[str]
) -> list[list[int]]:
    """Return the columns that may meet on one path of a tree: a list for each group that has any
    this week, and one of all that are in no group.
    """
    column = {name: at for at, name in enumerate(names)}
    groups = [[column[name] for name in group if name in column] for group in interactions]
    grouped = {name for group in interactions for name in group}
    rest = [at for name, at in column.items() if name not in grouped]
    return [group for group in (*groups, rest) if group]
