"""The smart-money features as the roadmap specifies them (17.4), on the library it names.

Written anew from its description and its listing: the same library calls, the same columns kept
and dropped, the same selections, arrays in place of row-by-row frames. Three things are kept that
are wrong: a level is searched among the first i *levels* instead of the bars before i, a level that
does not exist is a distance of 0, and none ever leaves. One had to change for the listing to run at
all: a window without any break is NaN, which it then casts to int.
"""

import os

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tests.kernel.features.slow_smart_money import wilder

Values = NDArray[np.float64]
NAMES = (
    "ob_bullish_present",
    "ob_bearish_present",
    "ob_bullish_dist",
    "ob_bearish_dist",
    "ob_volume_ratio",
    "fvg_bull_above",
    "fvg_bear_below",
    "fvg_bull_dist",
    "fvg_bear_dist",
    "recent_bos",
    "recent_choch",
    "structure_bias",
    "liq_above_dist",
    "liq_below_dist",
)


def detected(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return what the library finds, swing length 10, without its columns of later bars."""
    os.environ.setdefault("SMC_CREDIT", "0")  # it greets on import
    from smartmoneyconcepts import smc

    swings = smc.swing_highs_lows(frame, swing_length=10)
    return {
        "blocks": smc.ob(frame, swings)[["OB", "Top", "Bottom", "OBVolume"]],
        "gaps": smc.fvg(frame)[["FVG", "Top", "Bottom"]],
        "breaks": smc.bos_choch(frame, swings)[["BOS", "CHOCH", "Level"]],
        "pools": smc.liquidity(frame, swings)[["Liquidity", "Level"]],
    }


def candles(obs: Values) -> pd.DataFrame:
    """Return the frame that the library reads."""
    return pd.DataFrame(obs[:, 1:6], columns=["open", "high", "low", "close", "volume"])


def add_smc_features(obs: Values, *, by_time: bool = False) -> tuple[Values, None]:
    """Return the 14 features, float64[n, 14], of observations float64[n, K].

    `by_time` mends the search: among the levels of the bars before i.
    """
    frame = candles(obs)
    found = detected(frame)
    atr = wilder(obs)
    mean_volume = frame.volume.rolling(50, min_periods=1).mean().to_numpy()
    close = frame.close.to_numpy()
    features = pd.DataFrame({name: np.zeros(len(obs)) for name in NAMES})
    blocks = found["blocks"]
    gaps = found["gaps"]
    pools = found["pools"]
    kinds = (
        blocks[blocks.OB.eq(1)],
        blocks[blocks.OB.eq(-1)],
        gaps[gaps.FVG.eq(1)],
        gaps[gaps.FVG.eq(-1)],
        pools[pools.Liquidity.notna()],
    )
    for i in range(len(obs)):
        if atr[i] > 0.0:
            bull, bear, rising, falling, level = (
                kind.to_numpy()[: np.searchsorted(kind.index, i) if by_time else i]
                for kind in kinds
            )
            features.iloc[i, :5] = _blocks(bull, bear, close[i], atr[i], mean_volume[i])
            features.iloc[i, 5:9] = _gaps(rising, falling, close[i], atr[i])
            features.iloc[i, 12:] = _pools(level[:, 1], close[i], atr[i])
    for name, column in (("recent_bos", "BOS"), ("recent_choch", "CHOCH")):
        features[name] = found["breaks"][column].notna().rolling(8, min_periods=1).max()
    features["structure_bias"] = features.recent_bos - features.recent_choch
    distances = [name for name in NAMES if "dist" in name or "ratio" in name]
    features[distances] = features[distances].clip(-10.0, 10.0)
    return features.to_numpy(dtype=np.float64), None


def _blocks(bull: Values, bear: Values, close: float, atr: float, volume: float) -> list[float]:
    found = [0.0] * 5
    above_block = (close - bull[:, 1]) / atr
    below_block = (bear[:, 2] - close) / atr
    near = np.flatnonzero(np.abs(above_block) <= 3.0)
    if len(near):
        best = near[np.abs(above_block[near]).argmin()]
        found[0], found[2] = 1.0, above_block[best]
        found[4] = bull[best, 3] / volume if volume > 0.0 else 0.0
    near = np.flatnonzero(np.abs(below_block) <= 3.0)
    if len(near):
        found[1], found[3] = 1.0, below_block[near[np.abs(below_block[near]).argmin()]]
    return found


def _gaps(rising: Values, falling: Values, close: float, atr: float) -> list[float]:
    bottoms = rising[:, 2]
    tops = falling[:, 1]
    above = bottoms[bottoms > close]
    below = tops[tops < close]
    return [
        float(len(above) > 0),
        float(len(below) > 0),
        (above.min() - close) / atr if len(above) else 0.0,
        (close - below.max()) / atr if len(below) else 0.0,
    ]


def _pools(levels: Values, close: float, atr: float) -> list[float]:
    above = levels[levels > close]
    below = levels[levels < close]
    return [
        (above.min() - close) / atr if len(above) else 0.0,
        (close - below.max()) / atr if len(below) else 0.0,
    ]
