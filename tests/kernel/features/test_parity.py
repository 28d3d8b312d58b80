"""Batch = stream = restart at any bar = any chunking, to the byte."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernel.features.bounds import NAN
from kernel.features.engine import Stream, compute, initial_state
from kernel.features.registry import FEATURES
from kernel.observation import observe
from orchestration.reference.recorded_markets import DATA, three_years
from research.features.garch import starting_state
from tests.kernel.features.fitted import warm_state
from tests.kernel.features.worlds import EXTREMES, damaged, differing_bytes, extreme, market

WORLDS = st.builds(
    lambda bars, seed, price, damage: (
        damaged(market(bars, seed, price=price), np.random.default_rng(seed))
        if damage
        else market(bars, seed, price=price)
    ),
    bars=st.sampled_from((1, 40, 300, 700)),
    seed=st.integers(0, 2**32 - 1),
    price=st.sampled_from((1e-12, 1e-3, 1.0, 30_000.0, 1e12)),
    damage=st.booleans(),
)
CRASH_MS = 1_760_130_900_000  # 2025-10-10 21:15 UTC
RECORDED = DATA / "ohlcv_BTCUSDT_15m_okx-swap.parquet"
Start = Callable[[], NDArray[np.float64]]
CUTS = st.lists(st.floats(0.0, 1.0), max_size=8)


STARTS = st.sampled_from([initial_state, warm_state])


def streamed(
    obs: NDArray[np.float64], state: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    stream = Stream(state)
    rows = [stream.push(row) for row in obs.tolist()]
    return np.array(rows).reshape(len(obs), len(FEATURES)), stream.snapshot()


def chunks(obs: NDArray[np.float64], cuts: list[float]) -> list[NDArray[np.float64]]:
    return np.split(obs, sorted(int(cut * len(obs)) for cut in cuts))


@settings(max_examples=40, deadline=None)
@given(obs=WORLDS, start=STARTS)
def test_compiled_batch_equals_plain_python_stream(obs: NDArray[np.float64], start: Start) -> None:
    """History computed at once has the very bytes of the live stream, features and state alike."""
    features, state = compute(obs, start())
    live, live_state = streamed(obs, start())
    assert differing_bytes(features, live) == 0
    assert differing_bytes(state, live_state) == 0


@settings(max_examples=100, deadline=None)
@given(obs=WORLDS, cuts=CUTS, start=STARTS)
def test_any_chunking_gives_the_same_bytes(
    obs: NDArray[np.float64], cuts: list[float], start: Start
) -> None:
    """History computed in any pieces, empty ones included, equals history computed at once."""
    whole, last = compute(obs, start())
    state = start()
    parts: list[NDArray[np.float64]] = []
    for chunk in chunks(obs, cuts):
        part, state = compute(chunk, state)
        parts.append(part)
    assert differing_bytes(np.concatenate(parts), whole) == 0
    assert differing_bytes(state, last) == 0


@settings(max_examples=40, deadline=None)
@given(obs=WORLDS, cuts=CUTS, start=STARTS, live_first=st.booleans())
def test_history_and_live_take_over_from_each_other(
    obs: NDArray[np.float64], cuts: list[float], start: Start, live_first: bool
) -> None:
    """Batch and stream may alternate over any pieces, each resuming from the other's state."""
    whole, last = compute(obs, start())
    state = start()
    parts: list[NDArray[np.float64]] = []
    for turn, chunk in enumerate(chunks(obs, cuts)):
        run = streamed if (turn % 2 == 0) == live_first else compute
        part, state = run(chunk, state)
        parts.append(part)
    assert differing_bytes(np.concatenate(parts), whole) == 0
    assert differing_bytes(state, last) == 0


def test_a_restart_at_every_single_bar_changes_no_byte() -> None:
    """A stream that is torn down and resumed from its snapshot before each bar equals the batch."""
    obs = damaged(market(1400, seed=11), np.random.default_rng(11))
    whole, _ = compute(obs, warm_state())
    snapshot = warm_state()
    rows: list[list[float]] = []
    for row in obs.tolist():
        stream = Stream(snapshot)
        rows.append(stream.push(row))
        snapshot = stream.snapshot()
    assert differing_bytes(np.array(rows), whole) == 0


@pytest.mark.parametrize("kind", EXTREMES)
def test_parity_holds_in_extreme_worlds(kind: str) -> None:
    """Compiled and plain arithmetic agree to the byte where numbers are extreme or missing."""
    obs = extreme(kind, 900)
    features, state = compute(obs, warm_state())
    live, live_state = streamed(obs, warm_state())
    assert differing_bytes(features, live) == 0
    assert differing_bytes(state, live_state) == 0


@pytest.mark.skipif(not RECORDED.exists(), reason=f"no recorded market at {RECORDED}")
@pytest.mark.parametrize(
    "bars",
    [
        pytest.param(365 * 96, id="a year"),
        pytest.param(3 * 365 * 96, id="all", marks=pytest.mark.slow),
    ],
)
def test_real_bars_have_the_same_bytes_live_and_in_any_chunks(bars: int) -> None:
    """Recorded BTC: in 36 pieces = at once; a crash and the weeks around it: = stream."""
    recorded = three_years()
    latest = recorded.bars.slice(len(recorded.bars) - bars, len(recorded.bars))
    obs = observe(replace(recorded, bars=latest), 900_000)
    start = starting_state(obs)
    whole, last = compute(obs, start)
    state = start
    for chunk, at_once in zip(np.array_split(obs, 36), np.array_split(whole, 36), strict=True):
        part, state = compute(chunk, state)
        assert differing_bytes(part, at_once) == 0
    assert differing_bytes(state, last) == 0
    crash = np.searchsorted(obs[:, 0], CRASH_MS)
    _, before = compute(obs[: crash - 700], start)
    live, _ = streamed(obs[crash - 700 : crash + 700], before)
    assert differing_bytes(live, whole[crash - 700 : crash + 700]) == 0


def test_every_nan_has_the_same_bits() -> None:
    """Whatever NaN comes in, with either sign and any payload, one NaN goes out."""
    obs = market(900, seed=3)
    odd = np.array([0xFFF8000000000000, 0x7FF8000000000001, 0x7FF0000000000001], dtype=np.uint64)
    obs[:, 6:] = np.resize(odd.view(np.float64), obs[:, 6:].shape)
    features, _ = compute(obs, warm_state())
    bits = features.view(np.uint64)[np.isnan(features)]
    assert len(bits) > 0
    assert set(bits.tolist()) == {int(np.array([NAN]).view(np.uint64)[0])}


def test_without_a_compiler_the_batch_gives_the_same_bytes(tmp_path: Path) -> None:
    """Where numba is not installed `compute` runs as plain Python and returns the same bytes."""
    obs = damaged(market(1_800, seed=8), np.random.default_rng(8))
    np.save(tmp_path / "obs.npy", obs)
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np\n"
        "from kernel.features.engine import compute\n"
        f"features, state = compute(np.load({str(tmp_path / 'obs.npy')!r}))\n"
        f"np.savez({str(tmp_path / 'plain.npz')!r}, features=features, state=state)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])
    plain = np.load(tmp_path / "plain.npz")
    features, state = compute(obs)
    assert differing_bytes(plain["features"], features) == 0
    assert differing_bytes(plain["state"], state) == 0
