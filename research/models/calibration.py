# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""Fitting what stands behind the votes: the meta-learner and one isotonic curve per class.

Labels overlap: 25,000 rows hold about a thousand independent ones. Both fits therefore count
labels by their uniqueness weights and start from a prior worth a stated number of labels: the
bases' geometric mean, and the identity.
"""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from kernel.decision import CLASSES
from research.graphs.fusion import Float64, Isotonic, Logistic, Meta, log_votes, softmax
from research.models.base import TrainingRows
from research.models.threads import pinned_threads
from research.strict import STRICT


@dataclass(frozen=True, slots=True, config=STRICT)
class MetaSettings:
    """Logistic meta-learner and isotonic curves, fitted on out-of-fold rows; priors count
    labels.
    """

    prior_labels: float
    fit_share: Annotated[float, Field(ge=0.1, le=0.9)]
    isotonic_bins: Annotated[int, Field(ge=1, le=1_000)]
    isotonic_prior_labels: float
    isotonic_min_step: Annotated[float, Field(ge=0.001, le=0.5)]


def fit_meta(earlier: TrainingRows, later: TrainingRows, settings: MetaSettings) -> Meta:
    """Return the regression fitted on `earlier` and the curves fitted on its predictions for
    `later`.

    The `x` of both are out-of-fold float32 votes as the graph computes them; no span of `earlier`
    reaches `later`. Weights are in independent labels.
    """
    logistic = fit_logistic(earlier, geometric_mean(earlier.x.shape[1]), settings.prior_labels)
    raw = logistic.predict(later.x)
    curves = tuple(
        fit_isotonic(raw[:, k], (later.y == k).astype(np.float64), later.weight, settings)
        for k in range(len(CLASSES))
    )
    return Meta(logistic, curves)


def geometric_mean(votes: int) -> Float64:
    """Return weights float64[votes,3] that average the bases' log-probabilities class by class."""
    bases = votes // len(CLASSES)
    return np.tile(np.eye(len(CLASSES)), (bases, 1)) / bases


@pinned_threads("scipy.optimize")
def fit_logistic(rows: TrainingRows, prior: Float64, prior_labels: float) -> Logistic:
    """Return multinomial logistic regression on log-votes, ridge-penalised towards `prior` weights.

    Minimises Σ weight·cross-entropy + prior_labels/2·(|weights − prior|² + |bias|²).
    """
    from scipy.optimize import minimize

    x = log_votes(rows.x)
    truth = np.eye(len(CLASSES))[rows.y]

    def loss(flat: Float64) -> tuple[float, Float64]:
        weights, bias = _unpacked(flat, prior)
        p = softmax(x @ weights + bias)
        surprise = -np.log(np.maximum((p * truth).sum(axis=1), 1e-300))
        residual = rows.weight[:, None] * (p - truth)
        slope = np.concatenate([(x.T @ residual).ravel(), residual.sum(axis=0)])
        value = float(rows.weight @ surprise) + prior_labels / 2 * float(flat @ flat)
        return value, slope + prior_labels * flat

    start = np.zeros(prior.size + len(CLASSES))
    found: Any = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return Logistic(*_unpacked(found.x, prior))


def _unpacked(flat: Float64, prior: Float64) -> tuple[Float64, Float64]:
    return prior + flat[: prior.size].reshape(prior.shape), flat[prior.size :]


@pinned_threads("scipy.optimize", "sklearn.isotonic")
def fit_isotonic(
    p: Float64, hit: Float64, weight: NDArray[np.float64], settings: MetaSettings
) -> Isotonic:
    """Return the isotonic regression of `hit` (0 or 1) on equal-count bins of `p`, as a polyline.

    Each bin is drawn to the identity by `isotonic_prior_labels`; beyond the outer bins the curve
    runs parallel to it. Knots are at least `isotonic_min_step` apart, which bounds the slope, and
    with it what the curve makes of a rounding error.
    """
    from sklearn.isotonic import IsotonicRegression

    parts = np.array_split(np.argsort(p, kind="stable"), min(settings.isotonic_bins, len(p)))
    mass = np.array([weight[rows].sum() for rows in parts])
    centre = np.array([np.average(p[rows], weights=weight[rows]) for rows in parts])
    share = np.array([np.average(hit[rows], weights=weight[rows]) for rows in parts])
    centre, share, mass = merge_close(centre, share, mass, settings.isotonic_min_step)
    prior = settings.isotonic_prior_labels
    drawn = (mass * share + prior * centre) / (mass + prior)
    model: Any = IsotonicRegression(y_min=0.0, y_max=1.0)
    fitted = model.fit(centre, drawn, sample_weight=mass + prior).predict(centre)
    return with_parallel_ends(centre, np.asarray(fitted, np.float64), settings.isotonic_min_step)


def merge_close(
    x: Float64, y: Float64, mass: Float64, min_step: float
) -> tuple[Float64, Float64, Float64]:
    """Return the points with each run of neighbours closer than `min_step` replaced by its centre
    of mass.

    `x` ascends; the returned x are at least `min_step` apart.
    """
    points: list[list[float]] = []
    for xi, yi, mi in zip(x.tolist(), y.tolist(), mass.tolist(), strict=True):
        if points and xi - points[-1][0] < min_step:
            px, py, pm = points[-1]
            total = pm + mi
            points[-1] = [(px * pm + xi * mi) / total, (py * pm + yi * mi) / total, total]
        else:
            points.append([xi, yi, mi])
    merged = np.array(points)
    return merged[:, 0], merged[:, 1], merged[:, 2]


def with_parallel_ends(x: Float64, y: Float64, min_step: float) -> Isotonic:
    """Return the curve through (x, y), extended at slope at most 1 to 0 and to 1."""
    if x[0] > min_step:
        x, y = np.append(0.0, x), np.append(max(0.0, y[0] - x[0]), y)
    if x[-1] < 1.0 - min_step:
        x, y = np.append(x, 1.0), np.append(y, min(1.0, y[-1] + 1.0 - x[-1]))
    return Isotonic(x, y)
