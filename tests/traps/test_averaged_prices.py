"""A price averaged over venues was traded nowhere; ours is one venue's, with its name beside it."""

from pathlib import Path

import numpy as np
import pandas as pd

from kernel.bars import Bars
from market_data.storage.lake import FOREVER_MS, Lake
from tests.market_data.served_venue import BAR_MS, walk

START_MS = 1_764_547_200_000
BARS = 500
TICK = 0.1
BASIS = 1.0004  # what one venue stands above the other on a usual day


def of_venue(factor: float) -> Bars:
    """Return bars of a venue whose prices are whole ticks."""
    bars = walk(START_MS, BARS)
    prices = {
        name: np.round(getattr(bars, name) * factor / TICK) * TICK
        for name in ("open", "high", "low", "close")
    }
    return Bars(bars.open_time_ms, volume=bars.volume, **prices)


def rows(bars: Bars, source: str) -> pd.DataFrame:
    times = {"event_time_ms": bars.open_time_ms, "known_at_ms": bars.open_time_ms + BAR_MS}
    values = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame({**times, "source": source, **values})


def off_tick(prices: np.ndarray) -> float:
    """Return the share of prices that no order could have had."""
    ticks = prices / TICK
    return float((np.abs(ticks - np.round(ticks)) > 1e-6).mean())


def test_the_seeds_mean_is_a_price_of_no_venue():
    """Half of the averaged closes lie between two ticks, and where one venue lags for an hour the
    mean jumps though neither traded there.
    """
    first = of_venue(1.0).close
    second = of_venue(BASIS).close
    mean = (first + second) / 2.0
    assert off_tick(first) == off_tick(second) == 0.0
    assert off_tick(mean) > 0.3
    only_first = np.where(np.arange(BARS) % 100 < 4, first, mean)  # the second is away
    jump = np.abs(only_first / mean - 1.0).max()
    assert jump > 1e-4


def test_our_candles_are_the_primarys_to_the_byte_whatever_a_second_venue_says(tmp_path: Path):
    """The reference is a table of its own: compared, never merged; every row names its source."""
    lake = Lake(root=str(tmp_path))
    primary = of_venue(1.0)
    lake.append("candles", "BTCUSDT", rows(primary, "primary"), FOREVER_MS)
    lake.append("reference_candles", "BTCUSDT", rows(of_venue(BASIS), "second"), FOREVER_MS)
    assert lake.bars("BTCUSDT", FOREVER_MS).close.tobytes() == primary.close.tobytes()
    assert set(lake.as_of("candles", "BTCUSDT", FOREVER_MS)["source"]) == {"primary"}
