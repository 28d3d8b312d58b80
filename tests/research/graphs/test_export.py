import lightgbm
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from research.graphs import export
from research.graphs.runtime import outputs


@given(st.floats(-1e30, 1e30))
def test_floor_to_float32_is_the_largest_float32_below(value: float):
    """Nothing lies between the floor and the value."""
    floor = export.floor_to_float32(value)
    assert floor <= value < float(np.nextafter(np.float32(floor), np.float32(np.inf)))


def rows_on_splits(booster: lightgbm.Booster, x: np.ndarray) -> np.ndarray:
    """Return a copy of rows of `x` for each split, moved onto the float32 nearest to its
    threshold.
    """
    splits = booster.trees_to_dataframe().dropna(subset=["threshold"])
    rows = x[: len(splits)].copy()
    columns = splits["split_feature"].str.removeprefix("Column_").astype(int)
    rows[np.arange(len(splits)), columns] = splits["threshold"].to_numpy(np.float32)
    return rows


def test_lightgbm_graph_decides_rows_on_its_splits_as_the_booster_does():
    """With floored thresholds not one row on a split moves; exported as they are, some do."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(20_000, 5)).astype(np.float32)
    y = np.digitize(x[:, 0] * x[:, 1] + rng.normal(0, 0.3, 20_000), [-0.2, 0.2])
    raw = lightgbm.LGBMClassifier(n_estimators=60, verbose=-1, n_jobs=1).fit(x, y).booster_
    rounded = export.with_float32_thresholds(raw)
    rows = np.concatenate([x, rows_on_splits(raw, x)])
    truth = np.asarray(raw.predict(rows))
    assert np.array_equal(np.asarray(rounded.predict(rows)), truth)
    assert np.abs(graph_of(rounded, rows) - truth).max() <= 1e-6
    assert (np.abs(graph_of(raw, rows) - truth).max(axis=1) > 1e-5).sum() > 0


def graph_of(booster: lightgbm.Booster, rows: np.ndarray) -> np.ndarray:
    return outputs(export.lightgbm(booster, 5), ["probabilities"], rows)[0]
