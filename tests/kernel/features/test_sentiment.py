"""The mood of the market: the laws, and values by hand."""

import numpy as np
import pytest

from kernel.features.recursions import FEAR_GREED
from kernel.features.sentiment import GROUP
from tests.kernel.features import alone
from tests.kernel.features.worlds import market


def test_sentiment_batch_equals_stream() -> None:
    """Batch, stream, restart and any chunking give the same bytes."""
    alone.check_parity(GROUP, bars=200)


def test_sentiment_extremes_stay_in_range() -> None:
    """Extreme worlds give values within the stated range, or NaN by policy."""
    alone.check_extremes(GROUP, bars=700)


def test_sentiment_warm_up_is_exact() -> None:
    """The first bar has a value."""
    alone.check_warm_up(GROUP)


def test_sentiment_reads_its_input_alone() -> None:
    """Fields other than the index change no byte; the index does."""
    alone.check_inputs(GROUP)


def test_sentiment_cannot_see_the_future() -> None:
    """No past value changes with the future."""
    alone.check_certificates(GROUP)


@pytest.mark.parametrize(
    ("index", "share", "missing"),
    [
        (0.0, 0.0, 0.0),
        (37.0, 0.37, 0.0),
        (100.0, 1.0, 0.0),
        (np.nan, np.nan, 1.0),
        (-1.0, np.nan, 1.0),
        (101.0, np.nan, 1.0),
        (np.inf, np.nan, 1.0),
    ],
)
def test_the_index_is_a_share(index: float, share: float, missing: float) -> None:
    """An index of 0..100 is a share of one; anything else is missing, and said to be."""
    obs = market(1, seed=1)
    obs[0, FEAR_GREED] = index
    np.testing.assert_array_equal(alone.batch(GROUP, obs)[0], [[share, missing]])
