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
from kernel.features.smart_money import GROUP, WARMUP
from tests.kernel.features.worlds import market

PAIRS = {10_000: 3, 30_000: 3, 300_000: 1}
OUR_BARS = (10_000, 100_000, 300_000, 1_000_000)
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


def paired(obs: Values) -> None:
    """Print both medians and their ratio at each size, measured in turn, and how theirs grows."""
    medians: dict[int, float] = {}
    for bars, times in PAIRS.items():
        rows = obs[:bars]
        frame = pd.DataFrame(rows[:, 1:6], columns=["open", "high", "low", "close", "volume"])
        pairs = [
            (seconds(lambda rows=rows: ours(rows)), seconds(lambda frame=frame: theirs(frame)))
            for _ in range(times)
        ]
        ratios = sorted(their / our for our, their in pairs)
        our, medians[bars] = np.median(np.array(pairs), axis=0)
        print(
            f"   {bars:9,} bars: compiled {our * 1e3:.1f} ms, smartmoneyconcepts "
            f"{medians[bars]:.2f} s, ratio {ratios[times // 2]:.0f} "
            f"(of {times}: {ratios[0]:.0f} to {ratios[-1]:.0f})"
        )
    small = min(medians)
    large = max(medians)
    power = log(medians[large] / medians[small]) / log(large / small)
    print(f"   smartmoneyconcepts grows as bars^{power:.2f}")


def linear(obs: Values) -> None:
    for bars in OUR_BARS:
        best = min(seconds(lambda bars=bars: ours(obs[:bars])) for _ in range(3))
        print(f"   {bars:9,} bars: {best / bars * 1e9:.0f} ns a bar")


def live(obs: Values) -> None:
    rows = obs[:LIVE_BARS].tolist()
    state = [0.0] * GROUP.state_size
    out = [0.0] * len(GROUP.features)
    lapses: list[float] = []
    for row in rows:
        start = time.perf_counter()
        GROUP.step(state, row, out)
        lapses.append(time.perf_counter() - start)
    p50, p99 = np.percentile(lapses[WARMUP:], (50, 99)) * 1e6
    print(f"   live: {p50:.1f} µs a bar p50, {p99:.1f} µs p99")


def main() -> None:
    obs = market(max(PAIRS), seed=7)
    ours(obs[:100])  # compile
    print(f"   {len(GROUP.features)} features, state of {GROUP.state_size} floats")
    paired(obs)
    linear(repeated(obs, max(OUR_BARS)))
    live(obs)


if __name__ == "__main__":
    main()
