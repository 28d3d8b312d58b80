"""The whole catalogue over history and live: speed, linearity, cold start, state, proof."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernel.compiled import compiled
from kernel.features.certificate import certify
from kernel.features.definition import Group
from kernel.features.engine import Stream, compute, fold_of
from kernel.features.registry import FEATURES, GROUPS, STATE_SIZE, WARMUP_BARS
from kernel.features.volatility_models import GARCH_SLOTS
from tests.kernel.features.fitted import fitted_state
from tests.kernel.features.worlds import market

ROOT = Path(__file__).resolve().parents[1]
BARS = 300_000
COST_BARS = 20_000
SIZES = (10_000, 100_000, 1_000_000)
LIVE_BARS = 5_000
CERTIFIED_BARS = 3_000
CUTS = 200
COLD = """
import time
import numpy as np
from kernel.features.engine import compute
from kernel.observation import OBSERVATION_FIELDS
bars = np.ones((10, len(OBSERVATION_FIELDS)))
bars[:, 0] = np.arange(10) * 900_000
start = time.perf_counter()
compute(bars)
print(time.perf_counter() - start)
"""

Values = NDArray[np.float64]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def repeated(obs: Values, bars: int) -> Values:
    """Return a history of any length: the same market again and again, at later times."""
    times = -(-bars // len(obs))
    longer = np.tile(obs, (times, 1))[:bars]
    longer[:, 0] = obs[0, 0] + 900_000 * np.arange(bars)
    return longer


def history(obs: Values) -> None:
    start = fitted_state()
    compute(obs[:100], start)
    taken = sorted(seconds(lambda: compute(obs, start)) for _ in range(3))
    print(
        f"   {len(FEATURES)} features, {len(obs):,} bars, one core: {taken[1]:.2f} s (of 3: "
        f"{taken[0]:.2f} to {taken[2]:.2f}), {taken[1] / len(obs) * 1e6:.2f} µs a bar"
    )
    for bars in SIZES:
        longer = repeated(obs, bars)
        took = seconds(lambda longer=longer: compute(longer, start))
        print(f"   {bars:>9,} bars: {took:.2f} s, {took / bars * 1e6:.2f} µs a bar")


def live(obs: Values) -> None:
    _, state = compute(obs[:WARMUP_BARS], fitted_state())
    rows = obs[WARMUP_BARS : WARMUP_BARS + LIVE_BARS]
    stream = Stream(state)
    features: list[list[float]] = []
    lapses: list[float] = []
    for row in rows.tolist():
        start = time.perf_counter()
        features.append(stream.push(row))
        lapses.append(time.perf_counter() - start)
    batch, after = compute(rows, state)
    differing = np.count_nonzero(batch.view(np.uint8) != np.array(features).view(np.uint8))
    differing += np.count_nonzero(after.view(np.uint8) != stream.snapshot().view(np.uint8))
    p50, p99 = np.percentile(lapses, (50, 99)) * 1e3
    print(
        f"   live, plain Python: {p50:.2f} ms a bar p50, {p99:.2f} ms p99; {differing} bytes "
        "differ from history"
    )
    turns = [seconds(lambda: Stream(stream.snapshot())) for _ in range(200)]
    print(
        f"   state {STATE_SIZE * 8 / 1024:.0f} KiB; snapshot and restore "
        f"{np.median(turns) * 1e3:.2f} ms, p99 {np.percentile(turns, 99) * 1e3:.2f} ms"
    )


def costs(obs: Values) -> None:
    """Measure each group alone, and keep the figures for docs/features.md."""
    found = {group.name: cost(group, obs[:COST_BARS]) for group in GROUPS}
    (ROOT / "docs/features/costs.json").write_text(
        json.dumps(found, indent=1, sort_keys=True) + "\n"
    )
    for name, one in found.items():
        print(
            f"   {name:>18}: {one['compiled_us']:.3f} µs a bar compiled, {one['live_us']:.1f} live"
        )


def cost(group: Group, obs: Values) -> dict[str, float]:
    """Return µs a bar, all inputs present: the best of five folds, the median live bar."""
    fold = compiled(fold_of(group.step))
    width = len(group.features)
    fit = np.ones(len(obs), dtype=np.bool_)
    out = np.empty((len(obs), width))
    start = np.zeros(group.state_size)
    if group.name == "volatility_models":
        start[GARCH_SLOTS : GARCH_SLOTS + 3] = (2e-7, 0.08, 0.9)
    history_s = min(seconds(lambda: fold(start.copy(), obs, fit, out, 0, width)) for _ in range(5))
    fold(start, obs, fit, out, 0, width)
    state = start.tolist()
    cells = [0.0] * width
    lapses = [seconds(lambda row=row: group.step(state, row, cells)) for row in obs[:999].tolist()]
    return {
        "compiled_us": round(history_s / len(obs) * 1e6, 3),
        "live_us": round(float(np.median(lapses)) * 1e6, 1),
    }


def compile_seconds() -> tuple[float, float]:
    """Return the first call's seconds in a fresh process, with an empty and with a full cache."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "XDG_CACHE_HOME": cache}
        command = [sys.executable, "-c", COLD]
        runs = [
            subprocess.run(
                command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
            )
            for _ in range(2)
        ]
    cold, kept = (float(run.stdout) for run in runs)
    return cold, kept


def proof(obs: Values) -> None:
    _, warm = compute(obs[:WARMUP_BARS], fitted_state())
    rows = obs[WARMUP_BARS : WARMUP_BARS + CERTIFIED_BARS]
    rng = np.random.default_rng(0)
    certificates = certify(lambda part: compute(part, warm), rows, rng, CUTS)
    print(
        f"   leak certificates: {len(certificates)} features x {certificates[0].cuts} cuts, cut "
        f"off and scrambled: {sum(one.mismatches for one in certificates)} past values changed of "
        f"{sum(one.values for one in certificates):,}"
    )


def main() -> None:
    obs = market(BARS, seed=7)
    history(obs)
    costs(obs)
    live(obs)
    cold, kept = compile_seconds()
    print(f"   cold start: {cold:.1f} s to compile, {kept:.2f} s from the disk cache")
    proof(obs)


if __name__ == "__main__":
    main()
