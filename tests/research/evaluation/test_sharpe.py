"""Published numbers come out, luck is counted, and dependence never counts for more bars."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from research.evaluation.sharpe import (
    Record,
    deflated,
    effective_trials,
    expected_maximum,
    least_bars,
    least_years,
    probabilistic,
    record,
)

DAYS = 250


def of(sharpe: float, skewness: float = 0.0, kurtosis: float = 3.0, bars: int = 1_250) -> Record:
    return Record(
        sharpe=sharpe,
        skewness=skewness,
        kurtosis=kurtosis,
        bars=bars,
        independent_bars=float(bars),
    )


def test_deflated_ratio_is_the_one_of_the_paper():
    """Bailey and López de Prado (2014): SR₀ = 0.1132 and DSR = 0.9004 of their example."""
    variance = 0.5 / DAYS
    found = of(sharpe=2.5 / math.sqrt(DAYS), skewness=-3.0, kurtosis=10.0)
    assert expected_maximum(100, variance) == pytest.approx(0.1132, abs=5e-5)
    assert deflated(found, trials=100, variance=variance) == pytest.approx(0.9004, abs=5e-5)


@pytest.mark.parametrize(("bars", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_least_record_is_the_one_of_the_paper(bars: int, years: float):
    """Bailey and López de Prado (2012): a ratio of 2 against 1, by the day, week and month."""
    found = of(sharpe=2.0 / math.sqrt(bars))
    needed = least_bars(found, benchmark=1.0 / math.sqrt(bars), confidence=0.95)
    assert needed / bars == pytest.approx(years, abs=5e-3)


def test_least_backtest_is_the_one_of_the_paper():
    """Bailey et al. (2014): 45 trials on five years are expected to show a ratio of 1."""
    assert least_years(trials=45, yearly_sharpe=1.0) == pytest.approx(5.0, abs=0.02)


def test_the_expected_maximum_is_what_the_best_of_many_shows():
    """Simulated: the mean best of N ratios without skill, within its error."""
    rng = np.random.default_rng(1)
    for trials in (5, 50, 500):
        best = rng.normal(size=(4_000, trials)).max(axis=1).mean()
        assert expected_maximum(trials, variance=1.0) == pytest.approx(best, rel=0.04)


@given(
    sharpe=st.floats(-0.3, 0.3),
    skewness=st.floats(-3.0, 3.0),
    kurtosis=st.floats(11.0, 60.0),
    few=st.integers(1, 500),
    more=st.integers(1, 500),
)
@settings(max_examples=200, deadline=None)
def test_the_deflated_ratio_never_rises_with_the_trials(
    sharpe: float, skewness: float, kurtosis: float, few: int, more: int
):
    """Whatever the returns' shape, who tried more is believed no more."""
    found = of(sharpe, skewness, kurtosis)
    before = deflated(found, trials=few, variance=0.001)
    after = deflated(found, trials=few + more, variance=0.001)
    assert after <= before
    assert before <= probabilistic(found, benchmark=0.0)


def test_probability_says_how_often_luck_looks_as_good():
    """Of records without skill, each return a mean of ten, PSR above 0.95 is rare, not 30 %."""
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(600, 1_500 + 9))
    held = np.lib.stride_tricks.sliding_window_view(noise, 10, axis=1).mean(axis=2)
    ours = np.mean([probabilistic(record(one), 0.0) > 0.95 for one in held[:120]])
    blind = np.mean(
        [probabilistic(of(one.mean() / one.std(), bars=1_500), 0) > 0.95 for one in held]
    )
    assert ours < 0.11
    assert blind > 0.25


def test_dependence_counts_for_fewer_bars_and_never_for_more():
    """A mean over ten bars leaves about a tenth of them; a seesaw leaves all."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=40_009)
    held = np.convolve(noise, np.full(10, 0.1), mode="valid")
    assert record(held).independent_bars == pytest.approx(4_000, rel=0.35)
    seesaw = np.diff(rng.normal(size=2_001))
    assert record(seesaw).independent_bars == 2_000.0


def test_what_never_moves_has_a_ratio_of_nothing():
    """A model that never trades has a ratio of 0 and an even chance, never an error."""
    flat = record(np.zeros(100))
    assert (flat.sharpe, flat.independent_bars) == (0.0, 100.0)
    assert probabilistic(flat, 0.0) == 0.5
    assert least_bars(flat, benchmark=0.0, confidence=0.95) == math.inf


def test_moments_are_those_of_the_returns():
    """Those of a gamma distribution come out, the kurtosis not in excess."""
    returns = np.random.default_rng(4).gamma(2.0, size=60_000) - 1.9
    found = record(returns)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert found.skewness == pytest.approx(math.sqrt(2.0), rel=0.12)
    assert found.kurtosis == pytest.approx(6.0, rel=0.12)


@pytest.mark.parametrize("returns", [np.zeros(3), np.r_[np.zeros(9), np.nan]])
def test_too_few_or_broken_returns_are_refused(returns: np.ndarray):
    """Three returns, or one that is no number, say so."""
    with pytest.raises(ValueError, match="expected at least 4, all finite"):
        record(returns)


def test_copies_of_an_idea_count_once_and_ideas_each():
    """Five ideas of four near copies are five trials; twenty unrelated ones are twenty."""
    rng = np.random.default_rng(5)
    ideas = rng.normal(size=(3_000, 5))
    copies = np.repeat(ideas, 4, axis=1) + 0.3 * rng.normal(size=(3_000, 20))
    found = effective_trials(copies)
    assert (found.count, found.effective) == (20, 5)
    assert len({tuple(found.cluster[4 * k : 4 * k + 4]) for k in range(5)}) == 5
    assert effective_trials(rng.normal(size=(3_000, 20))).effective == 20


def test_trials_that_never_met_are_ideas_of_their_own():
    """The same stream in two years that do not overlap counts twice: nothing says it is one."""
    returns = np.full((2_000, 2), np.nan)
    returns[:1_000, 0] = np.random.default_rng(6).normal(size=1_000)
    returns[1_000:, 1] = returns[:1_000, 0]
    assert effective_trials(returns).effective == 2


def test_trials_that_never_traded_are_one_idea():
    """Models that stay out look alike, and are not taken for the one that trades."""
    returns = np.zeros((500, 4))
    returns[:, 3] = np.random.default_rng(7).normal(size=500)
    assert effective_trials(returns).effective == 2


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_order_of_trials_changes_nothing(seed: int):
    """Number, variance and so SR₀ are the same however the trials are listed."""
    rng = np.random.default_rng(seed)
    streams = rng.normal(size=(200, 3))[:, rng.integers(0, 3, 8)] + rng.normal(size=(200, 8))
    before = effective_trials(streams)
    after = effective_trials(streams[:, rng.permutation(8)])
    assert after.effective == before.effective
    assert after.expected_maximum == pytest.approx(before.expected_maximum)


def test_one_trial_is_no_choice_and_twins_leave_room_for_luck():
    """SR₀ of one is 0; two ideas with one ratio still have the spread that luck has."""
    one = np.random.default_rng(8).normal(size=(400, 1))
    assert effective_trials(one).expected_maximum == 0.0
    twins = np.column_stack([one[:, 0], one[::-1, 0]])
    assert effective_trials(twins).variance == pytest.approx(1 / 400)
