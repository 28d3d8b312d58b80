"""Volatility: the laws, and ranks, squeeze, quality and choppiness by hand."""

import numpy as np
import pytest

from kernel.features.volatility import GROUP
from tests.kernel.features import alone
from tests.kernel.features.handmade import candles, feature

LONGEST = max(row.warmup_bars for row in GROUP.features)


def test_volatility_features_batch_equals_stream_restarted_anywhere() -> None:
    """History at once, bar by bar and in pieces give the same bytes, extremes included."""
    alone.check_parity(GROUP)


def test_volatility_features_keep_their_range_in_extreme_worlds() -> None:
    """Extreme markets give values within the stated range or NaN by policy, and a finite state."""
    alone.check_extremes(GROUP, LONGEST + 200)


def test_volatility_features_are_warm_when_they_say_so() -> None:
    """Each is NaN before its warm-up bar and has a value from it on, whatever the hour of start."""
    alone.check_warm_up(GROUP)


def test_volatility_features_read_their_inputs_and_nothing_else() -> None:
    """Other fields change no byte; their own change some."""
    alone.check_inputs(GROUP)


def test_volatility_features_never_see_the_future() -> None:
    """Cutting off or scrambling the future changes no past value; a planted look is found."""
    alone.check_certificates(GROUP)


def test_ranks_average_ties() -> None:
    """Where ATR stands still for a whole window its rank is in the middle of the ties."""
    obs = candles([100.0] * 600, high=[101.0] * 600, low=[99.0] * 600)
    assert feature(GROUP, "atr_percentile", obs)[-1] == 0.5 + 0.5 / 96.0
    assert feature(GROUP, "volatility_regime", obs)[-1] == 0.501


@pytest.mark.parametrize("bars", [514, 560, 1_013, 1_014, 1_015, 1_090])
def test_a_rank_reads_the_ring_across_its_end(bars: int) -> None:
    """Wherever the ring of 500 begins, growing ranges rank first and shrinking ones last."""
    span = 1.0 + np.arange(bars) / 100.0
    for spans, day, regime in ((span, 1.0, 1.0), (span[::-1], 1.0 / 96.0, 1.0 / 500.0)):
        high = (1_000.0 + spans).tolist()
        low = (1_000.0 - spans).tolist()
        obs = candles([1_000.0] * bars, high=high, low=low)
        assert feature(GROUP, "atr_percentile", obs)[-1] == day
        assert feature(GROUP, "volatility_regime", obs)[-1] == regime


def test_a_straight_way_has_quality_and_a_zigzag_none() -> None:
    """Ten equal steps one way are 1, back and forth 0, no step 0; two back of ten are 6 / 10."""
    straight = [100.0 + i for i in range(11)]
    assert feature(GROUP, "market_quality", candles(straight))[-1] == 1.0
    assert feature(GROUP, "market_quality", candles([100.0, 101.0] * 5 + [100.0]))[-1] == 0.0
    assert feature(GROUP, "market_quality", candles([100.0] * 11))[-1] == 0.0
    wavering = [100.0, 101.0, 102.0, 101.0, 102.0, 103.0, 102.0, 103.0, 104.0, 105.0, 106.0]
    assert feature(GROUP, "market_quality", candles(wavering))[-1] == 0.6


def test_a_line_is_not_choppy_and_a_band_is() -> None:
    """A line covers its range once: 0; 14 bars over the same range cover it 14 times: 100."""
    line = candles([100.0 + i for i in range(15)])
    assert feature(GROUP, "choppiness_14", line)[-1] == 0.0
    band = candles([100.0] * 15, high=[101.0] * 15, low=[99.0] * 15)
    assert feature(GROUP, "choppiness_14", band)[-1] == 100.0
    assert feature(GROUP, "choppiness_14", candles([100.0] * 15))[-1] == 100.0
    half = candles([100.0 + i for i in range(12)] + [110.0, 109.0, 108.0])
    np.testing.assert_allclose(
        feature(GROUP, "choppiness_14", half)[-1], 100.0 * np.log(14 / 11) / np.log(14), rtol=1e-14
    )


def test_the_bands_are_squeezed_when_closes_are_quieter_than_ranges() -> None:
    """Closes of 100 within ranges of 2 lie inside Keltner's channel; steps as wide do not."""
    quiet = candles([100.0] * 30, high=[101.0] * 30, low=[99.0] * 30)
    assert feature(GROUP, "bb_squeeze", quiet)[20:] == [1.0] * 10
    assert feature(GROUP, "bb_squeeze", candles([100.0, 102.0] * 15))[-1] == 1.0
    assert feature(GROUP, "bb_squeeze", candles([100.0] * 15 + [102.0] * 15))[-1] == 0.0
    assert feature(GROUP, "bb_squeeze", candles([100.0] * 30))[-1] == 0.0
