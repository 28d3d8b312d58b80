"""Boosters obey constraints by the names of features, whatever the columns' order."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from research.models.base import TrainingRows
from research.models.bases import load
from research.models.constraints import interaction_columns, monotone_columns
from tests.research.worlds import CONFIGS

NAMES = ("mvrv", "rsi_14", "adx_14")
BOOSTERS = ("xgboost", "xgboost_dart", "lightgbm")


def rows(order: tuple[int, ...] = (0, 1, 2)) -> TrainingRows:
    """Return rows in which BUY falls with `rsi_14`, more so the higher `adx_14` is."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4_000, 3)).astype(np.float32)
    score = -x[:, 1] * (1 + (x[:, 2] > 0)) + rng.normal(0, 0.7, 4_000)
    y = np.digitize(score, [-0.5, 0.5]).astype(np.int8)
    at = list(order)
    return TrainingRows(x[:, at], y, np.ones(4_000), tuple(NAMES[k] for k in at))


def constrained(name: str, **changes: Any) -> Any:
    base: Any = load(name, CONFIGS / "models")
    return replace(base, settings=replace(base.settings, **{"colsample": 1.0} | changes))


def said(base: Any, order: tuple[int, ...]) -> np.ndarray:
    """Return what the base, fitted on columns in that order, says of the first rows."""
    training = rows(order)
    return base.fit(training, seed=1, n_jobs=1).native(training.x[:300])


@pytest.mark.parametrize("name", BOOSTERS)
def test_a_constraint_goes_with_its_feature_wherever_it_stands(name: str):
    """Held to rise with `rsi_14`, scores are others than free ones, and the same whichever column
    the feature is.
    """
    held = constrained(name, monotone={"rsi_14": 1, "fear_greed": -1}, subsample=1.0)
    found = said(held, (0, 1, 2))
    assert np.abs(found - said(held, (1, 2, 0))).max() < 1e-3
    assert np.abs(found - said(constrained(name, subsample=1.0), (0, 1, 2))).max() > 0.05


@pytest.mark.parametrize("name", BOOSTERS)
def test_features_of_two_lists_do_not_meet(name: str):
    """Kept apart, what `rsi_14` does to a class's score is the same at any `adx_14`."""
    grid = np.array([[0, r, a] for a in (-1, 1) for r in (-1, 1)], np.float32)
    spread = {}
    for label, lists in (("free", ()), ("apart", (("rsi_14",), ("adx_14",)))):
        base = constrained(name, interactions=lists)
        p = base.fit(rows(), seed=1, n_jobs=1).native(grid)
        odds = np.log(p[:, 2] / p[:, 0])
        spread[label] = abs((odds[1] - odds[0]) - (odds[3] - odds[2]))
    assert spread["apart"] < 1e-4
    assert spread["free"] > 0.05


def test_columns_follow_the_names():
    """A feature that is not there constrains nothing, and what is in no list is a list."""
    assert monotone_columns({"adx_14": -1, "fear_greed": 1}, NAMES) == [0, 0, -1]
    lists = (("adx_14", "fear_greed"), ("funding_zscore",))
    assert interaction_columns(lists, NAMES) == [[2], [0, 1]]
