"""Tiny markets, candle by candle, for the tests of the smart-money group."""

import numpy as np
from numpy.typing import NDArray

from kernel.features.smart_money import GROUP, WARMUP
from tests.kernel.features import alone, slow_smart_money
from tests.kernel.features.worlds import market

CALM = (100.0, 101.0, 99.0, 100.0, 10.0)
PEAK = (100.0, 105.0, 99.0, 100.0, 10.0)
DIP = (100.0, 101.0, 95.0, 100.0, 10.0)
RISE = (100.0, 108.0, 99.0, 107.0, 40.0)
FALL = (100.0, 101.0, 92.0, 93.0, 40.0)
FALLING = (100.0, 102.0, 98.0, 99.0, 10.0)
ABOVE = (105.0, 107.0, 104.0, 106.0, 10.0)


def candles(*rows: tuple[float, float, float, float, float]) -> NDArray[np.float64]:
    """Return observations of the given open, high, low, close and volume, after a quiet start.

    The start is within 99..101 and leaves no swing, candle, block, gap or pool behind.
    """
    quiet = [(100.0, 101.0, 99.0, 100.0, 10.0)] * (WARMUP - 1)
    obs = market(WARMUP - 1 + len(rows), seed=0)
    obs[:, 1:6] = [*quiet, *rows]
    return obs


def feature(name: str, obs: NDArray[np.float64]) -> list[float]:
    """Return a feature from the first bar after the quiet start on, without ATR in the way."""
    return alone.column(GROUP, alone.batch(GROUP, obs)[0], name)[WARMUP - 1 :].tolist()


def atr(obs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ATR14 after the quiet start."""
    return slow_smart_money.wilder(obs)[WARMUP - 1 :]
