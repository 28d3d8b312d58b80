"""Parts of a history, what stands between them, and what differs from one pass."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.features.calendar import BARS_SEEN
from kernel.features.engine import compute
from kernel.features.registry import FEATURES, STATE_SIZE, feature_hash
from kernel.features.volatility_models import GARCH_FIT_BARS
from research.features.garch import starting_state
from research.features.history import Snapshot, difference, month_names, months
from tests.kernel.features.worlds import market

BARS = GARCH_FIT_BARS + 2_500


@pytest.fixture(scope="module")
def observed() -> np.ndarray:
    return market(BARS, seed=3)


@pytest.fixture(scope="module")
def whole(observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return compute(observed, starting_state(observed))


@given(cuts=st.lists(st.integers(1, BARS - 1), max_size=5, unique=True).map(sorted))
@settings(max_examples=15, deadline=None)
def test_parts_that_go_on_from_fitted_snapshots_are_the_whole(
    observed: np.ndarray, whole: tuple[np.ndarray, np.ndarray], cuts: list[int]
) -> None:
    """Any cuts: each part begins after the latest fitted snapshot, or with the history."""
    made = np.full((BARS, len(FEATURES)), -1.0)
    snapshot = None
    begin = 0
    for end in (*cuts, BARS):
        parts = list(months(observed[begin:end], snapshot))
        made[begin:end] = np.concatenate([part.features for part in parts])
        if parts[-1].snapshot.fitted:
            snapshot = parts[-1].snapshot
            begin = end
    assert made.tobytes() == whole[0].tobytes()
    assert parts[-1].snapshot.state.tobytes() == whole[1].tobytes()


def test_months_are_those_of_the_calendar(observed: np.ndarray) -> None:
    """A part is split where a month ends; a snapshot says after which bar it was taken."""
    parts = list(months(observed, None))
    names = month_names(observed[:, 0].astype(np.int64))
    assert [part.name for part in parts] == list(dict.fromkeys(names.tolist()))
    for part in parts:
        assert len(part.features) == (names == part.name).sum()
        assert part.snapshot.open_time_ms == part.open_time_ms[-1]
        assert part.snapshot.first_open_ms == observed[0, 0]
    assert list(months(observed[:0], None)) == []


def snapshot(bars: float = GARCH_FIT_BARS) -> Snapshot:
    state = np.linspace(0.0, 1.0, STATE_SIZE)
    state[BARS_SEEN] = bars
    return Snapshot(state, 1_000, 100, feature_hash(FEATURES))


def test_snapshot_survives_its_bytes() -> None:
    """What is read back is what was written, and equal snapshots are equal bytes."""
    one = snapshot()
    again = Snapshot.from_bytes(one.to_bytes())
    assert again.state.tobytes() == one.state.tobytes()
    assert (again.open_time_ms, again.first_open_ms, again.catalogue) == (
        one.open_time_ms, one.first_open_ms, one.catalogue
    )  # fmt: skip
    assert again.to_bytes() == one.to_bytes()
    with pytest.raises(ValueError, match="npz"):
        Snapshot.from_bytes(one.to_bytes()[:-40])


def test_snapshot_is_gone_on_from_only_where_nothing_is_different() -> None:
    """Another catalogue, another beginning or too few bars to have been fitted on: not from it."""
    one = snapshot()
    assert one.continues(100)
    assert not one.continues(99)
    assert not snapshot(GARCH_FIT_BARS - 1).continues(100)
    assert not Snapshot(one.state, 1_000, 100, "0" * 64).continues(100)
    assert not Snapshot(one.state[:-1], 1_000, 100, one.catalogue).continues(100)


def test_difference_counts_bytes_and_names_the_first_month() -> None:
    """A changed value counts its bytes, a bar of one side all of them; NaN equals NaN."""
    times = np.arange(5) * 86_400_000 + 1_764_374_400_000  # from the 29th of November
    values = np.array([[1.0, np.nan]] * 5)
    same = difference(times, values, times, values.copy(), ("a", "b"))
    assert (same.compared, same.rows, same.bytes, same.features, same.month) == (5, 0, 0, (), "")
    other = values.copy()
    other[3, 1] = -np.nan
    found = difference(times, values, times, other, ("a", "b"))
    assert (found.bytes, found.features, found.month) == (1, ("b",), "2025-12")
    fewer = difference(times[1:], values[1:], times, other, ("a", "b"))
    assert (fewer.compared, fewer.rows, fewer.bytes) == (4, 1, 17)
    assert fewer.month == "2025-11"
