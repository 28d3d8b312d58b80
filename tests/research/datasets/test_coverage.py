"""Series that a source keeps only for a while stay out of what is trained; zeros are values."""

import dataclasses

import numpy as np
import pytest

from kernel.bars import Bars
from kernel.features.engine import compute
from kernel.features.registry import FEATURES, warmup_bars
from kernel.observation import OBSERVATION_FIELDS, Market, Series, observe
from research.datasets import coverage
from research.datasets import table as dataset
from research.labels.triple_barrier import triple_barrier
from research.settings import WEEK_MS, LabelSettings
from tests.research import worlds

BAR_MS = 900_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
WEEKS = 53
BARS = WEEKS * WEEK_MS // BAR_MS
END_MS = BARS * BAR_MS
NAMES = ("rsi_14", "funding_rate_norm", "oi_change", "mvrv")
VALIDATION = worlds.settings().validation


@pytest.fixture(scope="module")
def bars() -> Bars:
    """Return a year of a random walk."""
    rng = np.random.default_rng(4)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.003, BARS)))
    opens = BAR_MS * np.arange(BARS, dtype=np.int64)
    return Bars(
        open_time_ms=opens,
        open=close,
        high=close * 1.001,
        low=close / 1.001,
        close=close,
        volume=np.ones(BARS),
    )


def known(name: str, start_ms: int, step_ms: int, value: float | None = None) -> Series:
    """Return a series from `start_ms` to the end, known after an hour."""
    times = np.arange(start_ms, END_MS, step_ms, dtype=np.int64)
    values = np.linspace(1.0, 2.0, len(times)) if value is None else np.full(len(times), value)
    return Series(name, times, times + HOUR_MS, values)


def features_of(bars: Bars, series: dict[str, Series]) -> np.ndarray:
    """Return the named features of a market."""
    values, _ = compute(observe(Market(bars, series), BAR_MS))
    return values[:, [FEATURES.index(name) for name in NAMES]]


def built(
    bars: Bars, series: dict[str, Series]
) -> tuple[dataset.TrainingTable, list[coverage.SeriesShare]]:
    """Return the training table and what each series covers of it."""
    values = features_of(bars, series)
    labels = triple_barrier(bars, bars.close * 0.004, LabelSettings(3.0, 3.0, 48), BAR_MS)
    made = dataset.build(bars, values, labels, NAMES, VALIDATION, bar_ms=BAR_MS, silent_bars=0)
    folds = dataset.blocks(made.start_ms, made.end_ms, VALIDATION)
    observed = observe(Market(bars, series), BAR_MS)[made.bar]
    return made, coverage.series_shares(observed, folds, made.feature_names)


def worst(shares: list[coverage.SeriesShare], name: str) -> float:
    return min(one.share for one in shares if one.series == name)


def whole(bars: Bars, **others: Series) -> dict[str, Series]:
    """Return every series over all of history, some replaced."""
    full = {
        "funding_rate": known("funding_rate", 0, 8 * HOUR_MS),
        "open_interest": known("open_interest", 0, BAR_MS),
        "mvrv": known("mvrv", 0, DAY_MS),
    }
    return full | others


def test_series_that_are_there_all_the_time_enter(bars: Bars):
    """Full series make their features enter, and the shares say so for every window."""
    made, shares = built(bars, whole(bars))
    assert made.left_out == ()
    assert {one.series for one in shares if one.enters} == {
        "funding_rate", "open_interest", "mvrv"
    }  # fmt: skip
    windows = {one.window for one in shares}
    assert {"whole", "fold 0 train", "fold 0 test", "fold 8 test"} <= windows
    assert worst(shares, "mvrv") == 1.0


def test_five_days_of_open_interest_do_not_enter(bars: Bars):
    """500 quarter-hours, which is all that a venue gives in one answer, are left out."""
    recent = known("open_interest", END_MS - 500 * BAR_MS, BAR_MS)
    made, shares = built(bars, whole(bars, open_interest=recent))
    assert made.left_out == ("oi_change",)
    assert not any(one.enters for one in shares if one.series == "open_interest")
    assert worst(shares, "open_interest") == 0.0


def test_half_a_year_of_funding_does_not_enter_a_longer_history(bars: Bars):
    """500 settlements are 167 days: the earlier folds would have learned from nothing."""
    recent = known("funding_rate", END_MS - 500 * 8 * HOUR_MS, 8 * HOUR_MS)
    made, shares = built(bars, whole(bars, funding_rate=recent))
    assert made.left_out == ("funding_rate_norm",)
    by_window = {one.window: one.share for one in shares if one.series == "funding_rate"}
    assert by_window["fold 8 test"] == 1.0
    assert by_window["fold 0 train"] < 0.5


def test_a_series_missing_only_where_the_first_fold_learns_does_not_enter(bars: Bars):
    """A week is 2 % of the year, but a seventeenth of what the first fold is trained on."""
    late = known("mvrv", warmup_bars(NAMES) * BAR_MS + WEEK_MS, DAY_MS)
    values = features_of(bars, whole(bars, mvrv=late))
    labels = triple_barrier(bars, bars.close * 0.004, LabelSettings(3.0, 3.0, 48), BAR_MS)
    made = dataset.build(bars, values, labels, NAMES, VALIDATION, bar_ms=BAR_MS, silent_bars=0)
    assert made.left_out == ("mvrv",)
    assert made.coverage["mvrv"] == pytest.approx(0.94, abs=0.02)
    fewer = dataclasses.replace(VALIDATION, gate_folds=2, max_blocks=3)
    assert (
        dataset.build(bars, values, labels, NAMES, fewer, bar_ms=BAR_MS, silent_bars=0).left_out
        == ()
    )


def test_zeros_are_values_and_not_missing(bars: Bars):
    """A funding rate of zero all year is covered in full: only NaN is missing."""
    nothing = known("funding_rate", 0, 8 * HOUR_MS, value=0.0)
    made, shares = built(bars, whole(bars, funding_rate=nothing))
    assert "funding_rate_norm" in made.feature_names
    assert worst(shares, "funding_rate") == 1.0


def test_a_flag_does_not_bring_the_series_that_it_tells_of(bars: Bars):
    """That trades are missing may be said where none were ever recorded; a sum of them may not."""
    empty = np.full((1_000, len(OBSERVATION_FIELDS)), np.nan)
    flagged = coverage.series_shares(empty, [], ["rsi_14", "trades_missing", "minutes_missing"])
    assert not any(one.enters for one in flagged)
    summed = coverage.series_shares(empty, [], ["trades_missing", "vpin"])
    assert {one.series for one in summed if one.enters} == {"trades"}
