"""Returns: the laws, and a few by hand."""

import numpy as np

from kernel.features.returns import GROUP
from tests.kernel.features import alone
from tests.kernel.features.handmade import candles, feature

LONGEST = max(row.warmup_bars for row in GROUP.features)


def test_returns_batch_equals_stream_restarted_anywhere() -> None:
    """History at once, bar by bar and in pieces give the same bytes, extremes included."""
    alone.check_parity(GROUP)


def test_returns_keep_their_range_in_extreme_worlds() -> None:
    """Extreme markets give values within the stated range or NaN by policy, and a finite state."""
    alone.check_extremes(GROUP, LONGEST + 200)


def test_returns_are_warm_when_they_say_so() -> None:
    """Each is NaN before its warm-up bar and has a value from it on, whatever the hour of start."""
    alone.check_warm_up(GROUP)


def test_returns_read_their_inputs_and_nothing_else() -> None:
    """Other fields change no byte; their own change some."""
    alone.check_inputs(GROUP)


def test_returns_never_see_the_future() -> None:
    """Cutting off or scrambling the future changes no past value; a planted look is found."""
    alone.check_certificates(GROUP)


def test_returns_of_a_hand_made_market() -> None:
    """110 after 100 is +10 %, 99 after 110 is -10 %; an hour is four bars."""
    obs = candles([100.0, 110.0, 99.0, 99.0, 150.0, 55.0])
    np.testing.assert_allclose(
        feature(GROUP, "return_1", obs)[1:], [0.1, -0.1, 0.0, 17.0 / 33.0, -19.0 / 30.0], rtol=1e-14
    )
    np.testing.assert_allclose(feature(GROUP, "hourly_return", obs)[4:], [0.5, -0.5], rtol=1e-14)
