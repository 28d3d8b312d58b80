"""Which bases the stack has: the one list that settings, votes, figures and tests go by."""

from research.models.base import Base
from research.models.lightgbm_base import LightGBM
from research.models.random_forest import RandomForest
from research.models.xgboost_base import XGBoost
from research.settings import ModelSettings


def bases(settings: ModelSettings) -> tuple[Base, ...]:
    """Return the bases in the order of the graph's votes, each named as its file of settings."""
    return (
        RandomForest(settings.random_forest),
        XGBoost(settings.xgboost),
        LightGBM(settings.lightgbm),
    )
