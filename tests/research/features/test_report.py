"""The report sees what is planted: shifts, gaps, values out of range, features that say nothing."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from research.datasets.table import TrainingTable
from research.features import files as feature_files
from research.features import pictures as feature_pictures
from research.features.report import Columns, Shift, constants, drifted, months, out_of_range
from research.settings import WEEK_MS, ValidationSettings
from research.validation.folds import Fold

BAR_MS = 900_000
START_MS = 1_704_067_200_000  # 2024-01-01T00:00Z
NAMES = ("rsi_14", "atr_14", "is_ny_session", "funding_missing", "d1_trend")
BARS = 16 * 672
VALIDATION = ValidationSettings(
    first_train_weeks=4,
    block_weeks=2,
    gate_folds=2,
    max_blocks=9,
    max_train_weeks=104,
    min_coverage=0.9,
    recency_half_life_weeks=26.0,
)


def columns(**changed: np.ndarray) -> Columns:
    """Return sixteen weeks of five features in their ranges, some replaced."""
    rng = np.random.default_rng(5)
    values = {
        "rsi_14": rng.uniform(20, 80, BARS),
        "atr_14": rng.gamma(4.0, 0.001, BARS),
        "is_ny_session": (np.arange(BARS) % 96 >= 52).astype(float),
        "funding_missing": np.zeros(BARS),
        "d1_trend": rng.normal(0, 0.02, BARS),
    }
    values |= changed
    times = START_MS + BAR_MS * np.arange(BARS, dtype=np.int64)
    return Columns(times, np.column_stack([values[name] for name in NAMES]), NAMES)


LEARNED = np.arange(8 * 672)


def test_stability_index_is_the_textbook_one_on_deciles():
    """On continuous values the index is that of pandas' deciles and bins, to rounding."""
    rng = np.random.default_rng(1)
    reference, values = rng.normal(0, 1, 5_000), rng.normal(0.4, 1.3, 3_000)
    deciles = np.quantile(reference, np.arange(1, 10) / 10, method="inverted_cdf")
    edges = np.r_[-np.inf, deciles, np.inf]
    shares = [
        pd.cut(pd.Series(part), edges).value_counts(normalize=True, sort=False).to_numpy()
        for part in (reference, values)
    ]
    expected = ((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()
    assert Shift(reference).psi(values) == pytest.approx(expected, rel=1e-12)
    assert Shift(reference).psi(reference) == 0.0


@pytest.mark.parametrize("ones", [0.05, 0.5, 0.95])
def test_stability_index_compares_flags_value_by_value(ones: float):
    """A flag that is one in 5, 50 or 95 % of rows has a bin for zero and one for one."""
    reference = np.zeros(1_000)
    reference[: int(1_000 * ones)] = 1.0
    values = np.r_[np.ones(800), np.zeros(200)]
    expected = (0.8 - ones) * np.log(0.8 / ones) + (0.2 - (1 - ones)) * np.log(0.2 / (1 - ones))
    assert Shift(reference).psi(values) == pytest.approx(expected, rel=1e-12)


def test_a_series_that_goes_missing_has_shifted():
    """Missing is a bin of its own: half of the values gone is a large shift, none gone is none."""
    reference = np.random.default_rng(2).normal(0, 1, 4_000)
    gone = reference.copy()
    gone[::2] = np.nan
    assert Shift(reference).psi(gone) > 0.25
    assert Shift(gone).psi(gone) == 0.0
    assert Shift(np.full(9, np.nan)).psi(np.full(9, np.nan)) == 0.0
    assert Shift(np.full(9, np.nan)).psi(np.ones(9)) > 1.0


def test_distribution_per_month_is_that_of_pandas():
    """Rows, missing shares and quantiles of every month equal a group-by written the other way."""
    holes = np.random.default_rng(3).normal(0, 0.02, BARS)
    holes[100:900] = np.nan
    found = months(columns(d1_trend=holes), LEARNED)
    at = pd.to_datetime(columns().open_time_ms, unit="ms").strftime("%Y-%m")
    groups = pd.Series(holes).groupby(at.to_numpy())
    mine = found[found["feature"] == "d1_trend"].set_index("month")
    assert mine["rows"].to_dict() == groups.size().to_dict()
    np.testing.assert_allclose(mine["missing"], groups.apply(lambda part: part.isna().mean()))
    for share, name in [(0.01, "q01"), (0.5, "q50"), (0.95, "q95")]:
        np.testing.assert_array_equal(mine[name], groups.quantile(share, interpolation="lower"))
    assert set(found["group"]) == {
        "momentum", "volatility", "calendar", "derivatives", "context"
    }  # fmt: skip


def test_values_out_of_the_registry_range_are_counted():
    """An RSI of 100.5, of −1 and of infinity are three values out of range, on their sides."""
    rsi = np.full(BARS, 50.0)
    rsi[[5, 6, 7]] = 100.5, -1.0, np.inf
    found = months(columns(rsi_14=rsi), LEARNED)
    assert found["above"].sum() == 2
    assert found["below"].sum() == 1
    january = found[(found["feature"] == "rsi_14") & (found["month"] == "2024-01")]
    assert january[["below", "above"]].to_numpy().tolist() == [[1, 2]]
    assert out_of_range(found) == {"rsi_14": 3}
    assert out_of_range(months(columns(), LEARNED)) == {}


def test_a_month_of_a_few_days_has_no_index():
    """April has twenty days here and an index; cut to three days it has none, but its figures."""
    full = columns()
    short = Columns(full.open_time_ms[: 94 * 96], full.values[: 94 * 96], NAMES)
    april = months(short, LEARNED).query("month == '2024-04'")
    assert april["rows"].tolist() == [3 * 96] * len(NAMES)
    assert april["psi"].isna().all()
    assert months(full, LEARNED).query("month == '2024-04'")["psi"].notna().all()


def test_only_what_left_its_window_has_drifted():
    """A level that is new after the window drifted; one that was as new inside it did not."""
    rng = np.random.default_rng(6)
    noise = rng.normal(0, 0.001, BARS)
    january = pd.to_datetime(columns().open_time_ms, unit="ms").month == 1
    restless = np.where(january | (rng.random(BARS) < 0.05), 0.0, 0.02) + noise
    settled = np.where(np.arange(BARS) < 9 * 672, 50.0, 70.0) + 1e3 * noise
    found = months(columns(rsi_14=settled, d1_trend=restless), LEARNED)
    assert drifted(found) == ["rsi_14"]
    later = found[(found["feature"] == "d1_trend") & ~found["inside"]]
    assert later["psi"].max() > 0.25


def folds() -> list[Fold]:
    return [
        Fold(np.arange(0, 4_000), np.arange(4_000, 6_000), 0, 1),
        Fold(np.arange(0, 8_000), np.arange(8_000, 9_000), 1, 2),
    ]


def test_a_feature_filled_with_zeros_is_constant_in_the_fold_that_learns_them():
    """Five days of open interest, zeros before: the fold of the zeros is named, the next is not."""
    filled = np.zeros(BARS)
    filled[5_000:] = np.random.default_rng(7).normal(0, 0.02, BARS - 5_000)
    found = constants(columns(d1_trend=filled), folds())
    assert found[["feature", "fold", "same", "value"]].to_numpy().tolist() == [
        ["d1_trend", 0, 1.0, 0.0]
    ]


def test_almost_constant_is_constant_and_empty_is_named():
    """One other value in two thousand rows says nothing; a column without values has none."""
    almost = np.full(BARS, 3.0)
    almost[::2_000] = 4.0
    found = constants(columns(rsi_14=almost, d1_trend=np.full(BARS, np.nan)), folds()[:1])
    assert found["feature"].tolist() == ["rsi_14", "d1_trend"]
    assert found["same"].tolist() == [pytest.approx(0.9995), 0.0]
    assert found["present"].tolist() == [1.0, 0.0]


def test_a_flag_of_what_is_missing_may_stay_constant():
    """Nothing is missing all along: the flag says so and is not held against it."""
    assert constants(columns(), folds()).empty


@pytest.fixture(scope="module")
def reported() -> feature_files.FeatureReport:
    shifted = np.random.default_rng(8).uniform(20, 80, BARS)
    shifted[12 * 672 :] += 15
    return feature_files.report(columns(rsi_14=shifted), table(), VALIDATION)


def table() -> TrainingTable:
    """Return a training table of the same rows, labels resolved after twelve hours."""
    start = START_MS + BAR_MS * np.arange(1, BARS + 1, dtype=np.int64)
    return TrainingTable(
        x=np.zeros((BARS, 1), np.float32), y=np.ones(BARS, np.int8), start_ms=start,
        end_ms=start + 48 * BAR_MS, closed_ms=start + 48 * BAR_MS, bar=np.arange(BARS),
        feature_names=("rsi_14",), coverage={"rsi_14": 1.0}, left_out=(),
        cutoff_ms=int(start[-1]), let_out=0, digest="",
    )  # fmt: skip


def test_report_holds_months_after_the_first_gate_fold_against_what_it_learned(
    reported: feature_files.FeatureReport,
):
    """The window ends four weeks before the end: two gate folds of two weeks; April is outside."""
    end_ms = START_MS + 16 * WEEK_MS
    assert reported.learned_ms == (START_MS + BAR_MS, end_ms - 4 * WEEK_MS)
    inside = reported.months.drop_duplicates("month").set_index("month")["inside"]
    assert inside.to_dict() == {
        "2024-01": True, "2024-02": True, "2024-03": True, "2024-04": False
    }  # fmt: skip
    assert drifted(reported.months) == ["rsi_14"]


def test_report_comes_back_from_its_files(reported: feature_files.FeatureReport):
    """Tables survive the files to the last digit; every picture is the same each time."""
    files = feature_files.to_files(feature_files.pictured(reported))
    kept = feature_files.from_files(files)
    pd.testing.assert_frame_equal(kept.months, reported.months)
    assert len(kept.constants) == len(reported.constants)
    assert kept.clusters == reported.alike.clusters
    pictures = [name for name in files if name.endswith(".png")]
    assert len(pictures) == 3
    again = feature_files.to_files(feature_files.pictured(reported))
    for name in pictures:
        assert files[name] == again[name]


def test_pictures_hold_a_catalogue_of_one_and_of_two_hundred(
    reported: feature_files.FeatureReport,
):
    """No size breaks a picture: one feature, none drifted, or more than fit below each other."""
    one = reported.months[reported.months["feature"] == "rsi_14"]
    many = pd.concat([one.assign(feature=f"feature_{at}") for at in range(200)])
    for part in (one, many):
        figure = feature_pictures.stability_figure(part)
        names = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
        assert names == list(dict.fromkeys(part["feature"]))
        cells = np.concatenate([axes.collections[0].get_array() for axes in figure.axes])
        shown = part.pivot_table(index="feature", columns="month", values="psi").loc[names]
        np.testing.assert_array_equal(cells, shown.to_numpy())
    median = feature_pictures.distributions_figure(one).axes[0].lines[0].get_ydata()
    assert np.argsort(-median).tolist() == np.argsort(one["q50"].to_numpy()).tolist()


def test_rows_are_the_training_sets_own():
    """Rows before the warm-up are dropped; a row that the features lack is an error that counts."""
    held, rows = columns(), table()
    frame = pd.DataFrame(
        {"open_time_ms": held.open_time_ms} | dict(zip(NAMES, held.values.T, strict=True))
    )
    later = dataclasses.replace(
        rows, start_ms=rows.start_ms[700:], end_ms=rows.end_ms[700:], y=rows.y[700:]
    )
    found = feature_files.rows_of(frame, NAMES[:2], later, BAR_MS)
    np.testing.assert_array_equal(found.values, held.values[700:, :2])
    np.testing.assert_array_equal(found.open_time_ms, held.open_time_ms[700:])
    with pytest.raises(ValueError, match=f"found {BARS - 1} of the training set's {BARS} rows"):
        feature_files.rows_of(frame.drop(index=9).reset_index(drop=True), NAMES, rows, BAR_MS)
