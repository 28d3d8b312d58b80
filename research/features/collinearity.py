# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# scipy ships no types for this; what leaves this file is typed.
"""Which features say the same: clusters by rank correlation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAME = 0.9  # |ρ| from which two features are two names of one thing
MOST_ROWS = 20_000
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Features of which every two correlate by at least `weakest` in absolute rank.

    `centre` is the one closest to all others.
    """

    names: tuple[str, ...]
    centre: str
    weakest: float


@dataclass(frozen=True, slots=True)
class Collinearity:
    """`strength` float64[F, F] is |Spearman's ρ|, 0 where it is not defined; `order` puts what is
    alike side by side.
    """

    names: tuple[str, ...]
    strength: Float64
    order: tuple[int, ...]
    clusters: tuple[Cluster, ...]


def collinearity(values: Float64, names: Sequence[str]) -> Collinearity:
    """Return the clusters of at least two columns of float64[n, F], the largest first.

    Complete linkage on 1 − |ρ|, cut where every two of a cluster have |ρ| ≥ 0.9. Of more than
    20,000 rows every k-th is taken.
    """
    from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
    from scipy.spatial.distance import squareform

    strength = np.abs(spearman(values[:: -(-len(values) // MOST_ROWS)]))
    if len(names) < 2:
        return Collinearity(tuple(names), strength, tuple(range(len(names))), ())
    tree = linkage(squareform(1.0 - strength, checks=False), "complete")
    label = fcluster(tree, 1.0 - SAME, "distance")
    groups = [np.flatnonzero(label == one) for one in np.unique(label)]
    clusters = [_cluster(group, names, strength) for group in groups if len(group) > 1]
    clusters.sort(key=lambda one: (-len(one.names), one.names))
    order = tuple(int(leaf) for leaf in leaves_list(tree))
    return Collinearity(tuple(names), strength, order, tuple(clusters))


def _cluster(members: NDArray[np.intp], names: Sequence[str], strength: Float64) -> Cluster:
    inside = strength[np.ix_(members, members)]
    own = tuple(names[at] for at in map(int, members))
    return Cluster(own, own[int(np.argmax(inside.sum(axis=0)))], float(inside.min()))


def spearman(values: Float64) -> Float64:
    """Return the rank correlation of every two columns, float64[F, F], 1 on the diagonal.

    Ranks are taken among the values that a column has (ties share theirs) and correlated over the
    rows in which both have one; 0 where fewer than three are left or one of the two is constant.
    """
    from scipy.stats import rankdata

    present = np.isfinite(values)
    ranks = np.where(present, rankdata(values, axis=0, nan_policy="omit"), 0.0) / len(values)
    held = present.astype(np.float64)
    count = held.T @ held
    sums = ranks.T @ held
    squares = (ranks * ranks).T @ held
    rows = np.maximum(count, 1.0)
    covariance = ranks.T @ ranks / rows - sums * sums.T / rows**2
    variance = squares / rows - (sums / rows) ** 2
    varies = variance > 1e-11  # of ranks in 0 … 1: two different ones among 20,000 are above it
    sound = (count >= 3) & varies & varies.T
    scale = np.sqrt(np.where(sound, variance * variance.T, 1.0))
    found = np.where(sound, covariance / scale, 0.0)
    found = np.clip(found, -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found
