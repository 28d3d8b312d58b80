# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""LightGBM as a base of the stack."""

import dataclasses
from typing import Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from research.graphs import export
from research.models.base import FittedBase, TrainingRows, mean_contribution, shares
from research.models.constraints import (
    Interactions,
    Monotone,
    interaction_columns,
    monotone_columns,
)
from research.models.threads import pinned_threads
from research.strict import STRICT


@dataclass(frozen=True, slots=True, config=STRICT)
class LightGBMSettings:
    """Histogram gradient boosting, leaf-wise, under constraints by the names of features."""

    rounds: int
    leaves: int
    learning_rate: float
    min_child_samples: int
    subsample: float
    colsample: float
    reg_lambda: float
    max_bin: int
    monotone: Monotone = Field(default_factory=dict)
    interactions: Interactions = ()


@dataclasses.dataclass(frozen=True, slots=True)
class LightGBM:
    """Leaf-wise histogram boosting; its thresholds are floored to float32, in Python and in the
    graph alike.
    """

    settings: LightGBMSettings
    name: str = "lightgbm"

    @pinned_threads("lightgbm")
    def fit(self, rows: TrainingRows, seed: int, n_jobs: int) -> FittedBase:
        """Fit the booster, then round its thresholds."""
        from lightgbm import LGBMClassifier

        model: Any = LGBMClassifier(
            n_estimators=self.settings.rounds,
            num_leaves=self.settings.leaves,
            learning_rate=self.settings.learning_rate,
            min_child_samples=self.settings.min_child_samples,
            subsample=self.settings.subsample,
            subsample_freq=1,
            colsample_bytree=self.settings.colsample,
            reg_lambda=self.settings.reg_lambda,
            max_bin=self.settings.max_bin,
            deterministic=True,
            force_row_wise=True,
            random_state=seed,
            n_jobs=n_jobs,
            verbose=-1,
            **_constraints(self.settings, rows.names),
        )
        model.fit(rows.x, rows.y, sample_weight=rows.weight)
        booster: Any = export.with_float32_thresholds(model.booster_)
        return FittedBase(
            name=self.name,
            graph=export.lightgbm(booster, rows.x.shape[1]),
            native=lambda x: np.asarray(booster.predict(x, num_threads=n_jobs), np.float64),
            importance=shares(booster.feature_importance("gain")),
            contributions=lambda x: mean_contribution(
                np.asarray(booster.predict(x, pred_contrib=True)), x.shape[1]
            ),
        )


def _constraints(settings: LightGBMSettings, names: tuple[str, ...]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if settings.monotone:
        arguments["monotone_constraints"] = monotone_columns(settings.monotone, names)
    if settings.interactions:
        arguments["interaction_constraints"] = interaction_columns(settings.interactions, names)
    return arguments


BASE = LightGBM
