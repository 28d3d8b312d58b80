"""GARCH(1,1) is fitted on the first bars of a history, whatever they and the later ones are."""

import numpy as np
import pytest
from numpy.typing import NDArray

from kernel.features import volatility_models
from kernel.features.engine import compute, initial_state
from kernel.features.registry import FEATURES, GROUPS, STATE_SIZE
from kernel.features.volatility_models import GARCH_FIT_BARS, GARCH_SLOTS
from research.features.garch import NotFittedError, fit, starting_state
from tests.kernel.features.worlds import market

OMEGA = 2e-7
ALPHA = 0.12
BETA = 0.85


def garch_closes(bars: int, seed: int, freedom: float = 5.0) -> NDArray[np.float64]:
    """Return closes whose log returns are GARCH(1,1) with Student's t shocks of variance 1."""
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(freedom, bars) * np.sqrt((freedom - 2.0) / freedom)
    variance = OMEGA / (1.0 - ALPHA - BETA)
    returns = np.empty(bars)
    for i in range(bars):
        returns[i] = np.sqrt(variance) * shocks[i]
        variance = OMEGA + ALPHA * returns[i] ** 2 + BETA * variance
    return 30_000.0 * np.exp(np.cumsum(returns))


def garch_market(bars: int, seed: int) -> NDArray[np.float64]:
    obs = market(bars, seed)
    obs[:, 1:5] = garch_closes(bars, seed)[:, None]
    return obs


def parameters(state: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return omega, alpha, beta of a state, found by walking over the groups before."""
    at = GARCH_SLOTS
    for group in GROUPS:
        if group is volatility_models.GROUP:
            break
        at += group.state_size
    return state[at : at + 3]


def test_garch_fit_finds_the_parameters_that_made_the_prices() -> None:
    """Over ten histories the mean estimate is the truth, within three of its standard errors."""
    found = np.array([fit(garch_closes(GARCH_FIT_BARS, seed)) for seed in range(10)])
    error = found.std(axis=0, ddof=1) / np.sqrt(10.0)
    print(f"mean {found.mean(axis=0)}, standard error {error}")
    assert found.mean(axis=0)[1] == pytest.approx(ALPHA, abs=0.01)
    assert found.mean(axis=0)[2] == pytest.approx(BETA, abs=0.015)
    assert found.mean(axis=0)[0] == pytest.approx(OMEGA, rel=0.15)


def test_garch_fit_does_not_depend_on_the_unit_of_the_price() -> None:
    """Closes in satoshi or in millions give the same alpha and beta, and omega to 0.1 %."""
    closes = garch_closes(GARCH_FIT_BARS, seed=1)
    expected = fit(closes)
    for unit in (1e-9, 1e9):
        found = fit(closes * unit)
        assert found[1:] == pytest.approx(expected[1:], abs=2e-4)
        assert found[0] == pytest.approx(expected[0], rel=1e-3)


def test_garch_fit_is_hardly_moved_by_one_return_over_a_gap() -> None:
    """A return of 60 deviations, as over four months without candles, moves beta by under 0.03."""
    closes = garch_closes(GARCH_FIT_BARS, seed=2)
    leap = closes.copy()
    leap[4_000:] *= np.exp(60.0 * np.diff(np.log(closes)).std())
    assert fit(leap)[1] == pytest.approx(fit(closes)[1], abs=0.03)
    assert fit(leap)[2] == pytest.approx(fit(closes)[2], abs=0.03)


@pytest.mark.parametrize(
    ("closes", "message"),
    [
        (np.full(999, 1.0), "1000 or more"),
        (np.ones((1_000, 2)), "1000 or more"),
        (np.full(2_000, 100.0), "prices that move"),
        (np.concatenate([np.ones(1_500), [np.nan]]), "found nan at 1500"),
        (np.concatenate([np.ones(1_500), [0.0]]), "found 0.0 at 1500"),
    ],
)
def test_garch_fit_says_what_it_cannot_use(closes: NDArray[np.float64], message: str) -> None:
    """Too few, unusable or motionless prices are refused with what was found and expected."""
    with pytest.raises((NotFittedError, ValueError), match=message):
        fit(closes)


@pytest.mark.parametrize("seed", range(12))
def test_garch_fit_copes_with_prices_without_any_garch(seed: int) -> None:
    """A plain random walk has parameters too: a maximum is found, within the bounds."""
    omega, alpha, beta = fit(market(2_000, seed)[:, 4])
    assert omega > 0.0
    assert 0.0 <= alpha < 0.1
    assert 0.0 <= beta < 1.0


def test_starting_state_is_the_plain_one_before_enough_bars() -> None:
    """With one bar too few nothing is fitted."""
    state = starting_state(garch_market(GARCH_FIT_BARS - 1, seed=3))
    assert state.tobytes() == initial_state().tobytes()


def test_starting_state_rests_on_the_first_bars_alone() -> None:
    """Later bars, however different, change no byte of it; unusable bars do not count."""
    obs = garch_market(GARCH_FIT_BARS + 500, seed=4)
    expected = starting_state(obs[:GARCH_FIT_BARS])
    assert starting_state(obs).tobytes() == expected.tobytes()
    obs[GARCH_FIT_BARS:, 1:5] *= 7.0
    assert starting_state(obs).tobytes() == expected.tobytes()
    holes = np.insert(obs, [10, 5_000], np.nan, axis=0)
    assert starting_state(holes).tobytes() == expected.tobytes()
    assert starting_state(holes[: GARCH_FIT_BARS + 1]).tobytes() == initial_state().tobytes()


def test_starting_state_holds_the_parameters_and_nothing_else() -> None:
    """Three slots differ from the initial state, and the catalogue's GARCH speaks from them on."""
    obs = garch_market(GARCH_FIT_BARS + 50, seed=5)
    state = starting_state(obs)
    assert state.shape == (STATE_SIZE,)
    assert tuple(parameters(state)) == fit(obs[:GARCH_FIT_BARS, 4])
    assert np.count_nonzero(state) == 3
    found = compute(obs, state)[0][:, FEATURES.index("garch_volatility")]
    assert np.isnan(found[: GARCH_FIT_BARS - 1]).all()
    assert (found[GARCH_FIT_BARS - 1 :] > 0.0).all()
