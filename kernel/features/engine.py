"""Run the catalogue: over history in one compiled pass per group, or live, bar by bar.

Both fold the same step functions over the same state, so that a batch, a stream, a restart at any
bar and any chunking give the same bytes. Only `compute` compiles; `Stream` never loads a compiler.
"""

import functools
from collections.abc import Callable, MutableSequence, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.compiled import compiled
from kernel.features.bounds import NAN, blank, usable
from kernel.features.calendar import BARS_SEEN, LAST_OPEN_TIME
from kernel.features.definition import Step
from kernel.features.registry import FEATURES, GROUPS, STATE_SIZE, slices
from kernel.observation import OBSERVATION_FIELDS

_STATE_SLICES = slices([group.state_size for group in GROUPS])
_OUT_SLICES = slices([len(group.features) for group in GROUPS])
BLOCK_BARS = 2048  # observations and features of a block stay in the processor's cache


def initial_state() -> NDArray[np.float64]:
    """Return the state before the first bar, float64[STATE_SIZE]."""
    return np.zeros(STATE_SIZE)


def grown(state: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the state of an earlier catalogue, float64[S'], with the groups that came since at
    their start.

    New groups only ever come behind the others. Raises ValueError for a state that does not end
    where a group does.
    """
    ends = [place.stop for place in _STATE_SLICES]
    if len(state) not in ends:
        raise ValueError(f"feature state: found {len(state)} numbers, expected one of {ends}")
    result = initial_state()
    result[: len(state)] = state
    return result


def compute(
    obs: NDArray[np.float64], state: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the features of each bar, float64[n, F] in the order of `FEATURES`, and the state
    after the last bar.

    `obs` is float64[n, K] from `kernel.observation.observe`, ascending in time; `state`, by default
    the initial one, is left as it is. A bar with unusable prices gives a row of NaN and changes
    nothing. Raises ValueError for wrong shapes and for a bar that does not open after the one
    before it.
    """
    rows = _checked_rows(obs)
    after = initial_state() if state is None else _checked_state(state)
    fit = _fit_rows(rows, after)
    out = np.empty((len(rows), len(FEATURES)))
    folds = [compiled(fold_of(group.step)) for group in GROUPS]
    for start in range(0, len(rows), BLOCK_BARS):
        block = slice(start, start + BLOCK_BARS)
        for fold, state_slice, out_slice in zip(folds, _STATE_SLICES, _OUT_SLICES, strict=True):
            fold(
                after[state_slice],
                rows[block],
                fit[block],
                out[block],
                out_slice.start,
                out_slice.stop,
            )
    return out, after


class Stream:
    """The catalogue, live: push each closed bar once, in order of time.

    `state` continues where a snapshot was taken; by default it starts from nothing. Plain Python on
    lists.
    """

    def __init__(self, state: NDArray[np.float64] | None = None) -> None:
        start = (initial_state() if state is None else _checked_state(state)).tolist()
        self._groups: list[tuple[Step, list[float], int]] = [
            (group.step, start[state_slice], len(group.features))
            for group, state_slice in zip(GROUPS, _STATE_SLICES, strict=True)
        ]
        self._clock = self._groups[0][1]

    def push(self, obs: Sequence[float]) -> list[float]:
        """Return the features of one closed bar, F floats in the order of `FEATURES`.

        `obs` holds K floats in the order of `OBSERVATION_FIELDS`. Raises ValueError for a wrong
        length and for a bar that does not open after the last one.
        """
        row = [float(x) for x in obs]
        if len(row) != len(OBSERVATION_FIELDS):
            raise ValueError(
                f"observation: found {len(row)} values, expected {len(OBSERVATION_FIELDS)}"
            )
        if not usable(row):
            return [NAN] * len(FEATURES)
        if self._clock[BARS_SEEN] > 0.0 and row[0] <= self._clock[LAST_OPEN_TIME]:
            raise _disordered(row[0], self._clock[LAST_OPEN_TIME])
        features: list[float] = []
        for step, state, size in self._groups:
            out = [0.0] * size
            step(state, row, out)
            features += out
        return features

    def snapshot(self) -> NDArray[np.float64]:
        """Return a copy of the state, float64[STATE_SIZE]."""
        states = (state for _, state, _ in self._groups)
        return np.fromiter(chain.from_iterable(states), np.float64, STATE_SIZE)

    @property
    def bars_seen(self) -> int:
        """Return how many usable bars the state has taken in."""
        return int(self._clock[BARS_SEEN])


@functools.cache
def fold_of(step: Step) -> Callable[..., Any]:
    """Return the fold of one group's step over history, writing columns first..stop-1 of `out`.

    Compiled, the step is compiled into it. Arrays only: it relies on slices being views.
    """

    def fold(
        state: MutableSequence[float],
        rows: Sequence[Sequence[float]],
        fit: Sequence[bool],
        out: Sequence[MutableSequence[float]],
        first: int,
        stop: int,
    ) -> None:
        for i in range(len(rows)):
            own = out[i][first:stop]
            if fit[i]:
                step(state, rows[i], own)
            else:
                blank(own)

    return fold


def _fit_rows(rows: NDArray[np.float64], state: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return bool[n], which bars are usable; raise ValueError where one opens too early."""
    fit = np.empty(len(rows), dtype=np.bool_)
    latest = state[LAST_OPEN_TIME] if state[BARS_SEEN] > 0.0 else -1.0
    disorder = int(compiled(mark_usable)(rows, latest, fit))
    if disorder >= 0:
        earlier = rows[:disorder, 0][fit[:disorder]].max(initial=latest)
        raise _disordered(rows[disorder, 0], earlier)
    return fit


def mark_usable(rows: NDArray[np.float64], latest: float, fit: NDArray[np.bool_]) -> int:
    """Mark usable bars; return the index of the first that opens too early, or -1."""
    for i in range(len(rows)):
        fit[i] = usable(rows[i])
        if fit[i]:
            if rows[i, 0] <= latest:
                return i
            latest = rows[i, 0]
    return -1


def _disordered(found_ms: float, latest_ms: float) -> ValueError:
    return ValueError(
        f"observation: found a bar at {found_ms:.0f} ms after one at {latest_ms:.0f} ms, "
        "expected ascending open times; push each bar once"
    )


def _checked_rows(obs: NDArray[np.float64]) -> NDArray[np.float64]:
    if obs.ndim != 2 or obs.shape[1] != len(OBSERVATION_FIELDS):
        raise ValueError(
            f"observations: found shape {obs.shape}, expected (n, {len(OBSERVATION_FIELDS)})"
        )
    return np.require(obs, np.float64, ["C_CONTIGUOUS", "WRITEABLE"])  # one layout, one compilation


def _checked_state(state: NDArray[np.float64]) -> NDArray[np.float64]:
    if state.shape != (STATE_SIZE,):
        raise ValueError(f"feature state: found shape {state.shape}, expected ({STATE_SIZE},)")
    if not np.isfinite(state).all():
        slot = int(np.flatnonzero(~np.isfinite(state))[0])
        raise ValueError(
            f"feature state: found {state[slot]} in slot {slot}, expected finite floats"
        )
    return np.array(state, dtype=np.float64)
