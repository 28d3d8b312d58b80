"""A series that an API keeps for months, filled with zeros, is a feature that says nothing."""

import numpy as np

from research.datasets.table import build
from research.labels.triple_barrier import Labels
from tests.kernel.features.worlds import BAR_MS, market
from tests.research.worlds import small_settings

YEARS_BARS = 730 * 96
SETTLEMENT_BARS = 32
FUNDING_LIMIT = 500
INTEREST_LIMIT = 500


def fetched(values: np.ndarray, limit: int) -> np.ndarray:
    """Return what one request of so many rows knows of a history, NaN before."""
    known = np.full(len(values), np.nan)
    known[-limit:] = values[-limit:]
    return known


def test_the_seeds_features_are_zero_for_most_of_what_is_learned():
    """500 settlements are 167 of 730 days, 500 quarters five: the rest is a constant zero."""
    rng = np.random.default_rng(2)
    settlements = fetched(rng.normal(0, 1e-4, YEARS_BARS // SETTLEMENT_BARS), FUNDING_LIMIT)
    funding = np.nan_to_num(np.repeat(settlements, SETTLEMENT_BARS))
    interest = np.nan_to_num(fetched(rng.normal(0, 0.01, YEARS_BARS), INTEREST_LIMIT))
    assert round(float((funding == 0.0).mean()), 2) == 0.77
    assert (interest == 0.0).mean() > 0.99


def test_our_training_table_leaves_such_a_series_out_and_names_it():
    """What is missing stays missing; a feature that is not there in every fold does not enter."""
    chosen = small_settings().validation
    bars = (chosen.first_train_weeks + 4 * chosen.block_weeks + 4) * 672
    obs = market(bars, seed=2)
    rng = np.random.default_rng(3)
    funding = fetched(rng.normal(0, 1, bars), bars // 4)
    features = np.column_stack([rng.uniform(20, 80, bars), funding])
    start = obs[:, 0].astype(np.int64) + BAR_MS
    labels = Labels(
        label=rng.integers(0, 3, bars).astype(np.int8),
        start_ms=start,
        end_ms=start + 48 * BAR_MS,
        valid=np.ones(bars, np.bool_),
    )
    table = build(
        bars=_bars(obs),
        features=features,
        labels=labels,
        feature_names=("rsi_14", "funding_rate_norm"),
        settings=chosen,
        bar_ms=BAR_MS,
        silent_bars=0,
    )
    assert table.feature_names == ("rsi_14",)
    assert table.left_out == ("funding_rate_norm",)
    assert table.coverage["funding_rate_norm"] == 0.0


def _bars(obs: np.ndarray):
    from kernel.bars import Bars

    return Bars(obs[:, 0].astype(np.int64), *obs[:, 1:6].T)
