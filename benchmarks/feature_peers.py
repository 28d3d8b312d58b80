"""Trend, momentum, volatility and volume beside what a researcher would write: pandas, TA-Lib."""

import numpy as np
import pandas as pd
import talib
from numpy.typing import NDArray

from benchmarks.features import seconds
from kernel.compiled import compiled
from kernel.features import momentum, trend, volatility, volume
from kernel.features.engine import BLOCK_BARS, fold_of
from kernel.features.registry import slices

BARS = 300_000
ROUNDS = 5
SETTLED = 6_000  # bars after which different ways to start a recursion agree
GROUPS = (trend.GROUP, momentum.GROUP, volatility.GROUP, volume.GROUP)
NAMES = [one.name for group in GROUPS for one in group.features]
Values = NDArray[np.float64]


def candles(bars: int) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    close = 30_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.0035, bars)))
    opened = np.concatenate(([30_000.0], close[:-1]))
    high = np.maximum(opened, close) * (1.0 + np.abs(rng.normal(0.0, 0.001, bars)))
    low = np.minimum(opened, close) * (1.0 - np.abs(rng.normal(0.0, 0.001, bars)))
    traded = rng.gamma(2.0, 50.0, bars)
    return pd.DataFrame(
        {"open": opened, "high": high, "low": low, "close": close, "volume": traded}
    )


def ours(rows: Values) -> Values:
    """Return the groups' features, folded block by block as the engine does."""
    fit = np.ones(len(rows), dtype=np.bool_)
    out = np.empty((len(rows), len(NAMES)))
    states = [np.zeros(group.state_size) for group in GROUPS]
    folds = [compiled(fold_of(group.step)) for group in GROUPS]
    places = slices([len(group.features) for group in GROUPS])
    for begin in range(0, len(rows), BLOCK_BARS):
        part = slice(begin, begin + BLOCK_BARS)
        for fold, state, place in zip(folds, states, places, strict=True):
            fold(state, rows[part], fit[part], out[part], place.start, place.stop)
    return out


def ema(x: pd.Series, bars: int) -> pd.Series:
    return x.ewm(span=bars, adjust=False).mean()


def wilder(x: pd.Series, bars: int = 14) -> pd.Series:
    return x.ewm(alpha=1.0 / bars, adjust=False).mean()


def rsi(close: pd.Series, bars: int) -> pd.Series:
    change = close.diff().dropna()
    gain, loss = (
        wilder(part, bars) for part in (change.clip(lower=0.0), (-change).clip(lower=0.0))
    )
    return 100.0 * gain / (gain + loss)


def true_range(frame: pd.DataFrame) -> pd.Series:
    previous = frame.close.shift()
    return np.maximum(frame.high, previous) - np.minimum(frame.low, previous)


def in_pandas(frame: pd.DataFrame) -> pd.DataFrame:
    parts = (trend_in_pandas, momentum_in_pandas, volatility_in_pandas, volume_in_pandas)
    return pd.DataFrame({name: column for part in parts for name, column in part(frame).items()})


def trend_in_pandas(frame: pd.DataFrame) -> dict[str, pd.Series]:
    close = frame.close
    fast = ema(close, 20)
    middle = ema(close, 50)
    slow = ema(close, 200)
    rising = (fast > middle) & (middle > slow)
    falling = (fast < middle) & (middle < slow)
    up = frame.high.diff()
    down = -frame.low.diff()
    span = wilder(true_range(frame))
    plus = wilder(up.where((up > down) & (up > 0.0), 0.0))
    minus = wilder(down.where((down > up) & (down > 0.0), 0.0))
    since_low = 25 - frame.low.rolling(26).apply(last_argmin, raw=True)
    since_high = 25 - frame.high.rolling(26).apply(last_argmax, raw=True)
    return {
        "price_vs_ema20": close / fast - 1.0,
        "price_vs_ema50": close / middle - 1.0,
        "price_vs_ema200": close / slow - 1.0,
        "ema_stack": rising.astype(float) - falling.astype(float),
        "ema20_slope": fast / fast.shift(4) - 1.0,
        "adx_14": wilder(100.0 * (plus - minus).abs() / (plus + minus)),
        "plus_di_14": 100.0 * plus / span,
        "minus_di_14": 100.0 * minus / span,
        "aroon_oscillator_25": 4.0 * (since_low - since_high),
    }


def last_argmin(window: Values) -> float:
    return len(window) - 1 - window[::-1].argmin()


def last_argmax(window: Values) -> float:
    return len(window) - 1 - window[::-1].argmax()


def momentum_in_pandas(frame: pd.DataFrame) -> dict[str, pd.Series]:
    close = frame.close
    strength = rsi(close, 14)
    macd = ema(close, 12) - ema(close, 26)
    signal = ema(macd, 9)
    bottom = frame.low.rolling(14).min()
    top = frame.high.rolling(14).max()
    slow_k = (100.0 * (close - bottom) / (top - bottom)).rolling(3).mean()
    typical = (frame.high + frame.low + close) / 3.0
    mean = typical.rolling(20).mean()
    windows = np.lib.stride_tricks.sliding_window_view(typical.to_numpy(), 20)
    spread = np.abs(windows - mean.to_numpy()[19:, None]).mean(axis=1)
    gap = (typical - mean).to_numpy()
    index = np.full(len(frame), np.nan)
    index[19:] = gap[19:] / (0.015 * spread)
    hourly = close.pct_change(4)
    moved = close.pct_change(8).abs()
    return {
        "rsi_14": strength,
        "rsi_slope": strength.diff(4),
        "rsi_7": rsi(close, 7),
        "macd_norm": macd / close,
        "macd_signal_norm": signal / close,
        "macd_hist_norm": (macd - signal) / close,
        "stoch_k": slow_k,
        "stoch_d": slow_k.rolling(3).mean(),
        "cci_20": pd.Series(index, index=frame.index),
        "price_acceleration": hourly - hourly.shift(4),
        "momentum_decay": 1.0 - moved / moved.rolling(24).max(),
    }


def volatility_in_pandas(frame: pd.DataFrame) -> dict[str, pd.Series]:
    close = frame.close
    spans = true_range(frame)
    atr = wilder(spans)
    keltner = wilder(spans, 20)
    middle = close.rolling(20).mean()
    deviation = close.rolling(20).std(ddof=0)
    inside = (middle + 2.0 * deviation < ema(close, 20) + 1.5 * keltner) & (
        middle - 2.0 * deviation > ema(close, 20) - 1.5 * keltner
    )
    previous = close.shift()
    reach = np.maximum(frame.high, previous).rolling(14).max()
    reach -= np.minimum(frame.low, previous).rolling(14).min()
    return {
        "atr_14": atr / close,
        "atr_percentile": atr.rolling(96).rank(pct=True),
        "volatility_regime": atr.rolling(500).rank(pct=True),
        "bb_width": 4.0 * deviation / middle,
        "bb_squeeze": inside.astype(float),
        "bb_position": (close - (middle - 2.0 * deviation)) / (4.0 * deviation),
        "market_quality": close.diff(10).abs() / close.diff().abs().rolling(10).sum(),
        "choppiness_14": 100.0 * np.log(spans.rolling(14).sum() / reach) / np.log(14.0),
    }


def volume_in_pandas(frame: pd.DataFrame) -> dict[str, pd.Series]:
    traded = frame.volume
    span = frame.high - frame.low
    lean = (2.0 * frame.close - frame.high - frame.low) / span
    typical = (frame.high + frame.low + frame.close) / 3.0
    flow = typical * traded
    rose = typical.diff()
    gained = flow.where(rose > 0.0, 0.0).rolling(14).sum()
    lost = flow.where(rose < 0.0, 0.0).rolling(14).sum()
    balance = (np.sign(frame.close.diff()) * traded).fillna(0.0).cumsum()
    return {
        "volume_ratio": traded / traded.rolling(20).mean(),
        "volume_delta": (lean * traded).rolling(20).sum() / traded.rolling(20).sum(),
        "volume_surge": (traded > 2.0 * traded.shift().rolling(20).mean()).astype(float),
        "mfi_14": 100.0 * gained / (gained + lost),
        "obv_slope": balance.diff(20) / traded.rolling(20).sum(),
    }


def in_talib(frame: pd.DataFrame) -> list[Values]:
    """Return the 22 indicators that TA-Lib has of these groups."""
    high, low, close, traded = (
        frame[name].to_numpy() for name in ("high", "low", "close", "volume")
    )
    hlc = (high, low, close)
    return [
        *(talib.EMA(close, bars) for bars in (20, 50, 200)),
        talib.ADX(*hlc, 14),
        talib.PLUS_DI(*hlc, 14),
        talib.MINUS_DI(*hlc, 14),
        talib.AROONOSC(high, low, 25),
        talib.RSI(close, 14),
        talib.RSI(close, 7),
        *talib.MACD(close, 12, 26, 9),
        *talib.STOCH(*hlc, 14, 3, 0, 3, 0),
        talib.CCI(*hlc, 20),
        talib.ATR(*hlc, 14),
        talib.ATR(*hlc, 20),
        *talib.BBANDS(close, 20),
        talib.MFI(*hlc, traded, 14),
        talib.OBV(close, traded),
    ]


def main() -> None:
    frame = candles(BARS)
    times = 1_672_531_200_000.0 + 900_000.0 * np.arange(BARS)
    rows = np.column_stack([times, frame.to_numpy()])
    features = ours(rows)
    theirs = in_pandas(frame)[NAMES].to_numpy()
    gap = np.nanmax(np.abs(features - theirs)[SETTLED:] / (1.0 + np.abs(theirs[SETTLED:])), axis=0)
    worst = int(gap.argmax())
    print(
        f"   {len(NAMES)} features, {BARS:,} bars; largest difference to pandas {gap[worst]:.1e} "
        f"({NAMES[worst]})"
    )
    works = (
        lambda: ours(rows),
        lambda: in_pandas(frame),
        lambda: in_talib(frame),
        lambda: ranks_and_rest(frame),
    )
    rounds = np.array([[seconds(work) for work in works] for _ in range(ROUNDS)]) * 1e3
    own, in_pandas_ms, in_talib_ms, rest_ms = rounds.T
    indicators = len(in_talib(frame))
    each = own / len(NAMES)
    peer = in_talib_ms / indicators
    print(
        f"   ms a feature, median of {ROUNDS} paired rounds: ours {np.median(each):.2f}; pandas "
        f"{np.median(in_pandas_ms) / len(NAMES):.2f}, {np.median(in_pandas_ms / own):.1f} x ours; "
        f"TA-Lib's {indicators} indicators {np.median(peer):.2f}, ours take "
        f"{np.median(each / peer):.2f} x as long"
    )
    print(
        "   the whole set, with TA-Lib where it has it and pandas for the rest: "
        f"{np.median((in_talib_ms + rest_ms) / own):.1f} x ours"
    )


def ranks_and_rest(frame: pd.DataFrame) -> object:
    """Compute with pandas what TA-Lib lacks of the set."""
    atr = pd.Series(talib.ATR(frame.high, frame.low, frame.close, 14))
    moved = frame.close.pct_change(8).abs()
    spans = true_range(frame)
    return (
        atr.rolling(96).rank(pct=True),
        atr.rolling(500).rank(pct=True),
        frame.close.pct_change(4).diff(4),
        1.0 - moved / moved.rolling(24).max(),
        frame.close.diff(10).abs() / frame.close.diff().abs().rolling(10).sum(),
        np.log(
            spans.rolling(14).sum() / (frame.high.rolling(14).max() - frame.low.rolling(14).min())
        ),
        volume_in_pandas(frame)["volume_ratio"],
        volume_in_pandas(frame)["volume_surge"],
        volume_in_pandas(frame)["volume_delta"],
    )


if __name__ == "__main__":
    main()
