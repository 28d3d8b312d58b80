"""How far predicted probabilities are from what happened, and how much the bases disagree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.decision import CLASSES
from research.settings import WEEK_MS

BINS = 5
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reliability:
    """One class in equal-count bins: mean predicted probability, observed share, rows.

    `sampling_error` is the standard error of predicted − observed, with whole weeks as the units
    that vary: neighbouring labels overlap, and what the features miss lasts for days.
    """

    name: str
    predicted: Float64
    observed: Float64
    sampling_error: Float64
    rows: NDArray[np.int64]

    @property
    def mae(self) -> float:
        """Return the mean distance of predicted from observed, each bin counting its rows."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.rows))

    @property
    def excess(self) -> float:
        """Return the mean distance beyond what sampling explains: √max(0, distance² − error²).

        Twelve weeks of true probabilities show a plain distance of 0.02 to 0.06, so that a
        threshold on it would judge luck (Kumar, Liang and Ma, Verified Uncertainty Calibration,
        2019).
        """
        squared = (self.predicted - self.observed) ** 2 - self.sampling_error**2
        return float(np.average(np.sqrt(np.maximum(squared, 0.0)), weights=self.rows))


def reliability(
    probabilities: NDArray[np.floating],
    y: NDArray[np.int8],
    start_ms: NDArray[np.int64],
    bins: int = BINS,
) -> tuple[Reliability, ...]:
    """Return the reliability of each class over rows of float[n,3], decided at `start_ms`.

    Rows without a label (-1) are left out.
    """
    known = y >= 0
    if int(known.sum()) < bins:
        raise ValueError(
            f"reliability: found {int(known.sum())} labelled rows, expected at least {bins}"
        )
    p, truth = probabilities[known].astype(np.float64), y[known]
    week = start_ms[known] // WEEK_MS
    return tuple(
        _reliability(name, p[:, k], (truth == k).astype(np.float64), week, bins)
        for k, name in enumerate(CLASSES)
    )


def _reliability(
    name: str, p: Float64, hit: Float64, week: NDArray[np.int64], bins: int
) -> Reliability:
    parts = np.array_split(np.argsort(p, kind="stable"), bins)
    return Reliability(
        name,
        np.array([p[part].mean() for part in parts]),
        np.array([hit[part].mean() for part in parts]),
        np.array([clustered_error(p[part] - hit[part], week[part]) for part in parts]),
        np.array([len(part) for part in parts]),
    )


def clustered_error(values: Float64, cluster: NDArray[np.int64]) -> float:
    """Return the standard error of the mean of `values` whose clusters are independent.

    0 for a single cluster: it shows no variation that could excuse an error.
    """
    names, member = np.unique(cluster, return_inverse=True)
    if len(names) < 2:
        return 0.0
    sums = np.bincount(member, weights=values - values.mean())
    share = len(names) / (len(names) - 1)
    return float(np.sqrt(share * np.sum(sums**2))) / len(values)


def calibration_mae(curves: tuple[Reliability, ...]) -> float:
    """Return the calibration error beyond sampling, averaged over the classes."""
    return float(np.mean([curve.excess for curve in curves]))


def disagreement(votes: NDArray[np.floating]) -> float:
    """Return the share of rows in which the bases' most likely classes are not all the same."""
    choices = votes.reshape(len(votes), -1, len(CLASSES)).argmax(axis=2)
    return float((choices != choices[:, :1]).any(axis=1).mean())
