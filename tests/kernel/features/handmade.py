"""Observations of a few candles written by hand."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kernel.features.definition import Group
from kernel.observation import OBSERVATION_FIELDS
from tests.kernel.features import alone
from tests.kernel.features.worlds import BAR_MS, START_MS

Values = NDArray[np.float64]


def candles(
    close: Sequence[float],
    *,
    opens: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    low: Sequence[float] | None = None,
    volume: Sequence[float] | None = None,
    start_ms: int = START_MS,
) -> Values:
    """Return gapless observations float64[n, K] of these candles, all else missing.

    What is not given is the close, and a volume of 1.
    """
    obs = np.full((len(close), len(OBSERVATION_FIELDS)), np.nan)
    obs[:, 0] = start_ms + BAR_MS * np.arange(len(close))
    for column, values in enumerate((opens, high, low, None), start=1):
        obs[:, column] = close if values is None else values
    obs[:, 5] = 1.0 if volume is None else volume
    return obs


def feature(group: Group, name: str, obs: Values) -> list[float]:
    """Return one feature of a group bar by bar, from plain Python."""
    return alone.column(group, alone.stream(group, obs)[0], name).tolist()
