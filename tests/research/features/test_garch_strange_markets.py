"""GARCH on markets that are not like BTC: pegged, hardly traded, or changing beyond recognition."""

import numpy as np
import pytest
from numpy.typing import NDArray

from kernel.features.engine import compute, initial_state
from kernel.features.registry import FEATURES
from kernel.features.volatility_models import GARCH_FIT_BARS
from research.features.garch import NotFittedError, fit, starting_state
from tests.kernel.features.worlds import market


def pegged(seed: int) -> NDArray[np.float64]:
    """Return closes that leave 1 for a tick now and then, as a stablecoin's do."""
    prices = (1.0, 1.0001, 0.9999)
    return np.random.default_rng(seed).choice(prices, GARCH_FIT_BARS, p=(0.98, 0.01, 0.01))


def growing(seed: int) -> NDArray[np.float64]:
    """Return closes whose volatility grows four hundredfold, by the same share every bar."""
    rng = np.random.default_rng(seed)
    deviation = 0.0001 * np.exp(np.linspace(0.0, 6.0, GARCH_FIT_BARS))
    return 100.0 * np.exp(np.cumsum(rng.normal(0.0, deviation)))


@pytest.mark.parametrize("closes", [np.ones(GARCH_FIT_BARS), pegged(0), growing(2)])
def test_a_market_without_garch_has_all_other_features(closes: NDArray[np.float64]) -> None:
    """Where no maximum is found, or only the place where the search began, GARCH stays missing, and
    no other feature is lost for it.
    """
    with pytest.raises(NotFittedError, match="GARCH: found"):
        fit(closes)
    obs = market(GARCH_FIT_BARS + 50, seed=1)
    obs[:GARCH_FIT_BARS, 1:5] = closes[:, None]
    state = starting_state(obs)
    assert state.tobytes() == initial_state().tobytes()
    features = compute(obs, state)[0]
    assert np.isnan(features[:, FEATURES.index("garch_volatility")]).all()
    assert np.isfinite(features[-1, FEATURES.index("parkinson_volatility")])
