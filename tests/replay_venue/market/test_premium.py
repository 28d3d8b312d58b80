"""Mark and index belong to the traded price and to the funding that it settles."""

import numpy as np
import pytest

from kernel.bars import TIMEFRAME_MS, Bars
from replay_venue.market.climate import Climate
from replay_venue.market.generator import FUNDING_MS, EndlessHistory
from replay_venue.market.weather import BLOCK_MS, DAY_MS, GENESIS_MS

END = GENESIS_MS + 6 * BLOCK_MS


@pytest.fixture(scope="module")
def history() -> EndlessHistory:
    return EndlessHistory(Climate(7), "BTCUSDT", 0.12)


def above(left: Bars, right: Bars) -> np.ndarray:
    """Return how far closes of `left` lie above those of `right`, as logs."""
    return np.log(left.close / right.close)


@pytest.mark.parametrize("timeframe", ["1m", "15m", "4h"])
def test_quoted_candles_are_candles(history: EndlessHistory, timeframe: str) -> None:
    """Each opens where the one before closed, extremes hold, and nothing is traded in them."""
    for read in (history.mark_bars, history.index_bars):
        bars = read(GENESIS_MS, GENESIS_MS + 60 * DAY_MS, timeframe)
        assert len(bars) == 60 * DAY_MS // TIMEFRAME_MS[timeframe]
        assert np.array_equal(bars.open[1:], bars.close[:-1])
        assert np.all(bars.high >= np.maximum(bars.open, bars.close))
        assert np.all(bars.low <= np.minimum(bars.open, bars.close))
        assert np.all(bars.volume == 0)
        assert np.array_equal(bars.close, np.around(bars.close, 3))


def test_mark_stays_near_the_traded_price_and_comes_back(history: EndlessHistory) -> None:
    """The flutter between them is a basis point wide and half gone in three minutes."""
    window = (GENESIS_MS, GENESIS_MS + 60 * DAY_MS, "1m")
    flutter = above(history.bars(*window), history.mark_bars(*window))
    assert abs(flutter.mean()) < 0.00001
    assert 0.00007 < flutter.std() < 0.00013
    assert 0.4 < np.corrcoef(flutter[3:], flutter[:-3])[0, 1] < 0.6
    assert abs(np.corrcoef(flutter[30:], flutter[:-30])[0, 1]) < 0.03


def test_premium_over_eight_hours_is_what_funding_settles(history: EndlessHistory) -> None:
    """The mean premium of the mark over the index before a settlement is its rate, nearly."""
    window = (GENESIS_MS, END, "15m")
    premium = above(history.mark_bars(*window), history.index_bars(*window))
    mean = premium.reshape(-1, FUNDING_MS // 900_000).mean(axis=1)[:-1]
    rate = history.funding(GENESIS_MS + FUNDING_MS, END).value
    assert np.corrcoef(mean, rate)[0, 1] > 0.85
    assert abs(mean.mean() - rate.mean()) < 0.00002
    assert 0.5 < rate.std() / mean.std() < 1.5


def test_quoted_window_is_a_slice_across_blocks(history: EndlessHistory) -> None:
    """A window over the end of a block holds the bytes of a longer one."""
    edge = GENESIS_MS + BLOCK_MS
    whole = history.index_bars(edge - DAY_MS, edge + DAY_MS, "1m")
    part = EndlessHistory(Climate(7), "BTCUSDT", 0.12).index_bars(
        edge - 600_000, edge + 600_000, "1m"
    )
    first = int(np.searchsorted(whole.open_time_ms, edge - 600_000))
    assert len(part) == 20
    for name in Bars.__slots__:
        assert np.array_equal(getattr(part, name), getattr(whole, name)[first : first + 20])


def test_use_of_the_chain_follows_the_market(history: EndlessHistory) -> None:
    """Fees and addresses rise when prices move, weekends are quiet, and hash rate grows."""
    days = history.onchain(GENESIS_MS, GENESIS_MS + 36 * BLOCK_MS)
    value = {name: np.log(column) for name, column in days.value.items()}
    bars = history.bars(GENESIS_MS, GENESIS_MS + 36 * BLOCK_MS, "1d")
    moved = np.abs(np.log(bars.close / bars.open))
    month = np.convolve(moved, np.full(30, 1 / 30), "valid")
    weekday = days.time_ms // DAY_MS % 7  # 0 is a Thursday
    weekend = np.isin(weekday, (2, 3))
    assert np.corrcoef(value["FeeTotNtv"][29:], month)[0, 1] > 0.2
    assert value["AdrActCnt"][weekend].mean() < value["AdrActCnt"][~weekend].mean() - 0.05
    assert 1.3 < np.exp(np.polyfit(np.arange(len(month)), value["HashRate"][29:], 1)[0] * 365) < 1.7
    assert np.corrcoef(value["TxCnt"], value["AdrActCnt"])[0, 1] > 0.3
