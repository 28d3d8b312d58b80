"""The timetable as a base: its cells are those of the clock, at every width of bar."""

import numpy as np
import pytest

from kernel.features.calendar import GROUP
from kernel.features.recursions import BAR_MS, OPEN_TIME
from kernel.observation import OBSERVATION_FIELDS
from research.graphs.runtime import outputs
from research.models.base import TrainingRows
from research.models.bases import load
from research.models.calendar import HOLD, Cells, hold_table
from tests.research.worlds import CONFIGS

NAMES = tuple(one.name for one in GROUP.features)
COLUMNS = tuple(NAMES.index(one) for one in ("session_hour_sin", "session_hour_cos",
                                             "weekday_sin", "weekday_cos"))  # fmt: skip


def week(minutes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the close of each bar of that many minutes in one week, and the kernel's features."""
    close_ms = np.arange(1, 7 * 1440 // minutes + 1, dtype=np.int64) * minutes * 60_000
    x = np.zeros((len(close_ms), len(NAMES)))
    for row, at in zip(x, close_ms, strict=True):
        observed = np.zeros(len(OBSERVATION_FIELDS))
        observed[OPEN_TIME] = at - BAR_MS
        GROUP.step(np.zeros(GROUP.state_size), observed, row)
    return close_ms, x.astype(np.float32)


@pytest.mark.parametrize("slot_hours", [1, 2, 4])
@pytest.mark.parametrize("minutes", [1, 15])
def test_every_bar_is_counted_in_the_cell_of_the_clock(minutes: int, slot_hours: int):
    """The cell read off the circle is the one that the timestamp says, for all bars of a week."""
    close_ms, x = week(minutes)
    when = close_ms.astype("datetime64[ms]").astype(object)
    expected = [2 * (one.hour // slot_hours) + (one.weekday() >= 5) for one in when]
    assert Cells(COLUMNS, 24 // slot_hours).of(x).tolist() == expected


def test_the_graph_says_what_the_table_says():
    """HOLD follows the hour, the side is one coin, and the graph is numpy's table to the bit."""
    _, x = week(15)
    rng = np.random.default_rng(3)
    y = np.where(rng.random(len(x)) < np.where(x[:, COLUMNS[0]] > 0, 0.8, 0.1), 1, 0)
    y = np.where((y == 0) & (rng.random(len(x)) < 0.5), 2, y).astype(np.int8)
    fitted = load("calendar", CONFIGS / "models").fit(
        TrainingRows(x, y, np.ones(len(x)), NAMES), seed=1, n_jobs=1
    )
    edge = np.concatenate([x, np.full((1, len(NAMES)), 3e38, np.float32)])
    p = outputs(fitted.graph, ["probabilities"], edge)[0]
    assert np.array_equal(p, fitted.native(edge).astype(np.float32))
    assert p[x[:, COLUMNS[0]].argmax(), HOLD] > 0.5 > p[x[:, COLUMNS[0]].argmin(), HOLD]
    assert np.ptp(p[:, 2] / (p[:, 0] + p[:, 2])) < 1e-6


def test_a_cell_without_rows_has_the_share_of_all():
    """What was never seen is drawn to what is usual."""
    y = np.array([1, 0, 2, 2], np.int8)
    table = hold_table(np.zeros(4, np.int64), y, np.ones(4), 2, prior_rows=4.0)
    assert table[:, HOLD] == pytest.approx([0.25, 0.25])
    assert table.sum(axis=1) == pytest.approx([1.0, 1.0])


def test_a_table_without_the_calendars_features_is_refused():
    """The base says which features it lacks and what to do."""
    base = load("calendar", CONFIGS / "models")
    rows = TrainingRows(np.zeros((9, 1), np.float32), np.zeros(9, np.int8), np.ones(9), ("mvrv",))
    with pytest.raises(ValueError, match=r"found no session_hour_sin, .*take calendar out"):
        base.fit(rows, seed=1, n_jobs=1)
