# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# scipy ships no types for this; what leaves this file is typed.
"""Whether one model predicts better than another on the same rows, whose labels overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_TERMS = 4
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean difference of two losses with its 95 % interval and two-sided p-value.

    `terms` is the degrees of freedom: about how many independent stretches of rows there are.
    """

    mean: float
    low: float
    high: float
    p_value: float
    terms: int
    rows: int


def compare(differences: Float64, memory_rows: int) -> Difference:
    """Return the test of Diebold and Mariano (1995) that a mean loss difference is 0.

    `differences` float64[n] are those of consecutive rows; two rows `memory_rows` apart are taken
    to be independent, so it must exceed the bars that a label spans. The long-run variance is the
    mean of the first ⌈n / memory_rows⌉ squared cosine transforms and the statistic Student's t with
    as many degrees of freedom (Lazarus, Lewis, Stock and Watson, 2018): with overlapping labels it
    rejects as often as it says, where a variance of independent rows would reject at every turn.
    Raises ValueError for three times `memory_rows` rows or fewer, and for what is not finite.
    """
    n = len(differences)
    terms = -(-n // memory_rows) if memory_rows > 0 else 0
    if terms < LEAST_TERMS or not np.isfinite(differences).all():
        raise ValueError(
            f"differences: found {n} with {int(np.isfinite(differences).sum())} finite, expected "
            f"all finite and more than {(LEAST_TERMS - 1) * memory_rows}"
        )
    return _tested(float(differences.mean()), _long_run_deviation(differences, terms), terms, n)


def _tested(mean: float, deviation: float, terms: int, n: int) -> Difference:
    from scipy.stats import t

    if deviation == 0.0:
        return Difference(
            mean=mean, low=mean, high=mean, p_value=1.0 if mean == 0.0 else 0.0, terms=terms, rows=n
        )
    half = float(t.ppf(0.975, terms)) * deviation
    p_value = float(2.0 * t.sf(abs(mean) / deviation, terms))
    return Difference(
        mean=mean, low=mean - half, high=mean + half, p_value=p_value, terms=terms, rows=n
    )


def _long_run_deviation(differences: Float64, terms: int) -> float:
    """Return the standard deviation of the mean from the first `terms` cosine transforms."""
    n = len(differences)
    centred = differences - differences.mean()
    at = np.pi * (np.arange(n) + 0.5) / n
    transforms = [np.sqrt(2.0 / n) * np.cos(k * at) @ centred for k in range(1, terms + 1)]
    return float(np.sqrt(np.mean(np.square(transforms)) / n))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number: the family errs at most as often as each says.

    Holm, A Simple Sequentially Rejective Multiple Test Procedure (1979).
    """
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return []
    found: Any = multipletests(p_values, method="holm")
    return [float(one) for one in found[1]]
