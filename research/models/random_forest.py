# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""The random forest of the stack."""

import dataclasses

from research.models.base import FittedBase, TrainingRows
from research.models.forest import ForestSettings, fit_forest


@dataclasses.dataclass(frozen=True, slots=True)
class RandomForest:
    """Bagged trees on a share of the rows each."""

    settings: ForestSettings
    name: str = "random_forest"

    def fit(self, rows: TrainingRows, seed: int, n_jobs: int) -> FittedBase:
        """Fit the forest."""
        from sklearn.ensemble import RandomForestClassifier

        return fit_forest(
            RandomForestClassifier,
            self.settings,
            rows,
            name=self.name,
            seed=seed,
            n_jobs=n_jobs,
        )


BASE = RandomForest
