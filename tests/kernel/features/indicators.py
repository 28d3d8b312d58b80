"""The bar features once more, in pandas: whole columns instead of steps."""

from collections.abc import Callable

import numpy as np
import pandas as pd

Formula = Callable[[pd.DataFrame], pd.Series]


def seeded_average(x: pd.Series, bars: int, alpha: float) -> pd.Series:
    """Average exponentially from the mean of the first `bars` values that are not NaN."""
    first = x.first_valid_index()
    present = x if first is None else x.loc[first:]
    seeded = present.copy()
    seeded.iloc[: bars - 1] = np.nan
    if len(present) >= bars:
        seeded.iloc[bars - 1] = present.iloc[:bars].mean()
    return seeded.ewm(alpha=alpha, adjust=False).mean().reindex(x.index)


def ema(x: pd.Series, bars: int) -> pd.Series:
    return seeded_average(x, bars, 2.0 / (bars + 1.0))


def wilder(x: pd.Series, bars: int) -> pd.Series:
    return seeded_average(x, bars, 1.0 / bars)


def rsi(close: pd.Series, bars: int = 14) -> pd.Series:
    change = close.diff()
    gain = wilder(change.clip(lower=0.0), bars)
    loss = wilder((-change).clip(lower=0.0), bars)
    return 100.0 - 100.0 / (1.0 + gain / loss)


def true_range(frame: pd.DataFrame) -> pd.Series:
    previous = frame.close.shift()
    spans = [frame.high - frame.low, (frame.high - previous).abs(), (frame.low - previous).abs()]
    return pd.concat(spans, axis=1).max(axis=1).where(previous.notna())


def atr(frame: pd.DataFrame, bars: int = 14) -> pd.Series:
    return wilder(true_range(frame), bars)


def directional(frame: pd.DataFrame, side: str) -> pd.Series:
    up = frame.high.diff()
    down = -frame.low.diff()
    move, other = (up, down) if side == "+" else (down, up)
    movement = move.where((move > other) & (move > 0.0), 0.0).where(move.notna())
    return 100.0 * wilder(movement, 14) / atr(frame)


def adx(frame: pd.DataFrame) -> pd.Series:
    plus = directional(frame, "+")
    minus = directional(frame, "-")
    return wilder(100.0 * (plus - minus).abs() / (plus + minus), 14)


def stack(frame: pd.DataFrame) -> pd.Series:
    fast, middle, slow = (ema(frame.close, bars) for bars in (20, 50, 200))
    order = ((fast > middle) & (middle > slow)).astype(float) - ((fast < middle) & (middle < slow))
    return order.where(slow.notna())


def aroon(frame: pd.DataFrame) -> pd.Series:
    up = frame.high.rolling(26).apply(lambda w: 25.0 - np.argmax(w[::-1]), raw=True)
    down = frame.low.rolling(26).apply(lambda w: 25.0 - np.argmin(w[::-1]), raw=True)
    return 4.0 * up - 4.0 * down


def macd(close: pd.Series) -> pd.Series:
    slow = ema(close, 26)
    return ema(close, 12).where(slow.notna()) - slow


def macd_signal(close: pd.Series) -> pd.Series:
    return ema(macd(close), 9)


def stochastic(frame: pd.DataFrame) -> pd.Series:
    bottom = frame.low.rolling(14).min()
    place = (frame.close - bottom) / (frame.high.rolling(14).max() - bottom)
    return 100.0 * place.rolling(3).mean()


def typical(frame: pd.DataFrame) -> pd.Series:
    return (frame.high + frame.low + frame.close) / 3.0


def channel_index(frame: pd.DataFrame) -> pd.Series:
    price = typical(frame)
    spread = price.rolling(20).apply(lambda w: np.abs(w - w.mean()).mean(), raw=True)
    return (price - price.rolling(20).mean()) / (0.015 * spread)


def momentum_decay(frame: pd.DataFrame) -> pd.Series:
    size = frame.close.pct_change(8).abs()
    return 1.0 - size / size.rolling(24).max()


def direction(frame: pd.DataFrame) -> pd.Series:
    return np.sign(frame.close - frame.open)


def run(frame: pd.DataFrame) -> pd.Series:
    signs = direction(frame)
    lengths = signs.groupby((signs != signs.shift()).cumsum()).cumcount() + 1.0
    return (signs * lengths.clip(upper=10.0)).where(frame.index >= 9)


def adverse(frame: pd.DataFrame) -> pd.Series:
    move = np.sign(frame.close.diff(16))
    signs = direction(frame)
    rising, falling = ((signs == side).rolling(16).mean() for side in (1.0, -1.0))
    return falling.where(move > 0.0, rising.where(move < 0.0, 0.0)).where(move.notna())


def wick(frame: pd.DataFrame, side: str) -> pd.Series:
    body = frame[["open", "close"]]
    length = frame.high - body.max(axis=1) if side == "upper" else body.min(axis=1) - frame.low
    return (length / (frame.high - frame.low)).fillna(0.0)


def band_width(frame: pd.DataFrame) -> pd.Series:
    return 4.0 * frame.close.rolling(20).std(ddof=0) / frame.close.rolling(20).mean()


def band_position(frame: pd.DataFrame) -> pd.Series:
    middle = frame.close.rolling(20).mean()
    deviation = frame.close.rolling(20).std(ddof=0)
    return (frame.close - (middle - 2.0 * deviation)) / (4.0 * deviation)


def squeeze(frame: pd.DataFrame) -> pd.Series:
    middle = frame.close.rolling(20).mean()
    deviation = frame.close.rolling(20).std(ddof=0)
    centre = ema(frame.close, 20)
    reach = 1.5 * atr(frame, 20)
    above = middle + 2.0 * deviation < centre + reach
    below = middle - 2.0 * deviation > centre - reach
    return (above & below).astype(float).where(reach.notna())


def efficiency(frame: pd.DataFrame) -> pd.Series:
    return frame.close.diff(10).abs() / frame.close.diff().abs().rolling(10).sum()


def choppiness(frame: pd.DataFrame) -> pd.Series:
    previous = frame.close.shift()
    top = frame.high.clip(lower=previous).where(previous.notna()).rolling(14).max()
    bottom = frame.low.clip(upper=previous).where(previous.notna()).rolling(14).min()
    way = true_range(frame).rolling(14).sum()
    return 100.0 * np.log10(way / (top - bottom)) / np.log10(14.0)


def chaikin(frame: pd.DataFrame) -> pd.Series:
    span = frame.high - frame.low
    lean = ((frame.close - frame.low) - (frame.high - frame.close)) / span.where(span > 0.0)
    return (lean.fillna(0.0) * frame.volume).rolling(20).sum() / frame.volume.rolling(20).sum()


def surge(frame: pd.DataFrame) -> pd.Series:
    usual = frame.volume.shift().rolling(20).mean()
    return (frame.volume > 2.0 * usual).astype(float).where(usual.notna())


def money_flow(frame: pd.DataFrame) -> pd.Series:
    price = typical(frame)
    change = price.pct_change()
    flow = (price * frame.volume).where(change.notna())
    gained, lost = (flow.where(side, 0.0) for side in (change > 1e-12, change < -1e-12))
    gains = gained.rolling(14).sum()
    losses = lost.rolling(14).sum()
    return (100.0 - 100.0 / (1.0 + gains / losses)).where(flow.rolling(14).count() == 14)


def balance(frame: pd.DataFrame) -> pd.Series:
    signed = np.sign(frame.close.diff()) * frame.volume
    return signed.rolling(20).sum() / frame.volume.rolling(20).sum()


def round_number(frame: pd.DataFrame) -> pd.Series:
    coarsest = 0.02 * frame.close
    power = 10.0 ** np.floor(np.log10(coarsest))
    steps = [m * power for m in (1.0, 2.0, 5.0)]
    step = pd.concat([s.where(s <= coarsest) for s in steps], axis=1).max(axis=1)
    return (frame.close - np.floor(frame.close / step + 0.5) * step) / frame.close


# Formula and the largest allowed difference, in the feature's own unit: 0 for what counts or
# compares, else what the two ways of rounding leave.
PANDAS: dict[str, tuple[Formula, float]] = {
    "return_1": (lambda frame: frame.close.pct_change(1), 1e-15),
    "hourly_return": (lambda frame: frame.close.pct_change(4), 1e-15),
    "return_16": (lambda frame: frame.close.pct_change(16), 1e-15),
    "price_vs_ema20": (lambda frame: frame.close / ema(frame.close, 20) - 1.0, 1e-14),
    "price_vs_ema50": (lambda frame: frame.close / ema(frame.close, 50) - 1.0, 1e-14),
    "price_vs_ema200": (lambda frame: frame.close / ema(frame.close, 200) - 1.0, 1e-14),
    "ema_stack": (stack, 0.0),
    "ema20_slope": (lambda frame: ema(frame.close, 20).pct_change(4), 1e-14),
    "adx_14": (adx, 1e-9),
    "plus_di_14": (lambda frame: directional(frame, "+"), 1e-9),
    "minus_di_14": (lambda frame: directional(frame, "-"), 1e-9),
    "aroon_oscillator_25": (aroon, 0.0),
    "rsi_14": (lambda frame: rsi(frame.close), 1e-9),
    "rsi_slope": (lambda frame: rsi(frame.close).diff(4), 1e-9),
    "rsi_7": (lambda frame: rsi(frame.close, 7), 1e-9),
    "macd_norm": (lambda frame: macd(frame.close) / frame.close, 1e-14),
    "macd_signal_norm": (lambda frame: macd_signal(frame.close) / frame.close, 1e-14),
    "macd_hist_norm": (
        lambda frame: (macd(frame.close) - macd_signal(frame.close)) / frame.close,
        1e-14,
    ),
    "stoch_k": (stochastic, 1e-9),
    "stoch_d": (lambda frame: stochastic(frame).rolling(3).mean(), 1e-9),
    "cci_20": (channel_index, 1e-7),
    "price_acceleration": (lambda frame: frame.close.pct_change(4).diff(4), 1e-15),
    "momentum_decay": (momentum_decay, 1e-9),
    "candle_direction": (direction, 0.0),
    "consecutive_direction": (run, 0.0),
    "candle_body_ratio": (
        lambda frame: ((frame.close - frame.open).abs() / (frame.high - frame.low)).fillna(0.0),
        1e-15,
    ),
    "upper_wick_ratio": (lambda frame: wick(frame, "upper"), 1e-15),
    "lower_wick_ratio": (lambda frame: wick(frame, "lower"), 1e-15),
    "adverse_candle_ratio": (adverse, 1e-12),
    "atr_14": (lambda frame: atr(frame) / frame.close, 1e-15),
    "atr_percentile": (lambda frame: atr(frame).rolling(96).rank(pct=True), 1e-12),
    "volatility_regime": (lambda frame: atr(frame).rolling(500).rank(pct=True), 1e-12),
    "bb_width": (band_width, 1e-9),
    "bb_squeeze": (squeeze, 0.0),
    "bb_position": (band_position, 1e-9),
    "market_quality": (efficiency, 1e-12),
    "choppiness_14": (choppiness, 1e-9),
    "volume_ratio": (lambda frame: frame.volume / frame.volume.rolling(20).mean(), 1e-12),
    "volume_delta": (chaikin, 1e-12),
    "volume_surge": (surge, 0.0),
    "mfi_14": (money_flow, 1e-9),
    "obv_slope": (balance, 1e-12),
    "dist_to_round_number": (round_number, 1e-15),
}
