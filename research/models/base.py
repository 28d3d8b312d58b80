# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The model libraries ship no types; what leaves this file is typed.
"""The bases of the stack: each learns from float32 rows without NaN and hands back its ONNX
graph.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kernel.decision import CLASSES
from research.graphs import export
from research.settings import (
    LightGBMSettings,
    ModelSettings,
    RandomForestSettings,
    XGBoostSettings,
)

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Rows to fit on: `x` float32[n,F] without NaN, `y` int8[n] class indices, `weight`
    float64[n] above 0.
    """

    x: Float32
    y: NDArray[np.int8]
    weight: Float64


@dataclass(frozen=True, slots=True)
class FittedBase:
    """A fitted base.

    `graph` is ONNX, float32[N,F] `input` → float32[N,3] `probabilities` in class order. `native`
    computes the same through the library that trained it (float64[N,3]). `importance` float64[F]
    sums to 1. `contributions` gives the mean absolute SHAP value per feature (float64[F]), or None
    where the library has no fast one.
    """

    name: str
    graph: bytes
    native: Callable[[Float32], Float64]
    importance: Float64
    contributions: Callable[[Float32], Float64] | None


class Base(Protocol):
    """A learner of class probabilities."""

    @property
    def name(self) -> str:
        """Return the name under which the base is tracked."""
        ...

    def fit(self, rows: TrainingRows, seed: int, n_jobs: int) -> FittedBase:
        """Return the base fitted on `rows`; equal arguments give equal graph bytes."""
        ...


def bases(settings: ModelSettings) -> tuple[Base, ...]:
    """Return the bases in the order of the graph's votes."""
    return (
        RandomForest(settings.random_forest),
        XGBoost(settings.xgboost),
        LightGBM(settings.lightgbm),
    )


def with_every_class(rows: TrainingRows) -> TrainingRows:
    """Return `rows` with a nearly weightless row for each absent class, so that every base has
    three columns.
    """
    absent = np.setdiff1d(np.arange(len(CLASSES)), rows.y)
    if len(absent) == 0:
        return rows
    middle = np.median(rows.x, axis=0).astype(np.float32)
    return TrainingRows(
        np.concatenate([rows.x, np.tile(middle, (len(absent), 1))]),
        np.concatenate([rows.y, absent.astype(np.int8)]),
        np.concatenate([rows.weight, np.full(len(absent), 1e-6 * float(rows.weight.mean()))]),
    )


@dataclass(frozen=True, slots=True)
class RandomForest:
    """Bagged trees on a share of the rows each."""

    settings: RandomForestSettings
    name: str = "random_forest"

    def fit(self, rows: TrainingRows, seed: int, n_jobs: int) -> FittedBase:
        """Fit the forest; the graph averages the leaves as scikit-learn does."""
        from sklearn.ensemble import RandomForestClassifier

        forest: Any = RandomForestClassifier
        model = forest(
            n_estimators=self.settings.trees,
            max_depth=self.settings.max_depth,
            min_samples_leaf=self.settings.min_samples_leaf,
            max_samples=self.settings.max_samples,
            max_features=self.settings.max_features,
            random_state=seed,
            n_jobs=n_jobs,
        )
        model.fit(rows.x, rows.y, sample_weight=rows.weight)
        return FittedBase(
            self.name,
            export.random_forest(model, rows.x.shape[1]),
            model.predict_proba,
            _shares(model.feature_importances_),
            None,
        )


@dataclass(frozen=True, slots=True)
class XGBoost:
    """Level-wise histogram boosting."""

    settings: XGBoostSettings
    name: str = "xgboost"

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
        )
        model.fit(rows.x, rows.y, sample_weight=rows.weight)
        return FittedBase(
            self.name,
            export.xgboost(model, rows.x.shape[1]),
            lambda x: np.asarray(model.predict_proba(x), np.float64),
            _shares(model.feature_importances_),
            lambda x: _mean_contribution(_xgboost_contributions(model, x), x.shape[1]),
        )


@dataclass(frozen=True, slots=True)
class LightGBM:
    """Leaf-wise histogram boosting; its thresholds are floored to float32, in Python and in the
    graph alike.
    """

    settings: LightGBMSettings
    name: str = "lightgbm"

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
        )
        model.fit(rows.x, rows.y, sample_weight=rows.weight)
        booster: Any = export.with_float32_thresholds(model.booster_)
        return FittedBase(
            self.name,
            export.lightgbm(booster, rows.x.shape[1]),
            lambda x: np.asarray(booster.predict(x, num_threads=n_jobs), np.float64),
            _shares(booster.feature_importance("gain")),
            lambda x: _mean_contribution(
                np.asarray(booster.predict(x, pred_contrib=True)), x.shape[1]
            ),
        )


def _shares(importance: Any) -> Float64:
    values = np.asarray(importance, np.float64)
    total = float(values.sum())
    return values / total if total > 0 else np.full(len(values), 1.0 / len(values))


def _xgboost_contributions(model: Any, x: Float32) -> Float64:
    from xgboost import DMatrix

    return np.asarray(model.get_booster().predict(DMatrix(x), pred_contribs=True), np.float64)


def _mean_contribution(contributions: Float64, features: int) -> Float64:
    """Average |SHAP| over rows and classes; the last column of each class is its expected value."""
    by_class = contributions.reshape(len(contributions), len(CLASSES), features + 1)
    return np.abs(by_class[:, :, :features]).mean(axis=(0, 1))
