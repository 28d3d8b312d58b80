"""Proof that a feature cannot see the future: cut the future off, or scramble it, and nothing
before may change.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.features.registry import FEATURES

Compute = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], Any]]


@dataclass(frozen=True, slots=True)
class Certificate:
    """How often a feature's past changed when its future did, over all `cuts`.

    `values` counts the values of the whole history that are not NaN: without any, nothing was
    proved. `mismatches` counts the values that differed at a cut.
    """

    feature: str
    cuts: int
    values: int
    mismatches: int


def certify(
    compute: Compute,
    obs: NDArray[np.float64],
    rng: np.random.Generator,
    cuts: int,
    names: Sequence[str] = FEATURES,
) -> list[Certificate]:
    """Return one certificate per feature of `compute`, whose columns are `names`.

    `cuts` random bars of `obs`, float64[n, K], are tried, always including the first alone, the
    last but one and the last. At each, the features up to that bar are compared byte for byte with
    those of the whole history: once with the future cut off, and once with the future scrambled.
    Raises ValueError for fewer than 2 bars.
    """
    if len(obs) < 2:
        raise ValueError(f"leak certificate: found {len(obs)} bars, expected 2 or more")
    features = compute(obs)[0]
    values = np.isfinite(features).sum(axis=0)
    whole = _bits(features)
    ends = _cut_points(len(obs), rng, cuts)
    mismatches = np.zeros(len(names), dtype=np.int64)
    for end in ends:
        for variant in (obs[:end], _scrambled_after(obs, end, rng)):
            mismatches += (_bits(compute(variant)[0])[:end] != whole[:end]).sum(axis=0)
    return [
        Certificate(name, len(ends), int(found), int(count))
        for name, found, count in zip(names, values, mismatches, strict=True)
    ]


def _cut_points(bars: int, rng: np.random.Generator, cuts: int) -> list[int]:
    fixed = {1, bars - 1, bars}
    drawn = rng.choice(np.arange(1, bars + 1), size=min(cuts, bars), replace=False)
    return sorted(fixed | {int(end) for end in drawn})


def _scrambled_after(
    obs: NDArray[np.float64], end: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return `obs` with every value from row `end` on replaced by that of another future row,
    stretched by up to 3 %.
    """
    scrambled = obs.copy()
    future = scrambled[end:]
    if len(future):
        shuffled = future[rng.permutation(len(future))]
        future[:, 1:] = shuffled[:, 1:] * rng.uniform(0.97, 1.03, (len(future), 1))
    return scrambled


def _bits(features: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.ascontiguousarray(features).view(np.int64)
