"""How much of each window of the walk-forward pass a series covers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.features.registry import feature
from kernel.observation import OBSERVATION_FIELDS, SERIES
from research.folds import Fold


@dataclass(frozen=True, slots=True)
class SeriesShare:
    """The share of a window's rows in which a series has a value; 0 is a value, NaN is none.

    `enters` says whether a feature made of the series is in the training table.
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
    """Return the share of every slow series in every window, by series.

    `observations` float64[n, 11] are the training table's rows as `kernel.observation.observe`
    returns them; the folds index them. `feature_names` are the columns of the training table.
    """
    used = {name for chosen in feature_names for name in feature(chosen).inputs}
    parts = list(windows(len(observations), folds))
    return [
        SeriesShare(name, window, float(np.isfinite(values[rows]).mean()), name in used)
        for name in SERIES
        for values in [observations[:, OBSERVATION_FIELDS.index(name)]]
        for window, rows in parts
    ]
