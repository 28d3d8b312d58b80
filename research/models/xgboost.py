# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""XGBoost as a base of the stack."""

import dataclasses
import json
from typing import Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from research.graphs import export
from research.models.base import (
    FittedBase,
    Float32,
    Float64,
    TrainingRows,
    mean_contribution,
    shares,
)
from research.models.constraints import (
    Interactions,
    Monotone,
    interaction_columns,
    monotone_columns,
)
from research.models.threads import pinned_threads
from research.strict import STRICT


@dataclass(frozen=True, slots=True, config=STRICT)
class XGBoostSettings:
    """Histogram gradient boosting, level-wise, under constraints by the names of features."""

    rounds: int
    max_depth: int
    learning_rate: float
    min_child_weight: float
    subsample: float
    colsample: float
    reg_lambda: float
    max_bin: int
    monotone: Monotone = Field(default_factory=dict)
    interactions: Interactions = ()


@dataclasses.dataclass(frozen=True, slots=True)
class XGBoost:
    """Level-wise histogram boosting."""

    settings: XGBoostSettings
    name: str = "xgboost"

    @pinned_threads("xgboost")
    def fit(self, rows: TrainingRows, seed: int, n_jobs: int) -> FittedBase:
        """Fit the booster from a fixed base score: the converter knows no per-class intercept."""
        from xgboost import XGBClassifier

        model: Any = XGBClassifier(
            n_estimators=self.settings.rounds,
            max_depth=self.settings.max_depth,
            learning_rate=self.settings.learning_rate,
            min_child_weight=self.settings.min_child_weight,
            subsample=self.settings.subsample,
            colsample_bytree=self.settings.colsample,
            reg_lambda=self.settings.reg_lambda,
            max_bin=self.settings.max_bin,
            tree_method="hist",
            base_score=0.5,
            random_state=seed,
            n_jobs=n_jobs,
            **constraints(self.settings.monotone, self.settings.interactions, rows.names),
        )
        model.fit(rows.x, rows.y, sample_weight=rows.weight)
        return FittedBase(
            name=self.name,
            graph=export.xgboost(model, rows.x.shape[1]),
            native=lambda x: np.asarray(model.predict_proba(x), np.float64),
            importance=shares(model.feature_importances_),
            contributions=lambda x: mean_contribution(contributions(model, x), x.shape[1]),
        )


def constraints(
    monotone: Monotone, interactions: Interactions, names: tuple[str, ...]
) -> dict[str, Any]:
    """Return XGBoost's arguments for the constraints that are set."""
    arguments: dict[str, Any] = {}
    if monotone:
        arguments["monotone_constraints"] = tuple(monotone_columns(monotone, names))
    if interactions:
        columns = interaction_columns(interactions, names)
        arguments["interaction_constraints"] = json.dumps(columns)  # lists would be of names
    return arguments


def contributions(model: Any, x: Float32) -> Float64:
    """Return XGBoost's SHAP values, float64[n, 3, F + 1]."""
    from xgboost import DMatrix

    return np.asarray(model.get_booster().predict(DMatrix(x), pred_contribs=True), np.float64)


BASE = XGBoost
