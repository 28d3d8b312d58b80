# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""Extremely randomised trees as a base of the stack."""

import dataclasses

from research.models.base import FittedBase, TrainingRows
from research.models.forest import ForestSettings, fit_forest


@dataclasses.dataclass(frozen=True, slots=True)
class ExtraTrees:
    """Trees that split at random places (Geurts et al., 2006), on a share of the rows each."""

    settings: ForestSettings
    name: str = "extra_trees"

    def fit(self, rows: TrainingRows, seed: int, n_jobs: int) -> FittedBase:
        """Fit the forest."""
        from sklearn.ensemble import ExtraTreesClassifier

        return fit_forest(
            ExtraTreesClassifier,
            self.settings,
            rows,
            name=self.name,
            seed=seed,
            n_jobs=n_jobs,
        )


BASE = ExtraTrees
