"""59, 62, 63, 68, 71 or 76 features: a model that counts takes the wrong ones; ours names them."""

from pathlib import Path

import numpy as np
import pytest

from kernel.bundle import BundleRefused, Refusal, verify
from tests.kernel.bundle_maker import FEATURES, KEYS, write

SEED_WIDTH = 59


class SeedNetwork:
    """Weights of a layer that was written for 59 features."""

    def __init__(self) -> None:
        self.weights = np.random.default_rng(1).normal(size=SEED_WIDTH)

    def predict(self, row: np.ndarray) -> float:
        """Return what comes of the first 59 values, whatever they are now."""
        return float(row[:SEED_WIDTH] @ self.weights)


def test_the_seeds_network_takes_other_features_without_a_word():
    """Three features are added at the front of 59: all others move, and an answer is given."""
    row = np.random.default_rng(2).normal(size=SEED_WIDTH)
    network = SeedNetwork()
    longer = np.concatenate([np.ones(3), row])
    assert np.isfinite(network.predict(longer))
    assert network.predict(longer) != network.predict(row)


@pytest.mark.parametrize(
    "features",
    [(*FEATURES, "hour_of_nothing"), FEATURES[:-1], tuple(reversed(FEATURES))],
    ids=["one more", "one less", "another order"],
)
def test_our_runner_refuses_a_bundle_whose_features_are_not_those_it_was_made_of(
    tmp_path: Path, features: tuple[str, ...]
):
    """Names, order and meaning are one digest in the manifest: what differs is refused by name."""
    folder = write(tmp_path, features=features)
    with pytest.raises(BundleRefused) as refused:
        verify(folder, symbol="BTCUSDT", timeframe="15m", keys=KEYS, above_epoch=6, now_ms=0)
    assert refused.value.reason in {Refusal.UNKNOWN_FEATURE, Refusal.WRONG_FEATURE_HASH}
