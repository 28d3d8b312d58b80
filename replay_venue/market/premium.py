"""Index and mark price around the traded one, minute by minute.

The perpetual trades at index * exp(premium + flutter): the premium follows the trend of returns and
sets the funding rate; the flutter reverts to nothing within minutes. The mark price is the index
with the premium, without the flutter.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay_venue.market.instruments import Perpetual
from replay_venue.market.tape import Block
from replay_venue.market.weather import BAR_MINUTES, stream

FLUTTER = 0.0001  # standard deviation at unit volatility
EXTRA_DECIMALS = 2  # beyond those of the traded price
_FLUTTER_MINUTES = 24
_KERNEL = np.exp(-np.arange(_FLUTTER_MINUTES) / 4.0)


@dataclass(frozen=True, slots=True)
class Quoted:
    """Minute candles of mark and index, float64[m, 4] each: open, high, low, close."""

    mark: NDArray[np.float64]
    index: NDArray[np.float64]


def quoted(seed: int, what: Perpetual, number: int, block: Block) -> Quoted:
    """Return mark and index of block `number`; each minute opens where the one before closed.

    Between a minute's ends the premium is taken as their mean, so that the extremes are those of
    the traded price, moved.
    """
    minutes = block.minutes[:, :4] / 10.0**what.tick_decimals
    flutter = _flutter(seed, what, number, len(minutes))
    bounds = np.arange(len(minutes) + 1) / BAR_MINUTES
    premium = np.interp(bounds, np.arange(len(block.premium)), block.premium)
    decimals = what.tick_decimals + EXTRA_DECIMALS
    return Quoted(
        _candles(minutes, flutter, decimals), _candles(minutes, flutter + premium, decimals)
    )


def _candles(
    minutes: NDArray[np.float64], above: NDArray[np.float64], decimals: int
) -> NDArray[np.float64]:
    """Return candles `above` below the traded ones, where float64[m + 1] is at their bounds."""
    factor = np.exp(-above)
    middle = np.exp(-0.5 * (above[1:] + above[:-1]))
    open_ = minutes[:, 0] * factor[:-1]
    close = minutes[:, 3] * factor[1:]
    high = np.maximum(minutes[:, 1] * middle, np.maximum(open_, close))
    low = np.minimum(minutes[:, 2] * middle, np.minimum(open_, close))
    scale = 10.0**decimals
    return np.rint(np.column_stack([open_, high, low, close]) * scale) / scale


def _flutter(seed: int, what: Perpetual, number: int, minutes: int) -> NDArray[np.float64]:
    """Return the flutter at the bounds of a block's minutes; blocks join without a step."""
    kernel = what.volatility * FLUTTER / np.sqrt((_KERNEL**2).sum()) * _KERNEL
    before = _draws(seed, what, number - 1, minutes)[-_FLUTTER_MINUTES:] if number else kernel * 0.0
    draws = np.concatenate([before, _draws(seed, what, number, minutes)])
    return np.correlate(draws, kernel[::-1], "valid").astype(np.float64)


def _draws(seed: int, what: Perpetual, number: int, minutes: int) -> NDArray[np.float64]:
    return stream(seed, number, f"{what.symbol} flutter").standard_normal(minutes)
