"""The whole feature catalogue over history beside the same set in pandas, and live, bar by bar."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kernel.features.certificate import certify
from kernel.features.engine import Stream, compute
from kernel.features.registry import FEATURES, WARMUP_BARS
from kernel.observation import OBSERVATION_FIELDS

BARS = 300_000
LIVE_BARS = 20_000
PAIRS = 3
SETTLED = 6_000  # bars after which different ways to start a recursion agree
COLD = """
import time
import numpy as np
from kernel.features.engine import compute
bars = np.ones((10, 11))
bars[:, 0] = np.arange(10) * 900_000
start = time.perf_counter()
compute(bars)
print(time.perf_counter() - start)
"""


def market(bars: int, seed: int = 7) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    close = 30_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.0035, bars)))
    opened = np.concatenate(([30_000.0], close[:-1]))
    day = np.arange(bars) // 96
    days = int(day[-1]) + 1
    columns = (
        1_672_531_200_000 + 900_000 * np.arange(bars),
        opened,
        np.maximum(opened, close) * (1.0 + np.abs(rng.normal(0.0, 0.001, bars))),
        np.minimum(opened, close) * (1.0 - np.abs(rng.normal(0.0, 0.001, bars))),
        close,
        rng.gamma(2.0, 50.0, bars),
        np.repeat(rng.normal(1e-4, 2e-4, 3 * days), 32)[:bars],
        1e9 * np.exp(np.cumsum(rng.normal(0.0, 0.002, bars))),
        rng.integers(5, 95, days)[day],
        rng.normal(0.0, 1e8, days)[day],
        rng.normal(1.8, 0.1, days)[day],
    )
    return np.column_stack(columns).astype(np.float64)


def ema(x: pd.Series, bars: int) -> pd.Series:
    return x.ewm(span=bars, adjust=False).mean()


def wilder(x: pd.Series) -> pd.Series:
    return x.ewm(alpha=1.0 / 14.0, adjust=False).mean()


def rsi(close: pd.Series) -> pd.Series:
    change = close.diff().dropna()
    gain, loss = wilder(change.clip(lower=0.0)), wilder((-change).clip(lower=0.0))
    return 100.0 * gain / (gain + loss)


def adx(frame: pd.DataFrame) -> pd.Series:
    up, down = frame.high.diff(), -frame.low.diff()
    plus = wilder(up.where((up > down) & (up > 0.0), 0.0))
    minus = wilder(down.where((down > up) & (down > 0.0), 0.0))
    return wilder(100.0 * (plus - minus).abs() / (plus + minus))


def average_true_range(frame: pd.DataFrame) -> pd.Series:
    previous = frame.close.shift()
    spans = (frame.high - frame.low, (frame.high - previous).abs(), (frame.low - previous).abs())
    return wilder(pd.concat(spans, axis=1).max(axis=1))


def joined_back(frame: pd.DataFrame, higher: pd.DataFrame) -> pd.DataFrame:
    ends = pd.DataFrame({"end": frame.index + pd.Timedelta("15min")})
    return pd.merge_asof(ends, higher, left_on="end", right_index=True).set_index(frame.index)


def context(frame: pd.DataFrame) -> dict[str, pd.Series]:
    h4, d1 = frame.close.resample("4h").last(), frame.close.resample("24h").last()
    h4.index += pd.Timedelta("4h")
    d1.index += pd.Timedelta("24h")
    four = joined_back(frame, pd.DataFrame({"bias": h4 / ema(h4, 20) - 1.0, "rsi": rsi(h4)}))
    daily = joined_back(frame, pd.DataFrame({"trend": d1 / ema(d1, 10) - 1.0}))
    day_open = frame.open.resample("24h").transform("first")
    return {
        "h4_ema_bias": four.bias,
        "h4_rsi_norm": four.rsi,
        "d1_trend": daily.trend,
        "price_vs_d1_open": frame.close / day_open - 1.0,
    }


def calendar(frame: pd.DataFrame) -> dict[str, pd.Series]:
    close = frame.index + pd.Timedelta("15min")
    hour = pd.Series(close.hour + close.minute / 60.0, index=frame.index)
    return {
        "is_asian_session": (hour < 8.0).astype(float),
        "is_london_session": ((hour >= 7.0) & (hour < 16.0)).astype(float),
        "is_ny_session": ((hour >= 13.0) & (hour < 22.0)).astype(float),
        "session_hour_sin": np.sin(2.0 * np.pi * hour / 24.0),
        "session_hour_cos": np.cos(2.0 * np.pi * hour / 24.0),
    }


def trend_and_momentum(frame: pd.DataFrame) -> dict[str, pd.Series]:
    close = frame.close
    fast, middle, slow = ema(close, 20), ema(close, 50), ema(close, 200)
    rising, falling = (fast > middle) & (middle > slow), (fast < middle) & (middle < slow)
    macd = ema(close, 12) - ema(close, 26)
    strength = rsi(close)
    return {
        "return_1": close.pct_change(1),
        "hourly_return": close.pct_change(4),
        "return_16": close.pct_change(16),
        "price_vs_ema20": close / fast - 1.0,
        "price_vs_ema50": close / middle - 1.0,
        "price_vs_ema200": close / slow - 1.0,
        "ema_stack": rising.astype(float) - falling.astype(float),
        "adx_14": adx(frame),
        "rsi_14": strength,
        "rsi_slope": strength.diff(4),
        "macd_hist_norm": (macd - ema(macd, 9)) / close,
    }


def volatility_and_volume(frame: pd.DataFrame) -> dict[str, pd.Series]:
    close, volume, span = frame.close, frame.volume, frame.high - frame.low
    atr = average_true_range(frame)
    middle, deviation = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    lean = (2.0 * close - frame.high - frame.low) / span
    return {
        "atr_14": atr / close,
        "atr_percentile": atr.rolling(500).rank(pct=True),
        "bb_width": 4.0 * deviation / middle,
        "bb_position": (close - (middle - 2.0 * deviation)) / (4.0 * deviation),
        "volume_ratio": volume / volume.rolling(20).mean(),
        "volume_delta": (lean * volume).rolling(20).sum() / volume.rolling(20).sum(),
    }


def slow_series(frame: pd.DataFrame) -> dict[str, pd.Series]:
    size = frame.exchange_net_flow.abs().ewm(alpha=1.0 / 2880.0, adjust=False).mean()
    return {
        "funding_rate_norm": frame.funding_rate.clip(-0.003, 0.003) / 0.003,
        "oi_change": frame.open_interest.pct_change(16).clip(-1.0, 1.0),
        "fear_greed": frame.fear_greed / 100.0,
        "exchange_net_flow_norm": (frame.exchange_net_flow / size).clip(-5.0, 5.0),
        "mvrv": frame.mvrv,
    }


def in_pandas(obs: NDArray[np.float64]) -> pd.DataFrame:
    index = pd.to_datetime(obs[:, 0].astype(np.int64), unit="ms")
    frame = pd.DataFrame(obs[:, 1:], columns=list(OBSERVATION_FIELDS[1:]), index=index)
    parts = (calendar, trend_and_momentum, volatility_and_volume, context, slow_series)
    columns = {name: column for part in parts for name, column in part(frame).items()}
    return pd.DataFrame(columns)[list(FEATURES)]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compile_seconds() -> tuple[float, float]:
    """Return the first call's seconds in a fresh process, with an empty and with a full cache."""
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "XDG_CACHE_HOME": cache}
        command = [sys.executable, "-c", COLD]
        runs = [
            subprocess.run(
                command, cwd=root, env=environment, check=True, capture_output=True, text=True
            )
            for _ in range(2)
        ]
    cold, kept = (float(run.stdout) for run in runs)
    return cold, kept


def history() -> None:
    obs = market(BARS)
    features, _ = compute(obs)
    gap = np.abs(features - in_pandas(obs).to_numpy())[SETTLED:]
    settled = [name for name in FEATURES if name != "exchange_net_flow_norm"]
    worst = gap[:, [FEATURES.index(name) for name in settled]].max()
    print(f"   {len(FEATURES)} features, {BARS:,} bars; largest difference to pandas {worst:.1e}")
    pairs = [(seconds(lambda: compute(obs)), seconds(lambda: in_pandas(obs))) for _ in range(PAIRS)]
    ratios = sorted(theirs / ours for ours, theirs in pairs)
    ours, theirs = np.median(np.array(pairs), axis=0)
    print(
        f"   history: compiled {ours * 1e3:.0f} ms, pandas {theirs * 1e3:.0f} ms, pandas / ours "
        f"{ratios[PAIRS // 2]:.1f} (of {PAIRS} pairs: {ratios[0]:.1f} to {ratios[-1]:.1f})"
    )


def live() -> None:
    obs = market(LIVE_BARS)
    rows = obs.tolist()
    stream = Stream()
    features: list[list[float]] = []
    lapses: list[float] = []
    for row in rows:
        start = time.perf_counter()
        features.append(stream.push(row))
        lapses.append(time.perf_counter() - start)
    batch, state = compute(obs)
    differing = np.count_nonzero(batch.view(np.uint8) != np.array(features).view(np.uint8))
    differing += np.count_nonzero(state.view(np.uint8) != stream.snapshot().view(np.uint8))
    p50, p99 = np.percentile(lapses[WARMUP_BARS:], (50, 99)) * 1e6
    print(
        f"   live: {p50:.0f} µs a bar p50, {p99:.0f} µs p99; {differing} bytes differ from history"
    )


def main() -> None:
    history()
    live()
    cold, kept = compile_seconds()
    print(f"   compiling in a fresh process: {cold:.1f} s, then {kept:.2f} s from the disk cache")
    certificates = certify(compute, market(5_000), np.random.default_rng(0), 500)
    changed = sum(certificate.mismatches for certificate in certificates)
    print(
        f"   leak certificates: {certificates[0].cuts} cuts and as many scrambled futures; "
        f"{changed} past values of {len(certificates)} features changed"
    )


if __name__ == "__main__":
    main()
