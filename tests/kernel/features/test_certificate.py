"""The leak certificate: green for the catalogue, red for every leak that is planted."""

import numpy as np
import pytest
from numpy.typing import NDArray

from kernel.features.certificate import certify
from kernel.features.engine import compute
from kernel.features.registry import FEATURES
from tests.kernel.features.worlds import damaged, market

Computed = tuple[NDArray[np.float64], NDArray[np.float64]]


def one_bar_ahead(obs: NDArray[np.float64], columns: list[int]) -> Computed:
    features, state = compute(obs)
    features[:-1, columns] = features[1:, columns]
    return features, state


def test_every_feature_is_certified() -> None:
    """No feature changes at any of 400 cuts when its future goes or becomes another one."""
    obs = damaged(market(2400, seed=21), np.random.default_rng(21))
    certificates = certify(compute, obs, np.random.default_rng(1), 400)
    assert [certificate.feature for certificate in certificates] == list(FEATURES)
    assert {certificate.feature: certificate.mismatches for certificate in certificates} == (
        dict.fromkeys(FEATURES, 0)
    )
    assert min(certificate.cuts for certificate in certificates) >= 400


@pytest.mark.parametrize("name", ["return_1", "atr_percentile", "oi_change", "mvrv"])
def test_one_feature_that_looks_one_bar_ahead_is_caught_alone(name: str) -> None:
    """A one-bar look-ahead planted in one feature turns that feature red and no other."""
    leaking = FEATURES.index(name)
    certificates = certify(
        lambda obs: one_bar_ahead(obs, [leaking]),
        market(1600, seed=22),
        np.random.default_rng(2),
        150,
    )
    red = [certificate.feature for certificate in certificates if certificate.mismatches]
    assert red == [name]


def test_a_look_ahead_is_caught_in_every_feature() -> None:
    """The certificate is sharp enough for each feature: one bar ahead, all of them turn red."""
    columns = list(range(len(FEATURES)))
    certificates = certify(
        lambda obs: one_bar_ahead(obs, columns),
        market(2400, seed=23),
        np.random.default_rng(3),
        1200,
    )
    green = [certificate.feature for certificate in certificates if not certificate.mismatches]
    assert green == []


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
