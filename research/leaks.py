"""Whether observations hold only what was known: the as-of join, done again the slow way."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, isnan, nan

import numpy as np
from numpy.typing import NDArray

from kernel.observation import MAX_AGE_MS, OBSERVATION_FIELDS, Series

Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Leak:
    """One value of a series that was used before it was known; `at_ms` is a bar's close, or the
    event of a row that counts as known too early.
    """

    series: str
    at_ms: int
    found: str
    expected: str


def known_too_early(series: Mapping[str, Series], earliest_ms: Mapping[str, int]) -> list[Leak]:
    """Return the rows that count as known earlier than `earliest_ms` after their event."""
    leaks: list[Leak] = []
    for name, rows in series.items():
        after_ms = rows.known_at_ms - rows.event_time_ms
        leaks += [
            Leak(
                name,
                int(rows.event_time_ms[row]),
                f"known {int(after_ms[row])} ms after its event",
                f"at least {earliest_ms[name]} ms",
            )
            for row in np.flatnonzero(after_ms < earliest_ms[name]).tolist()
        ]
    return leaks


def used_too_early(
    observed: NDArray[np.float64],
    close_ms: Times,
    series: Mapping[str, Series],
    *,
    samples: int,
    seed: int,
) -> list[Leak]:
    """Return the observations that differ from what the rows known at the bar's close say.

    `observed` float64[n, 11] is what `kernel.observation.observe` made of bars that close at
    `close_ms` int64[n]. Each series is looked up anew, without that join, at bars drawn at random
    and at the last bar before and the first after rows drawn at random became known.
    """
    if not len(close_ms):
        return []
    rng = np.random.default_rng(seed)
    leaks: list[Leak] = []
    for name, rows in series.items():
        values = observed[:, OBSERVATION_FIELDS.index(name)]
        for bar in _drawn(rng, close_ms, rows, samples).tolist():
            expected = _known_value(rows, int(close_ms[bar]))
            found = float(values[bar])
            if found != expected and not (isnan(found) and isnan(expected)):
                leaks.append(Leak(name, int(close_ms[bar]), f"{found!r}", f"{expected!r}"))
    return leaks


def _drawn(
    rng: np.random.Generator, close_ms: Times, rows: Series, samples: int
) -> NDArray[np.intp]:
    """Return bars, ascending: some at random, and those on either side of a publication."""
    anywhere = rng.integers(0, len(close_ms), samples)
    known_ms = rows.known_at_ms
    published = known_ms[rng.integers(0, len(known_ms), samples)] if len(known_ms) else known_ms
    first = np.searchsorted(close_ms, published, side="left")
    drawn = np.concatenate((anywhere, first - 1, first))
    return np.unique(drawn[(drawn >= 0) & (drawn < len(close_ms))])


def _known_value(rows: Series, close_ms: int) -> float:
    """Return the value of the latest event among the rows known at the close, NaN if too old."""
    known = np.flatnonzero(rows.known_at_ms <= close_ms)
    if not len(known):
        return nan
    event_ms = int(rows.event_time_ms[known].max())
    latest = known[rows.event_time_ms[known] == event_ms]
    learned_ms = rows.known_at_ms[latest].max()
    stated = [float(x) for x in rows.value[latest[rows.known_at_ms[latest] == learned_ms]]]
    value = max(stated, key=lambda x: x if isfinite(x) else np.inf)
    fresh = close_ms - event_ms <= MAX_AGE_MS[rows.name]
    return value + 0.0 if fresh and isfinite(value) else nan
