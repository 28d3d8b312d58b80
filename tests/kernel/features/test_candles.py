"""Candles: the laws, and their shapes by hand."""

import numpy as np

from kernel.features.candles import GROUP
from tests.kernel.features import alone
from tests.kernel.features.handmade import candles, feature
from tests.kernel.features.worlds import market

LONGEST = max(row.warmup_bars for row in GROUP.features)


def test_candle_features_batch_equals_stream_restarted_anywhere() -> None:
    """History at once, bar by bar and in pieces give the same bytes, extremes included."""
    alone.check_parity(GROUP)


def test_candle_features_keep_their_range_in_extreme_worlds() -> None:
    """Extreme markets give values within the stated range or NaN by policy, and a finite state."""
    alone.check_extremes(GROUP, LONGEST + 200)


def test_candle_features_are_warm_when_they_say_so() -> None:
    """Each is NaN before its warm-up bar and has a value from it on, whatever the hour of start."""
    alone.check_warm_up(GROUP)


def test_candle_features_read_their_inputs_and_nothing_else() -> None:
    """Other fields change no byte; their own change some."""
    alone.check_inputs(GROUP)


def test_candle_features_never_see_the_future() -> None:
    """Cutting off or scrambling the future changes no past value; a planted look is found."""
    alone.check_certificates(GROUP)


def test_the_shape_of_a_candle() -> None:
    """Open 102, high 110, low 100, close 107: body 5, upper wick 3, lower wick 2 of 10."""
    obs = candles([107.0, 100.0], opens=[102.0, 100.0], high=[110.0, 100.0], low=[100.0, 100.0])
    assert feature(GROUP, "candle_body_ratio", obs) == [0.5, 0.0]
    assert feature(GROUP, "upper_wick_ratio", obs) == [0.3, 0.0]
    assert feature(GROUP, "lower_wick_ratio", obs) == [0.2, 0.0]
    assert feature(GROUP, "candle_direction", obs) == [1.0, 0.0]


def test_a_run_counts_on_and_ends_at_the_other_side_or_at_no_body() -> None:
    """Twelve up, one flat, two down, one up: 10 (held), 0, -1, -2, 1."""
    moves = [1.0] * 12 + [0.0, -1.0, -1.0, 1.0]
    obs = candles([100.0 + move for move in moves], opens=[100.0] * 16)
    assert feature(GROUP, "consecutive_direction", obs)[9:] == [10, 10, 10, 0, -1, -2, 1]


def test_a_run_is_the_same_from_any_start_once_warm() -> None:
    """A longer past changes no value after the first ten bars: the run is held at ten."""
    obs = market(400, seed=71)
    obs[100:120, 1] = obs[100:120, 4] - 1.0  # a run of twenty
    whole = feature(GROUP, "consecutive_direction", obs)
    assert max(whole[9:]) == 10.0
    for start in range(80, 130):
        assert feature(GROUP, "consecutive_direction", obs[start:])[9:] == whole[start + 9 :]


def test_candles_against_the_move_are_counted() -> None:
    """Of 16 candles of a rise four fell and two had no body: a quarter was against it."""
    moves = [3.0] * 10 + [-1.0] * 4 + [0.0] * 2
    close = (100.0 + np.cumsum([0.0, *moves])).tolist()
    opens = [100.0, *close[:-1]]
    assert feature(GROUP, "adverse_candle_ratio", candles(close, opens=opens))[-1] == 0.25
    falling = candles([300.0 - x for x in close], opens=[300.0 - x for x in opens])
    assert feature(GROUP, "adverse_candle_ratio", falling)[-1] == 0.25


def test_without_a_move_nothing_is_against_it() -> None:
    """A price where it was 16 bars ago has no direction to oppose."""
    close = [100.0, 101.0] * 8 + [100.0]
    opens = [100.0, *close[:-1]]
    assert feature(GROUP, "adverse_candle_ratio", candles(close, opens=opens))[-1] == 0.0
