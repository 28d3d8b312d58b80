"""Trades and books as venues print them: sums and features on recorded ticks, and on a twin.

The recorded files are ../shared/data (see its README: public copies of exchange data), read in
place. They span two hours and four minutes, so that bars of 10 seconds stand for those of 15
minutes here.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from kernel.bars import Bars
from kernel.features.microstructure import GROUP
from kernel.observation import OBSERVATION_FIELDS
from kernel.order_flow import Depth, Trades, depth_in_bars, trades_in_bars
from kernel.tapes import BookTape, TradeTape
from orchestration.reference.recorded_markets import DATA
from tests.kernel.features import alone
from tests.kernel.features.worlds import differing_bytes
from tests.kernel.ticks import bars_of, book, prints, rows_of

TRADES = DATA / "trades_BTCUSDT_binance-perp_2020.parquet"
QUOTES = DATA / "bbo_BTCUSDT_binance-perp_2020.parquet"
BOOK = DATA / "depth100_BTCUSDT_6s_binance-spot.parquet"
TRADE_BAR_MS = 10_000
QUOTE_BAR_MS = 10_000
BAR_MS = 900_000
Values = NDArray[np.float64]


def recorded(path: Path) -> object:
    """Return the parameter `recorded`, skipped where the file is not there."""
    absent = pytest.mark.skipif(not path.is_file(), reason=f"no recorded market at {path}")
    return pytest.param("recorded", marks=absent)


def milliseconds(times: pd.Series) -> NDArray[np.int64]:
    """Return times as int64 milliseconds, rounded up: nothing is known before it is."""
    nanoseconds = times.astype("datetime64[ns, UTC]").astype("int64").to_numpy()
    return -(-nanoseconds // 1_000_000)


@pytest.fixture(scope="module", params=["generated", recorded(TRADES)])
def trades(request: pytest.FixtureRequest) -> Trades:
    if request.param == "generated":
        return prints(np.random.default_rng(11), 10_000, 7_500_000)
    rows = pd.read_parquet(TRADES)
    side = np.where(rows["side"] == "buy", 1.0, -1.0)
    columns = (rows[name].to_numpy(np.float64) for name in ("price", "amount"))
    return Trades(
        milliseconds(rows["timestamp"]), milliseconds(rows["local_timestamp"]), *columns, side
    )


@pytest.fixture(scope="module", params=["generated", recorded(QUOTES)])
def quotes(request: pytest.FixtureRequest) -> Depth:
    if request.param == "generated":
        return book(np.random.default_rng(12), 10_000, 24, late_ms=1)
    rows = pd.read_parquet(QUOTES)
    names = ("bid_price", "ask_price", "bid_amount", "ask_amount")
    columns = [rows[name].to_numpy(np.float64) for name in names]
    none = np.full(len(rows), np.nan)
    times = milliseconds(rows["timestamp"])
    return Depth(times, times, *columns, none, none)


@pytest.fixture(scope="module", params=["generated", recorded(BOOK)])
def deep_book(request: pytest.FixtureRequest) -> Depth:
    if request.param == "generated":
        full = book(np.random.default_rng(13), 5_000, 5_600, late_ms=1)
        prices = (full.best_bid, full.best_ask)
        deep = (full.bid_quantity_100, full.ask_quantity_100)
        times = full.event_time_ms
    else:
        rows = pd.read_parquet(BOOK)
        times = milliseconds(rows["timestamp"])
        prices = tuple(rows[name].to_numpy(np.float64) for name in ("best_bid", "best_ask"))
        names = ("bid_qty_100lvl", "ask_qty_100lvl")
        deep = tuple(rows[name].to_numpy(np.float64) for name in names)
    none = np.full(len(times), np.nan)
    return Depth(times, times, *prices, none, none, *deep)


def whole_bars(times: NDArray[np.int64], bar_ms: int) -> NDArray[np.int64]:
    """Return the open times of the bars that lie between the first and the last event."""
    first = -(-times[0] // bar_ms) * bar_ms
    return np.arange(first, times[-1] - bar_ms, bar_ms)


def bars_from(trades: Trades, bar_ms: int) -> Bars:
    """Return the candles that these trades make; a bar without trades is absent."""
    frame = pd.DataFrame({"price": trades.price, "quantity": trades.quantity})
    groups = frame.groupby(trades.event_time_ms // bar_ms * bar_ms)
    price = groups["price"].agg(["first", "max", "min", "last"])
    volume = groups["quantity"].sum().to_numpy()
    return Bars(price.index.to_numpy(), *price.to_numpy(np.float64).T, volume)


def observed(bars: Bars, **columns: Values) -> Values:
    """Return observations of these bars with some fields, all others missing."""
    obs = np.full((len(bars), len(OBSERVATION_FIELDS)), np.nan)
    for i, name in enumerate(OBSERVATION_FIELDS[:6]):
        obs[:, i] = getattr(bars, name)
    for first, values in columns.items():
        at = OBSERVATION_FIELDS.index(first)
        obs[:, at : at + values.shape[1]] = values
    return obs


def test_recorded_trades_make_up_their_bars(trades: Trades) -> None:
    """All but a few bars are recorded to 99 % at their close, and then sum to their volume."""
    bars = bars_from(trades, TRADE_BAR_MS)
    sums = trades_in_bars(trades, bars, TRADE_BAR_MS)
    whole = np.isfinite(sums).all(axis=1)
    assert whole.mean() > 0.8
    traded = sums[whole, 1] + sums[whole, 2]
    np.testing.assert_allclose(traded, bars.volume[whole], rtol=0.0101)
    assert np.isfinite(trades_in_bars(trades, bars_from(trades, BAR_MS), BAR_MS)[:-1]).all()


def test_recorded_trades_give_the_same_bytes_live(trades: Trades) -> None:
    """Told print by print, every bar's sums are those of history."""
    bars = bars_from(trades, TRADE_BAR_MS)
    tape = TradeTape(TRADE_BAR_MS)
    for at, (event_ms, known_ms, _, quantity, side) in enumerate(rows_of(trades)):
        tape.add(event_ms, known_ms, at, quantity, side)
    opened = zip(bars.open_time_ms.tolist(), bars.volume.tolist(), strict=True)
    found = np.array([tape.in_bar(open_ms, volume) for open_ms, volume in opened])
    assert differing_bytes(found, trades_in_bars(trades, bars, TRADE_BAR_MS)) == 0


def test_recorded_trades_show_what_is_known_of_markets(trades: Trades) -> None:
    """Buyers follow buyers, net buying lifts the price, and flow is neither even nor one-sided."""
    bars = bars_from(trades, TRADE_BAR_MS)
    obs = observed(bars, trade_count=trades_in_bars(trades, bars, TRADE_BAR_MS))
    values, _ = alone.batch(GROUP, obs)
    live, _ = alone.stream(GROUP, obs)
    assert differing_bytes(values, live) == 0
    medians = {
        row.name: np.nanmedian(values[:, i])
        for i, row in enumerate(GROUP.features)
        if row.name in ("vpin", "kyle_lambda", "trade_sign_autocorrelation", "amihud")
    }
    assert 0.2 < medians["trade_sign_autocorrelation"] < 0.9
    assert 0.05 < medians["vpin"] < 0.95
    assert 0.0 < medians["kyle_lambda"] < 0.1
    assert 0.0 < medians["amihud"] < 1.0


def test_recorded_order_flow_moves_the_mid(quotes: Depth) -> None:
    """Order flow explains most of the mid's move in a bar, as Cont, Kukanov & Stoikov found."""
    opened = whole_bars(quotes.event_time_ms, QUOTE_BAR_MS)
    found = depth_in_bars(quotes, bars_of(opened, np.ones(len(opened))), QUOTE_BAR_MS)
    assert np.isfinite(found[:, [0, 1, 2, 3, 6]]).all()
    mid = 0.5 * (quotes.best_bid + quotes.best_ask)
    ends = np.searchsorted(quotes.event_time_ms, opened + QUOTE_BAR_MS) - 1
    starts = np.searchsorted(quotes.event_time_ms, opened)
    assert np.corrcoef(found[:, 6], mid[ends] - mid[starts])[0, 1] > 0.6
    np.testing.assert_array_equal(0.5 * (found[:, 0] + found[:, 1]), mid[ends])


def test_recorded_books_give_the_same_bytes_live(quotes: Depth, deep_book: Depth) -> None:
    """Told snapshot by snapshot, every bar's book is that of history."""
    for ticks, bar_ms in ((quotes, QUOTE_BAR_MS), (deep_book, BAR_MS)):
        opened = whole_bars(ticks.event_time_ms, bar_ms)
        tape = BookTape(bar_ms)
        for at, (event_ms, known_ms, *columns) in enumerate(rows_of(ticks)):
            tape.add(event_ms, known_ms, at, columns)
        found = np.array([tape.in_bar(open_ms) for open_ms in opened.tolist()])
        expected = depth_in_bars(ticks, bars_of(opened, np.ones(len(opened))), bar_ms)
        assert differing_bytes(found, expected) == 0


def test_a_book_of_sums_has_spread_and_deep_imbalance_only(deep_book: Depth) -> None:
    """Without best quantities the rest is missing, flagged, and the breaks in collection are NaN.

    The imbalance is that of the last snapshot, recomputed as the file defines it.
    """
    opened = whole_bars(deep_book.event_time_ms, BAR_MS)
    bars = bars_of(opened, np.ones(len(opened)))
    values, _ = alone.batch(GROUP, observed(bars, best_bid=depth_in_bars(deep_book, bars, BAR_MS)))
    last = np.searchsorted(deep_book.event_time_ms, opened + BAR_MS) - 1
    fresh = opened + BAR_MS - deep_book.event_time_ms[last] <= 60_000
    assert fresh.sum() > 20
    bid = deep_book.bid_quantity_100[last]
    ask = deep_book.ask_quantity_100[last]
    expected = np.where(fresh, (bid - ask) / (bid + ask), np.nan)
    np.testing.assert_allclose(alone.column(GROUP, values, "book_imbalance_100"), expected)
    assert (np.isfinite(alone.column(GROUP, values, "spread_bps")) == fresh).all()
    assert (alone.column(GROUP, values, "book_missing") == 1.0).all()
    for name in ("book_imbalance", "microprice_drift", "order_flow_imbalance"):
        assert np.isnan(alone.column(GROUP, values, name)).all()
