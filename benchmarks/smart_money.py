"""The smart-money group over history beside smartmoneyconcepts in the same run, and live."""

import os
import time
from math import log

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.features import repeated, seconds
from kernel.compiled import compiled
from kernel.features.engine import fold_of
from kernel.features.smart_money import GROUP
from tests.kernel.features.worlds import market

PAIRED_BARS = (10_000, 30_000, 100_000)
PAIRS = {10_000: 3, 30_000: 3, 100_000: 1}
OUR_BARS = (10_000, 100_000, 300_000, 1_000_000)
BUDGET_BARS = 300_000
LIVE_BARS = 20_000

Values = NDArray[np.float64]


def ours(obs: Values) -> Values:
    """Return the 16 features, float64[n, 16]."""
    width = len(GROUP.features)
    out = np.empty((len(obs), width))
    fit = np.ones(len(obs), dtype=np.bool_)
    compiled(fold_of(GROUP.step))(np.zeros(GROUP.state_size), obs, fit, out, 0, width)
    return out


def theirs(frame: pd.DataFrame) -> None:
    """Detect the same structures: swings of 10 bars, blocks, gaps, breaks and pools."""
    os.environ.setdefault("SMC_CREDIT", "0")  # it greets on import
    from smartmoneyconcepts import smc

    swings = smc.swing_highs_lows(frame, swing_length=10)
    smc.ob(frame, swings)
    smc.fvg(frame)
    smc.bos_choch(frame, swings)
    smc.liquidity(frame, swings)


def paired(obs: Values) -> list[tuple[float, float]]:
    """Return our and their median seconds at each size, measured in turn."""
    medians: list[tuple[float, float]] = []
    for bars in PAIRED_BARS:
        rows = obs[:bars]
        frame = pd.DataFrame(rows[:, 1:6], columns=["open", "high", "low", "close", "volume"])
        pairs = [
            (seconds(lambda rows=rows: ours(rows)), seconds(lambda frame=frame: theirs(frame)))
            for _ in range(PAIRS[bars])
        ]
        our, their = np.median(np.array(pairs), axis=0)
        medians.append((our, their))
        ratios = sorted(their / our for our, their in pairs)
        print(
            f"   {bars:9,} bars: compiled {our * 1e3:6.1f} ms, smartmoneyconcepts {their:6.2f} s, "
            f"ratio {ratios[len(ratios) // 2]:.0f} "
            f"(of {len(pairs)} pairs: {ratios[0]:.0f} to {ratios[-1]:.0f})"
        )
    return medians


def at_budget(our: float, medians: list[tuple[float, float]]) -> None:
    """Say how theirs grows, and what that makes of the ratio at the size of the budget."""
    before, last = medians[-2][1], medians[-1][1]
    power = log(last / before) / log(PAIRED_BARS[-1] / PAIRED_BARS[-2])
    step = BUDGET_BARS / PAIRED_BARS[-1]
    print(
        f"   smartmoneyconcepts grows as bars^{power:.2f}: at {BUDGET_BARS:,} bars ours takes "
        f"{our:.3f} s and theirs {last * step**power:.0f} s, ratio {last * step**power / our:.0f}; "
        f"were it linear {last * step:.0f} s, ratio {last * step / our:.0f}"
    )


def linear(obs: Values) -> float:
    """Print our cost a bar at each size; return the seconds at the size of the budget."""
    best: dict[int, float] = {}
    for bars in OUR_BARS:
        best[bars] = min(seconds(lambda bars=bars: ours(obs[:bars])) for _ in range(3))
        print(f"   {bars:9,} bars: {best[bars] / bars * 1e9:.0f} ns a bar")
    return best[BUDGET_BARS]


def live(obs: Values) -> None:
    rows = obs[:LIVE_BARS].tolist()
    state, out = [0.0] * GROUP.state_size, [0.0] * len(GROUP.features)
    lapses: list[float] = []
    for row in rows:
        start = time.perf_counter()
        GROUP.step(state, row, out)
        lapses.append(time.perf_counter() - start)
    p50, p99 = np.percentile(lapses, (50, 99)) * 1e6
    print(f"   live: {p50:.1f} µs a bar p50, {p99:.1f} µs p99")


def main() -> None:
    obs = market(BUDGET_BARS, seed=7)
    ours(obs[:100])  # compile
    print(f"   {len(GROUP.features)} features, state of {GROUP.state_size} floats")
    medians = paired(obs)
    at_budget(linear(repeated(obs, max(OUR_BARS))), medians)
    live(obs)


if __name__ == "__main__":
    main()
