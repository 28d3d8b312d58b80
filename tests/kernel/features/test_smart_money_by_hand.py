"""The smart-money group on tiny markets worked out by hand."""

import numpy as np

from kernel.features import smart_money_side
from kernel.features.smart_money import WARMUP
from tests.kernel.features.smart_money_candles import (
    ABOVE,
    CALM,
    DIP,
    FALL,
    FALLING,
    PEAK,
    RISE,
    atr,
    candles,
    feature,
)


def test_a_swing_counts_from_its_tenth_bar():
    """A close above a high breaks nothing while fewer than 10 bars followed that high."""
    trend = (DIP, *[CALM] * 10, FALL, *[CALM] * 12)  # a first break: the trend is down
    known = candles(*trend, PEAK, *[CALM] * 10, RISE)
    early = candles(*trend, PEAK, *[CALM] * 9, RISE)
    assert feature("recent_choch", known)[-1] == 1.0
    assert sum(feature("recent_choch", early)) == 0.0


def test_a_swing_needs_ten_bars_before_it():
    """A high on the eleventh bar of a history is one that can break; on the tenth it is not."""
    for peak, breaks in ((11, True), (10, False)):
        side = [0.0] * smart_money_side.SIDE_SLOTS
        for now in range(1, 30):
            high = 105.0 if now == peak else 101.0
            assert not smart_money_side.advance(
                state=side, at=0, now=float(now), close=100.0, high=high, low=99.0, atr=2.0
            )
        assert (
            smart_money_side.advance(
                state=side, at=0, now=30.0, close=107.0, high=108.0, low=99.0, atr=2.0
            )
            == breaks
        )


def test_the_first_break_is_neither_and_later_ones_have_names():
    """First up: neither. Up again: BOS for 8 bars, bias +1 for 16. Then down: CHoCH, bias -1."""
    higher = (107.0, 112.0, 106.0, 107.0, 10.0)
    calm = (107.0, 108.0, 106.0, 107.0, 10.0)
    dip = (107.0, 108.0, 103.0, 107.0, 10.0)
    obs = candles(
        PEAK,
        *[CALM] * 10,
        RISE,
        higher,
        *[calm] * 10,
        (107.0, 114.0, 106.0, 113.0, 10.0),
        *[calm] * 20,
        dip,
        *[calm] * 10,
        (107.0, 108.0, 101.0, 102.0, 10.0),
        *[calm] * 20,
    )
    bos = feature("recent_bos", obs)
    choch = feature("recent_choch", obs)
    bias = feature("structure_bias", obs)
    assert [i for i, x in enumerate(bos) if x] == list(range(23, 31))
    assert [i for i, x in enumerate(choch) if x] == list(range(55, 63))
    assert [i for i, x in enumerate(bias) if x == 1.0] == list(range(23, 39))
    assert [i for i, x in enumerate(bias) if x == -1.0] == list(range(55, 71))


def test_a_block_is_the_last_falling_candle_until_price_trades_through_it():
    """It appears at the breaking close, survives a touch of its low, and goes below it."""
    falling = (100.0, 102.0, 98.0, 99.0, 10.0)
    touch = (107.0, 107.0, 98.0, 100.0, 10.0)
    through = (100.0, 100.0, 97.9, 100.0, 10.0)
    stays = (107.0, 107.5, 106.0, 107.0, 10.0)
    obs = candles(PEAK, *[CALM] * 9, falling, RISE, stays, touch, through)
    distance = feature("ob_bullish_dist", obs)
    spans = atr(obs)
    assert np.isnan(distance[:11]).all()
    assert distance[11] == (107.0 - 102.0) / spans[11]
    assert distance[13] == (100.0 - 102.0) / spans[13]  # inside it
    assert np.isnan(distance[14])
    assert feature("ob_bullish_present", obs)[10:] == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_a_block_has_the_volume_of_its_break():
    """(40 + 10 + 10) / 3 over the mean of 49 bars of 10 and one of 40, as long as it lasts."""
    falling = (100.0, 102.0, 98.0, 99.0, 10.0)
    quiet = (107.0, 108.0, 106.0, 107.0, 1e6)
    ratio = feature("ob_volume_ratio", candles(PEAK, *[CALM] * 9, falling, RISE, quiet, quiet))
    assert np.isnan(ratio[:11]).all()
    assert ratio[11:] == [60.0 * 50.0 / (3.0 * 530.0)] * 3


def test_a_gap_counts_from_its_third_bar_and_shrinks_until_filled():
    """101..104 is left open; a low of 102 leaves 101..102; a low of 101 nothing."""
    up = (101.0, 106.0, 100.0, 105.0, 10.0)
    third = (105.0, 107.0, 104.0, 106.0, 10.0)
    into = (106.0, 106.0, 102.0, 105.0, 10.0)
    fills = (105.0, 105.0, 101.0, 103.0, 10.0)
    obs = candles(CALM, up, third, into, third, fills)
    distance = feature("fvg_bear_dist", obs)
    spans = atr(obs)
    assert np.isnan(distance[:2]).all()
    assert distance[2] == (106.0 - 104.0) / spans[2]
    assert distance[3] == (105.0 - 102.0) / spans[3]
    assert distance[4] == (106.0 - 102.0) / spans[4]
    assert np.isnan(distance[5])
    assert feature("fvg_bear_below", obs) == [0.0, 0.0, 1.0, 1.0, 1.0, 0.0]
    assert sum(feature("fvg_bull_above", obs)) == 0.0


def test_a_pool_counts_from_its_second_high_and_goes_when_swept():
    """Highs of 105 and 104.9 hold one pool at 105, ten bars after the second; 105 leaves it."""
    second = (100.0, 104.9, 99.0, 100.0, 10.0)
    sweep = (100.0, 105.1, 99.0, 100.0, 10.0)
    obs = candles(PEAK, *[CALM] * 14, second, *[CALM] * 10, PEAK, sweep)
    distance = feature("liq_above_dist", obs)
    assert np.isnan(distance[:25]).all()
    assert distance[25:27] == [5.0 / atr(obs)[25], 5.0 / atr(obs)[26]]
    assert np.isnan(distance[27])
    assert feature("liq_above_present", obs)[24:] == [0.0, 1.0, 1.0, 0.0]


def test_a_block_is_a_candle_of_the_16_bars_before_its_break():
    """With 15 bars between the two it is one, with 16 it is not."""
    for between, blocks in ((15, 1.0), (16, 0.0)):
        obs = candles(PEAK, *[CALM] * 10, FALLING, *[CALM] * between, RISE)
        assert feature("ob_bullish_present", obs)[-1] == blocks


def test_a_candle_is_a_block_once():
    """A second break within its 16 bars, with no falling candle in between, leaves the first
    break's volume.
    """
    spike = (100.0, 115.0, 99.0, 107.0, 40.0)
    second = (107.0, 118.0, 104.0, 116.0, 400.0)
    rows = (PEAK, *[CALM] * 9, FALLING, spike, *[(106.0, *ABOVE[1:])] * 10, second)
    first, *_, last = feature("ob_volume_ratio", candles(*rows))[11:]
    assert first == last
    assert feature("recent_bos", candles(*rows))[-1] == 1.0


def test_a_zone_beyond_10_atr_is_absent():
    """Price leaps away from a block and comes back: there is no distance meanwhile."""
    far = (150.0, 151.0, 149.0, 150.0, 10.0)
    obs = candles(PEAK, *[CALM] * 9, FALLING, RISE, *[far] * 60, *[ABOVE] * 10)
    distance = feature("ob_bullish_dist", obs)
    spans = atr(obs)
    away = (obs[WARMUP - 1 :, 4] - 102.0) / spans
    assert ((away > 10.0)[12:] == np.isnan(distance[12:])).all()
    assert np.isnan(distance[60])
    assert distance[-1] == away[-1]


def test_two_highs_around_a_higher_one_hold_no_pool():
    """What lies between them has swept the first already."""
    between = (100.0, 110.0, 99.0, 100.0, 10.0)
    obs = candles(PEAK, *[CALM] * 10, between, *[CALM] * 10, PEAK, *[CALM] * 10)
    assert sum(feature("liq_above_present", obs)) == 0.0
