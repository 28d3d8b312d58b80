# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""What the forests of scikit-learn share: their settings, and how one is fitted."""

from typing import Any

from pydantic.dataclasses import dataclass

from research.graphs import export
from research.models.base import FittedBase, TrainingRows, shares
from research.models.threads import pinned_threads
from research.strict import STRICT


@dataclass(frozen=True, slots=True, config=STRICT)
class ForestSettings:
    """Size of the forest, depth and leaves capped; `max_samples` and `max_features` are shares."""

    trees: int
    max_depth: int
    min_samples_leaf: int
    max_samples: float
    max_features: float


@pinned_threads("sklearn.ensemble")
def fit_forest(
    kind: Any, settings: ForestSettings, rows: TrainingRows, *, name: str, seed: int, n_jobs: int
) -> FittedBase:
    """Fit the estimator `kind` on a share of the rows per tree; the graph averages the leaves as
    scikit-learn does.
    """
    model = kind(
        n_estimators=settings.trees,
        max_depth=settings.max_depth,
        min_samples_leaf=settings.min_samples_leaf,
        bootstrap=True,
        max_samples=settings.max_samples,
        max_features=settings.max_features,
        random_state=seed,
        n_jobs=n_jobs,
    )
    model.fit(rows.x, rows.y, sample_weight=rows.weight)
    return FittedBase(
        name=name,
        graph=export.scikit_learn(model, rows.x.shape[1]),
        native=model.predict_proba,
        importance=shares(model.feature_importances_),
        contributions=None,
    )
