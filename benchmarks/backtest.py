"""Time one backtest over 300,000 bars, and the same step in plain Python on a slice of them.

Run with `python -m benchmarks.backtest`.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from kernel.bars import Bars
from kernel.observation import Series, settled_by_hour
from kernel.trading import Trader, TradingSettings, fold
from research.backtest import run as backtest
from research.evaluation.metrics import summarize

BARS, SLICE, ROUNDS, BUDGET_MS = 300_000, 20_000, 9, 10.0
BAR_MS = 900_000
SETTINGS = TradingSettings(
    min_confidence=0.55,
    min_prob_diff=0.1,
    take_profit_atr=3.0,
    stop_loss_atr=3.0,
    horizon_bars=48,
    risk_per_trade=0.005,
    max_notional_fraction=0.1,
    fee_bps=4.5,
    half_spread_bps=0.5,
    slippage_bps=1.0,
    max_daily_loss=0.03,
    max_weekly_drawdown=0.2,
    max_session_drawdown=0.1,
    max_consecutive_losses=5,
    pause_bars=16,
    initial_equity=10_000.0,
)


def market() -> tuple[Bars, dict[str, np.ndarray]]:
    """Return 300,000 bars of 15 minutes of a seeded random walk and what a model says of them."""
    rng = np.random.default_rng(7)
    close = 30_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.0035, BARS)))
    opened = np.concatenate([[30_000.0], close[:-1]])
    high = np.maximum(opened, close) * np.exp(rng.exponential(0.001, BARS))
    low = np.minimum(opened, close) * np.exp(-rng.exponential(0.001, BARS))
    times = 1_577_836_800_000 + np.arange(BARS, dtype=np.int64) * BAR_MS
    bars = Bars(
        open_time_ms=times, open=opened, high=high, low=low, close=close, volume=np.ones(BARS)
    )
    settled_ms = np.arange(times[0], times[-1], 28_800_000)
    rates = Series("funding_rate", settled_ms, settled_ms, np.full(len(settled_ms), 1e-4))
    known = {
        "atr": close * 0.005,
        "probabilities": rng.dirichlet([2.0, 2.0, 2.0], BARS),
        "funding": settled_by_hour(rates, times + BAR_MS),
    }
    return bars, known


def milliseconds(work: Callable[[], object]) -> float:
    """Return the median wall time of the work over several rounds, after one to warm up."""
    work()
    times: list[float] = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def main() -> None:
    """Print the figures of the paired run."""
    bars, known = market()
    result = backtest.run(bars, **known, settings=SETTINGS, bar_ms=BAR_MS)
    rows = result.rows
    folded = milliseconds(lambda: fold(rows, SETTINGS))
    whole = milliseconds(lambda: backtest.run(bars, **known, settings=SETTINGS, bar_ms=BAR_MS))
    summary = milliseconds(lambda: summarize(result.trades, result.equity, BAR_MS))
    some = rows[:SLICE].tolist()

    def live() -> list[list[float]]:
        trader = Trader(SETTINGS)
        return [trader.push(row) for row in some]

    python = milliseconds(live)
    differing = int((np.array(live()).view("u8") != result.out[:SLICE].view("u8")).sum()) * 8
    extrapolated = python * BARS / SLICE
    print(f"backtest of {BARS:,} bars with costs, funding and guards, medians of {ROUNDS}")
    print(f"  trading step folded, compiled       {folded:9.1f} ms   (budget {BUDGET_MS:.0f} ms)")
    print(f"  whole backtest (rows, fold, trades) {whole:9.1f} ms   {len(result.trades):,} trades")
    print(f"  metrics of its result               {summary:9.1f} ms")
    each, ratio = python / SLICE * 1e3, extrapolated / folded
    print(f"  same step, plain Python, {SLICE:,} bars {python:7.1f} ms   {each:.1f} µs a bar")
    print(f"  extrapolated to {BARS:,} bars        {extrapolated:9.0f} ms   {ratio:.0f} × compiled")
    print(f"  differing bytes, compiled and plain {differing:9d}")


if __name__ == "__main__":
    main()
