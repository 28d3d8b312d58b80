# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""XGBoost with dropped trees as a base of the stack."""

import dataclasses
import json
from typing import Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from research.graphs import export
from research.models.base import FittedBase, TrainingRows, mean_contribution, shares
from research.models.constraints import Interactions, Monotone
from research.models.threads import pinned_threads
from research.models.xgboost import constraints, contributions
from research.strict import STRICT


@dataclass(frozen=True, slots=True, config=STRICT)
class XGBoostDartSettings:
    """Boosting that leaves earlier trees out of a round with `rate_drop`, and none with
    `skip_drop`.
    """

    rounds: int
    max_depth: int
    learning_rate: float
    rate_drop: float
    skip_drop: float
    max_delta_step: float
    min_child_weight: float
    subsample: float
    colsample: float
    reg_lambda: float
    max_bin: int
    monotone: Monotone = Field(default_factory=dict)
    interactions: Interactions = ()


@dataclasses.dataclass(frozen=True, slots=True)
class XGBoostDart:
    """Dropouts meet Multiple Additive Regression Trees (Rashmi and Gilad-Bachrach, 2015)."""

    settings: XGBoostDartSettings
    name: str = "xgboost_dart"

    @pinned_threads("xgboost")
    def fit(self, rows: TrainingRows, seed: int, n_jobs: int) -> FittedBase:
        """Fit the booster, then fold what dropping made of each tree into its leaves."""
        from xgboost import XGBClassifier

        model: Any = XGBClassifier(
            booster="dart",
            n_estimators=self.settings.rounds,
            max_depth=self.settings.max_depth,
            learning_rate=self.settings.learning_rate,
            rate_drop=self.settings.rate_drop,
            skip_drop=self.settings.skip_drop,
            max_delta_step=self.settings.max_delta_step,
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
        plain = without_dropping(model)
        return FittedBase(
            name=self.name,
            graph=export.xgboost(plain, rows.x.shape[1]),
            native=lambda x: np.asarray(plain.predict_proba(x), np.float64),
            importance=shares(model.feature_importances_),
            contributions=lambda x: mean_contribution(contributions(plain, x), x.shape[1]),
        )


def without_dropping(model: Any) -> Any:
    """Return the plain boosted trees that predict as a fitted DART model does.

    DART scales each tree by a weight of its own, which no converter knows: a leaf's value times its
    tree's weight says the same.
    """
    from xgboost import Booster, XGBClassifier

    saved = json.loads(bytes(model.get_booster().save_raw("json")))
    boosting = saved["learner"]["gradient_booster"]
    trees = boosting["gbtree"]["model"]
    for tree, weight in zip(trees["trees"], boosting["weight_drop"], strict=True):
        for node, left in enumerate(tree["left_children"]):
            if left == -1:  # a leaf: its value stands where a node has its threshold
                for field in ("split_conditions", "base_weights"):
                    tree[field][node] = float(np.float32(tree[field][node] * weight))
    saved["learner"]["gradient_booster"] = {"model": trees, "name": "gbtree"}
    booster: Any = Booster()
    booster.load_model(bytearray(json.dumps(saved).encode()))
    plain: Any = XGBClassifier(
        n_estimators=model.n_estimators,
        booster="gbtree",
        n_jobs=model.n_jobs,
        objective=model.objective,
    )
    plain._Booster = booster
    plain.n_classes_ = model.n_classes_
    return plain


BASE = XGBoostDart
