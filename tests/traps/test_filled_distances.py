"""A distance of 0 says that price sits on the level; where there is no level ours says nothing."""

import numpy as np

from kernel.features.smart_money import GROUP
from tests.kernel.features import alone
from tests.kernel.features.worlds import market
from tests.traps.seed_smart_money import NAMES, add_smc_features

BARS = 300


def still() -> np.ndarray:
    """Return a market that moves by nothing: no block, no gap, no pool to be far from."""
    flat = market(BARS, seed=1)
    flat[:, 1:5] = (100.0, 101.0, 99.0, 100.0)
    return flat


def on_a_level(distance: np.ndarray) -> np.ndarray:
    """Return where a rule "at the level, within a tenth of an ATR" would act."""
    return np.abs(distance) <= 0.1


def test_the_seed_sits_on_levels_that_do_not_exist():
    """`fillna(0.0)`: without any gap or block a rule on the distance fires on every bar."""
    values = add_smc_features(still())[0]
    for name in ("ob_bullish_dist", "fvg_bull_dist", "fvg_bear_dist"):
        assert on_a_level(values[:, NAMES.index(name)]).all(), name


def test_our_distance_to_no_level_is_no_number():
    """The same rule on the same market never fires, and the flag beside it says that none is."""
    values, _ = alone.batch(GROUP, still())
    for name in ("ob_bullish_dist", "fvg_bull_dist", "fvg_bear_dist"):
        distance = alone.column(GROUP, values, name)
        assert np.isnan(distance).all(), name
        assert not on_a_level(distance).any()
    assert not np.nan_to_num(alone.column(GROUP, values, "ob_bullish_present")).any()
