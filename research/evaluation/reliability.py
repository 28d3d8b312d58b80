"""How far predicted probabilities are from what happened, and how much the bases disagree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.decision import CLASSES

BINS = 5
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reliability:
    """One class in equal-count bins: mean predicted probability, observed share, rows (float64,
    float64, int64).
    """

    name: str
    predicted: Float64
    observed: Float64
    rows: NDArray[np.int64]

    @property
    def mae(self) -> float:
        """Return the mean distance of predicted from observed, each bin counting its rows."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.rows))


def reliability(
    probabilities: NDArray[np.floating], y: NDArray[np.int8], bins: int = BINS
) -> tuple[Reliability, ...]:
    """Return the reliability of each class over rows of float[n,3]; rows without a label (-1) are
    left out.
    """
    known = y >= 0
    if int(known.sum()) < bins:
        raise ValueError(
            f"reliability: found {int(known.sum())} labelled rows, expected at least {bins}"
        )
    p = probabilities[known].astype(np.float64)
    truth = y[known]
    return tuple(_reliability(name, p[:, k], truth == k, bins) for k, name in enumerate(CLASSES))


def _reliability(name: str, p: Float64, hit: NDArray[np.bool_], bins: int) -> Reliability:
    parts = np.array_split(np.argsort(p, kind="stable"), bins)
    return Reliability(
        name,
        np.array([p[part].mean() for part in parts]),
        np.array([hit[part].mean() for part in parts]),
        np.array([len(part) for part in parts]),
    )


def calibration_mae(probabilities: NDArray[np.floating], y: NDArray[np.int8]) -> float:
    """Return the calibration error: five equal-count bins a class, averaged over the classes."""
    return float(np.mean([curve.mae for curve in reliability(probabilities, y)]))


def disagreement(votes: NDArray[np.floating]) -> float:
    """Return the share of rows in which the bases' most likely classes are not all the same."""
    choices = votes.reshape(len(votes), -1, len(CLASSES)).argmax(axis=2)
    return float((choices != choices[:, :1]).any(axis=1).mean())
