# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""Extremely randomised trees as a base of the stack."""

import dataclasses
from typing import Any

from pydantic.dataclasses import dataclass

from research.graphs import export
from research.models.base import FittedBase, TrainingRows, shares
from research.models.threads import pinned_threads
from research.strict import STRICT


@dataclass(frozen=True, slots=True, config=STRICT)
class ExtraTreesSettings:
    """Size of the forest, depth and leaves capped; `max_samples` and `max_features` are shares."""

    trees: int
    max_depth: int
    min_samples_leaf: int
    max_samples: float
    max_features: float


@dataclasses.dataclass(frozen=True, slots=True)
class ExtraTrees:
    """Trees that split at random places (Geurts et al., 2006), on a share of the rows each."""

    settings: ExtraTreesSettings
    name: str = "extra_trees"

    @pinned_threads("sklearn.ensemble")
    def fit(self, rows: TrainingRows, seed: int, n_jobs: int) -> FittedBase:
        """Fit the forest; the graph averages the leaves as scikit-learn does."""
        from sklearn.ensemble import ExtraTreesClassifier

        forest: Any = ExtraTreesClassifier
        model = forest(
            n_estimators=self.settings.trees,
            max_depth=self.settings.max_depth,
            min_samples_leaf=self.settings.min_samples_leaf,
            bootstrap=True,
            max_samples=self.settings.max_samples,
            max_features=self.settings.max_features,
            random_state=seed,
            n_jobs=n_jobs,
        )
        model.fit(rows.x, rows.y, sample_weight=rows.weight)
        return FittedBase(
            name=self.name,
            graph=export.scikit_learn(model, rows.x.shape[1]),
            native=model.predict_proba,
            importance=shares(model.feature_importances_),
            contributions=None,
        )


BASE = ExtraTrees
