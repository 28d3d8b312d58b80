"""The leak certificate: green for the catalogue, red for every leak that is planted."""

import numpy as np
import pytest
from numpy.typing import NDArray

from kernel.features.certificate import certify
from kernel.features.engine import compute
from kernel.features.registry import FEATURES
from kernel.observation import OBSERVATION_FIELDS
from tests.kernel.features.fitted import warm_state
from tests.kernel.features.worlds import damaged, market

Computed = tuple[NDArray[np.float64], NDArray[np.float64]]


def going_on(obs: NDArray[np.float64]) -> Computed:
    return compute(obs, warm_state())


def one_bar_ahead(obs: NDArray[np.float64], columns: list[int]) -> Computed:
    features, state = compute(obs, warm_state())
    features[:-1, columns] = features[1:, columns]
    return features, state


def with_gaps(obs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `obs` with one bar in twenty on which no input beside the bar was known."""
    absent = np.random.default_rng(23).random((len(obs), 1)) < 0.05
    obs[:, 6:] = np.where(absent, np.nan, obs[:, 6:])
    return obs


def test_every_feature_is_certified() -> None:
    """No feature changes at any of 150 cuts when its future goes or becomes another one."""
    obs = damaged(market(1500, seed=21), np.random.default_rng(21))
    certificates = certify(going_on, obs, np.random.default_rng(1), 150)
    assert [certificate.feature for certificate in certificates] == list(FEATURES)
    assert {certificate.feature: certificate.mismatches for certificate in certificates} == (
        dict.fromkeys(FEATURES, 0)
    )
    assert min(certificate.cuts for certificate in certificates) >= 150
    assert min(certificate.values for certificate in certificates) > 20


@pytest.mark.parametrize(
    "name",
    ["return_1", "volatility_regime", "oi_change", "mvrv", "w1_rsi_norm", "structure_bias", "vpin"],
)
def test_one_feature_that_looks_one_bar_ahead_is_caught_alone(name: str) -> None:
    """A one-bar look-ahead planted in one feature turns that feature red and no other."""
    leaking = FEATURES.index(name)
    certificates = certify(
        lambda obs: one_bar_ahead(obs, [leaking]),
        market(400, seed=22),
        np.random.default_rng(2),
        400,
    )
    red = [certificate.feature for certificate in certificates if certificate.mismatches]
    assert red == [name]


def test_a_look_ahead_is_caught_in_every_feature() -> None:
    """The certificate is sharp enough for each feature: one bar ahead, all of them turn red."""
    columns = list(range(len(FEATURES)))
    certificates = certify(
        lambda obs: one_bar_ahead(obs, columns),
        with_gaps(market(800, seed=24)),
        np.random.default_rng(3),
        800,
    )
    green = [certificate.feature for certificate in certificates if not certificate.mismatches]
    assert green == []


def test_a_feature_without_values_proves_nothing() -> None:
    """Where an input was never there, the certificate says on how many values it rests: none."""
    obs = market(300, seed=26)
    obs[:, OBSERVATION_FIELDS.index("mvrv")] = np.nan
    certificates = certify(compute, obs, np.random.default_rng(6), 5)
    values = {one.feature: one.values for one in certificates}
    assert values["mvrv"] == values["w1_rsi_norm"] == 0
    assert values["return_1"] == 299


def test_scaling_by_the_whole_history_is_caught() -> None:
    """A feature divided by its maximum over all bars, future included, is red."""
    leaking = FEATURES.index("volume_ratio")

    def scaled(obs: NDArray[np.float64]) -> Computed:
        features, state = compute(obs)
        column = features[:, leaking]
        if np.isfinite(column).any():
            column /= np.nanmax(column)
        return features, state

    certificates = certify(scaled, market(600, seed=24), np.random.default_rng(4), 20)
    assert certificates[leaking].mismatches > 0


def test_a_leak_that_hides_when_the_future_is_cut_off_is_caught() -> None:
    """A feature that answers a shortened history from memory still fails on another future."""
    leaking = FEATURES.index("return_1")
    obs = market(500, seed=25)
    memory, last = one_bar_ahead(obs, [leaking])

    def shy(obs: NDArray[np.float64]) -> Computed:
        if len(obs) < len(memory):
            return memory[: len(obs)], last
        return one_bar_ahead(obs, [leaking])

    certificates = certify(shy, obs, np.random.default_rng(5), 20)
    assert [one.feature for one in certificates if one.mismatches] == ["return_1"]


def test_a_single_bar_is_refused() -> None:
    """A history without any future to hide cannot be certified."""
    with pytest.raises(ValueError, match="found 1 bars, expected 2 or more"):
        certify(compute, market(1, seed=1), np.random.default_rng(0), 3)
