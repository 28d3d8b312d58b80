"""The engine's edges: order, shapes, unusable bars, and what a live process loads."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kernel.features.engine import Stream, compute, initial_state
from kernel.features.registry import FEATURES, STATE_SIZE
from kernel.observation import OBSERVATION_FIELDS
from tests.kernel.features.worlds import differing_bytes, market


def test_no_bars_give_no_rows_and_leave_the_state() -> None:
    """An empty history is a history."""
    features, state = compute(np.empty((0, len(OBSERVATION_FIELDS))))
    assert features.shape == (0, len(FEATURES))
    assert differing_bytes(state, initial_state()) == 0


def test_compute_leaves_its_arguments_alone() -> None:
    """Neither the observations nor the state that were passed in change."""
    obs = market(300, seed=1)
    _, state = compute(obs[:100])
    obs_before, state_before = obs.copy(), state.copy()
    compute(obs[100:], state)
    assert differing_bytes(obs, obs_before) == 0
    assert differing_bytes(state, state_before) == 0


def test_a_stream_leaves_the_state_it_resumes_from_alone() -> None:
    """A snapshot stays what it was while the stream that took it moves on."""
    obs = market(120, seed=2)
    _, state = compute(obs[:100])
    before = state.copy()
    stream = Stream(state)
    snapshot = stream.snapshot()
    for row in obs[100:].tolist():
        stream.push(row)
    assert differing_bytes(state, before) == 0
    assert differing_bytes(snapshot, before) == 0


def test_views_and_other_layouts_give_the_same_bytes() -> None:
    """Column-major, strided and read-only observations are as good as any."""
    obs = market(400, seed=3)
    expected, _ = compute(obs)
    wide = np.zeros((400, 2 * len(OBSERVATION_FIELDS)))
    wide[:, ::2] = obs
    frozen = obs.copy()
    frozen.flags.writeable = False
    for layout in (np.asfortranarray(obs), wide[:, ::2], frozen):
        assert differing_bytes(compute(layout)[0], expected) == 0


def test_a_row_of_an_array_may_be_pushed() -> None:
    """A stream takes numpy rows as well as lists and returns plain floats either way."""
    obs = market(40, seed=4)
    lists, arrays = Stream(), Stream()
    for row in obs:
        from_array = arrays.push(row)
        assert all(type(value) is float for value in from_array)
        assert differing_bytes(np.array(from_array), np.array(lists.push(row.tolist()))) == 0


@pytest.mark.parametrize("step_ms", [0, -900_000])
def test_a_bar_pushed_twice_or_too_late_is_refused(step_ms: int) -> None:
    """A bar that does not open after the last one raises, and changes nothing."""
    obs = market(50, seed=6)
    late = obs[49].copy()
    late[0] += step_ms
    stream = Stream()
    for row in obs.tolist():
        stream.push(row)
    before = stream.snapshot()
    with pytest.raises(
        ValueError, match=r"found a bar at \d+ ms after one at \d+ ms, expected asc"
    ):
        stream.push(late)
    with pytest.raises(ValueError, match="expected ascending open times"):
        compute(np.vstack([obs, late]))
    with pytest.raises(ValueError, match="expected ascending open times"):
        compute(late[None, :], before)
    assert differing_bytes(stream.snapshot(), before) == 0
    assert stream.bars_seen == 50


@pytest.mark.parametrize(
    ("field", "value"),
    [(0, -1.0), (0, np.nan), (1, 0.0), (2, np.inf), (3, -5.0), (4, np.nan), (4, 1e19), (5, -1.0)],
)
def test_an_unusable_bar_is_as_if_absent(field: int, value: float) -> None:
    """A bar without a usable time, price or volume gives NaN, and the next bar follows the last."""
    obs = market(700, seed=7)
    broken = obs.copy()
    broken[600, field] = value
    features, state = compute(broken)
    without, state_without = compute(np.delete(obs, 600, axis=0))
    assert np.isnan(features[600]).all()
    assert differing_bytes(np.delete(features, 600, axis=0), without) == 0
    assert differing_bytes(state, state_without) == 0
    stream = Stream()
    live = [stream.push(row) for row in broken.tolist()]
    assert differing_bytes(np.array(live), features) == 0
    assert stream.bars_seen == 699


def test_an_unusable_bar_may_be_corrected_under_its_own_time() -> None:
    """The corrected bar is taken as if the broken one had never come."""
    obs = market(30, seed=8)
    stream = Stream()
    for row in obs[:-1].tolist():
        stream.push(row)
    stream.push([*obs[-1, :4].tolist(), np.nan, *obs[-1, 5:].tolist()])
    assert differing_bytes(np.array(stream.push(obs[-1])), compute(obs)[0][-1]) == 0


def test_wrong_shapes_are_refused() -> None:
    """Observations and states of a wrong shape or with NaN name what was found and expected."""
    with pytest.raises(ValueError, match=r"found shape \(5, 6\), expected \(n, 135\)"):
        compute(np.zeros((5, 6)))
    with pytest.raises(ValueError, match=rf"found shape \(3,\), expected \({STATE_SIZE},\)"):
        compute(market(5, seed=1), np.zeros(3))
    with pytest.raises(ValueError, match="found shape"):
        Stream(np.zeros((1, STATE_SIZE)))
    with pytest.raises(ValueError, match="found 10 values, expected 135"):
        Stream().push([1.0] * 10)
    poisoned = initial_state()
    poisoned[7] = np.nan
    with pytest.raises(ValueError, match="found nan in slot 7, expected finite floats"):
        Stream(poisoned)


def test_a_live_process_loads_no_compiler() -> None:
    """Observing, streaming, hashing and snapshots run without numba ever being imported."""
    script = (
        "import sys\n"
        "from kernel import bars, clock, observer, quality\n"
        "from kernel.features.engine import Stream\n"
        "from kernel.features.registry import FEATURES, feature_hash\n"
        "from kernel.features import certificate\n"
        "stream = Stream()\n"
        "learner = observer.Observer(900_000)\n"
        "for i in range(30):\n"
        "    stream.push(learner.observe(i * 900_000, 1.0, 2.0, 0.5, 1.5, 3.0))\n"
        "feature_hash(FEATURES); Stream(stream.snapshot())\n"
        "heavy = {'numba', 'llvmlite', 'pandas', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    root = Path(__file__).parents[3]
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
