"""Run the catalogue: over history in one compiled pass per group, or live, bar by bar.

Both fold the same step functions over the same state, so that a batch, a stream, a restart at any bar and any
chunking give the same bytes. Only `compute` compiles; `Stream` never loads a compiler.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.compiled import compiled
from kernel.features.bounds import blank, seal, usable
from kernel.features.calendar import BARS_SEEN, LAST_OPEN_TIME
from kernel.features.definition import Step
from kernel.features.registry import FEATURES, GROUPS, STATE_SIZE, WARMUP_BARS, slices
from kernel.observation import OBSERVATION_FIELDS

_STATE_SLICES = slices([group.state_size for group in GROUPS])
_OUT_SLICES = slices([len(group.features) for group in GROUPS])


def initial_state() -> NDArray[np.float64]:
    """Return the state before the first bar, float64[STATE_SIZE]."""
    return np.zeros(STATE_SIZE)


def is_warm(state: NDArray[np.float64]) -> bool:
    """Return whether enough bars were seen for every feature whose inputs are present to have a value."""
    return bool(state[BARS_SEEN] >= WARMUP_BARS)


def compute(
    obs: NDArray[np.float64], state: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the features of each bar, float64[n, F] in the order of `FEATURES`, and the state after the last bar.

    `obs` is float64[n, K] from `kernel.observation.observe`, ascending in time; `state`, by default the initial one, is
    left as it is. A bar with unusable prices gives a row of NaN and changes nothing. Raises ValueError for wrong shapes
    and for a bar that does not open after the one before it.
    """
    rows = _checked_rows(obs)
    after = initial_state() if state is None else _checked_state(state)
    out = np.empty((len(rows), len(FEATURES)))
    disorder = int(compiled(_first_disorder)(rows, after))
    if disorder >= 0:
        earlier = max(after[LAST_OPEN_TIME], rows[:disorder, 0].max(initial=0.0))
        raise _disordered(rows[disorder, 0], earlier)
    for group, state_slice, out_slice in zip(GROUPS, _STATE_SLICES, _OUT_SLICES, strict=True):
        compiled(_fold_of(group.step))(after[state_slice], rows, out[:, out_slice])
    return out, after


class Stream:
    """The catalogue, live: push each closed bar once, in order of time.

    `state` continues where a snapshot was taken; by default it starts from nothing. Plain Python on lists.
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

        `obs` holds K floats in the order of `OBSERVATION_FIELDS`. Raises ValueError for a wrong length and for a bar
        that does not open after the last one.
        """
        row = [float(x) for x in obs]
        if len(row) != len(OBSERVATION_FIELDS):
            raise ValueError(
                f"observation: found {len(row)} values, expected {len(OBSERVATION_FIELDS)}"
            )
        if not usable(row):
            out = [0.0] * len(FEATURES)
            blank(out)
            return out
        if self._clock[BARS_SEEN] > 0.0 and row[0] <= self._clock[LAST_OPEN_TIME]:
            raise _disordered(row[0], self._clock[LAST_OPEN_TIME])
        features: list[float] = []
        for step, state, size in self._groups:
            out = [0.0] * size
            step(state, row, out)
            features += out
        seal(features)
        return features

    def snapshot(self) -> NDArray[np.float64]:
        """Return a copy of the state, float64[STATE_SIZE]."""
        return np.array([x for _, state, _ in self._groups for x in state])

    @property
    def bars_seen(self) -> int:
        """Return how many usable bars the state has taken in."""
        return int(self._clock[BARS_SEEN])


@functools.cache
def _fold_of(step: Step) -> Callable[..., Any]:
    """Return the fold of one group's step over history; compiled, the step is compiled into it."""

    def fold(
        state: NDArray[np.float64], rows: NDArray[np.float64], out: NDArray[np.float64]
    ) -> None:
        for i in range(len(rows)):
            if usable(rows[i]):
                step(state, rows[i], out[i])
                seal(out[i])
            else:
                blank(out[i])

    return fold


def _first_disorder(rows: NDArray[np.float64], state: NDArray[np.float64]) -> int:
    """Return the index of the first usable bar that does not open after the one before it, or -1."""
    latest = state[LAST_OPEN_TIME]
    seen = state[BARS_SEEN] > 0.0
    for i in range(len(rows)):
        if usable(rows[i]):
            if seen and rows[i, 0] <= latest:
                return i
            latest = rows[i, 0]
            seen = True
    return -1


def _disordered(found_ms: float, latest_ms: float) -> ValueError:
    return ValueError(
        f"observation: found a bar that opens at {found_ms:.0f} ms after one at {latest_ms:.0f} ms, "
        "expected ascending open times; push each bar once"
    )


def _checked_rows(obs: NDArray[np.float64]) -> NDArray[np.float64]:
    if obs.ndim != 2 or obs.shape[1] != len(OBSERVATION_FIELDS):
        raise ValueError(
            f"observations: found shape {obs.shape}, expected (n, {len(OBSERVATION_FIELDS)})"
        )
    return np.ascontiguousarray(obs, dtype=np.float64)


def _checked_state(state: NDArray[np.float64]) -> NDArray[np.float64]:
    if state.shape != (STATE_SIZE,):
        raise ValueError(f"feature state: found shape {state.shape}, expected ({STATE_SIZE},)")
    return np.array(state, dtype=np.float64)
