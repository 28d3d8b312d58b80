"""How much of each window of the walk-forward pass a series covers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.features.registry import feature, flags_a_missing_input
from kernel.observation import (
    DEPTH_FIELDS,
    FUNDING_FIELDS,
    MINUTE_FIELDS,
    OBSERVATION_FIELDS,
    SERIES,
    TRADE_FIELDS,
)
from research.validation.folds import Fold

SOURCES = {  # what can be missing, and the observation's fields in which it shows
    **{name: (name,) for name in SERIES},
    "minutes": MINUTE_FIELDS,
    "trades": TRADE_FIELDS,
    "book": DEPTH_FIELDS,
}


@dataclass(frozen=True, slots=True)
class SeriesShare:
    """The share of a window's rows in which a series has a value; 0 is a value, NaN is none.

    Minutes, trades and the book count where they are whole.

    `enters` says whether a feature made of the series is in the training table; a flag that says
    where it is missing does not count.
    """

    series: str
    window: str
    share: float
    enters: bool


def windows(rows: int, folds: Sequence[Fold]) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Yield name and rows of the whole table, then of each fold's training and test rows."""
    yield "whole", np.arange(rows)
    for number, fold in enumerate(folds):
        for name, inside in (("train", fold.train), ("test", fold.test)):
            if len(inside):
                yield f"fold {number} {name}", inside


def series_shares(
    observations: NDArray[np.float64], folds: Sequence[Fold], feature_names: Sequence[str]
) -> list[SeriesShare]:
    """Return the share of every series, of minutes, trades and book in every window, by series.

    `observations` float64[n, K] are the training table's rows as `kernel.observation.observe`
    returns them; the folds index them. `feature_names` are the columns of the training table.
    """
    speaking = [name for name in feature_names if not flags_a_missing_input(name)]
    used = {name for chosen in speaking for name in feature(chosen).inputs}
    if not used.isdisjoint(FUNDING_FIELDS):
        used.add("funding_rate")
    parts = list(windows(len(observations), folds))
    return [
        SeriesShare(name, window, float(there[rows].mean()), not used.isdisjoint(columns))
        for name, columns in SOURCES.items()
        for there in [_whole(observations, columns)]
        for window, rows in parts
    ]


def _whole(observations: NDArray[np.float64], columns: Sequence[str]) -> NDArray[np.bool_]:
    """Return bool[n]: where every one of these fields has a value."""
    first = OBSERVATION_FIELDS.index(columns[0])
    there: NDArray[np.bool_] = np.isfinite(observations[:, first : first + len(columns)])
    return np.logical_and.reduce(there, axis=1)
