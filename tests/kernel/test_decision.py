"""Probabilities become a wish only when they are sound and clear."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.decision import CLASSES, decide, rules_probabilities

SHARE = st.floats(0.0, 1.0)


def test_classes_keep_their_order() -> None:
    """Graphs, labels and rows rely on SELL, HOLD, BUY at 0, 1, 2."""
    assert CLASSES == ("SELL", "HOLD", "BUY")


@pytest.mark.parametrize(
    ("probabilities", "side"),
    [
        ((0.1, 0.2, 0.7), 1.0),
        ((0.7, 0.2, 0.1), -1.0),
        ((0.1, 0.7, 0.2), 0.0),
        ((0.2, 0.2, 0.6), 1.0),
        ((0.02, 0.39, 0.59), 0.0),
        ((0.45, 0.0, 0.55), 0.0),
        ((0.5, 0.0, 0.5), 0.0),
    ],
)
def test_decide_wants_confidence_and_a_lead(
    probabilities: tuple[float, float, float], side: float
) -> None:
    """A side needs 0.6 of confidence and a lead of 0.2 over the better of the other two."""
    assert decide(*probabilities, 0.6, 0.2) == side


@given(st.lists(st.floats(0.001, 1.0), min_size=3, max_size=3), SHARE, SHARE)
def test_decide_agrees_with_a_sorted_oracle(
    weights: list[float], confidence: float, lead: float
) -> None:
    """The wish is the arg-max when it is no HOLD, high enough and far enough above the second."""
    p = np.array(weights) / sum(weights)
    second, first = np.sort(p)[1:]
    clear = first >= confidence and first - second >= lead and first > second
    expected = float(np.argmax(p) - 1) if clear else 0.0
    if first > second:
        assert decide(*p.tolist(), confidence, lead) == expected
    else:
        assert lead == 0.0 or decide(*p.tolist(), confidence, lead) == 0.0


@given(st.sampled_from([0, 1, 2]), st.sampled_from([math.nan, math.inf, -math.inf, -0.5, 2.0]))
def test_decide_stays_out_of_broken_probabilities(place: int, broken: float) -> None:
    """NaN, infinite, negative or excessive probabilities never become an order."""
    p = [0.0, 0.0, 0.0]
    p[place] = broken
    p[(place + 1) % 3] = 0.9
    assert decide(*p, 0.5, 0.1) == 0.0


@pytest.mark.parametrize("p", [(-0.3, 0.1, 1.2), (1.2, -0.3, 0.1), (0.1, 1.4, -0.5)])
def test_decide_stays_out_of_negative_probabilities(p: tuple[float, float, float]) -> None:
    """Numbers that add to one but are not probabilities are no reason to trade."""
    assert decide(*p, 0.0, -1.0) == 0.0


@given(SHARE, SHARE)
def test_decide_treats_both_sides_alike(buy: float, hold: float) -> None:
    """Swapping BUY and SELL swaps the sign of the wish, unless the two tie."""
    p_buy = buy * (1.0 - hold)
    p_hold = hold
    p_sell = 1.0 - p_buy - p_hold
    if p_buy != p_sell:
        mirrored = decide(p_buy, p_hold, p_sell, 0.4, 0.1)
        assert decide(p_sell, p_hold, p_buy, 0.4, 0.1) == -mirrored


@given(
    st.floats(-1.0, 1.0) | st.just(math.nan),
    st.floats(0.0, 100.0) | st.just(math.nan),
    st.floats(0.0, 100.0) | st.just(math.nan),
)
def test_rules_give_probabilities_and_mirror_the_market(
    stack: float, rsi: float, adx: float
) -> None:
    """Rules add to one for any input, and a mirrored market swaps SELL and BUY."""
    p = rules_probabilities(stack, rsi, adx)
    assert math.isclose(sum(p), 1.0)
    assert min(p) >= 0.0
    if not math.isnan(rsi) and 100.0 - (100.0 - rsi) == rsi:
        assert rules_probabilities(-stack, 100.0 - rsi, adx) == p[::-1]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_rules_hold_when_an_input_is_missing(missing: int) -> None:
    """One NaN among trend, RSI and ADX is enough to hold."""
    inputs = [1.0, 60.0, 40.0]
    assert decide(*rules_probabilities(*inputs), 0.5, 0.2) == 1.0
    inputs[missing] = math.nan
    assert decide(*rules_probabilities(*inputs), 0.5, 0.2) == 0.0


def test_rules_do_not_chase() -> None:
    """An overbought RSI or a weak ADX holds in the best of trends; confidence grows with ADX."""
    assert rules_probabilities(1.0, 75.0, 40.0)[1] == 0.9
    assert rules_probabilities(1.0, 60.0, 24.0)[1] == 0.9
    assert rules_probabilities(1.0, 60.0, 65.0)[2] == pytest.approx(0.9)
    assert rules_probabilities(1.0, 60.0, 30.0)[2] < rules_probabilities(1.0, 60.0, 60.0)[2]
