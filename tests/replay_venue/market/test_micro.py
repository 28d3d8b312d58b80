"""Trades make up their candles, and the book stands around them."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay_venue.market.book import STEP_MS
from replay_venue.market.climate import Climate
from replay_venue.market.generator import EndlessHistory
from replay_venue.market.micro import Micro
from replay_venue.market.series import Book
from replay_venue.market.weather import BLOCK_MS, DAY_MS, GENESIS_MS, MINUTE_MS
from tests.yardstick import yardstick_s

DAY = GENESIS_MS + 20 * DAY_MS
SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "1000PEPEUSDT"]


def market(symbol: str, seed: int = 7) -> tuple[EndlessHistory, Micro]:
    history = EndlessHistory(Climate(seed), symbol, 0.12)
    return history, Micro(history)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_trades_make_up_every_minute_of_a_day(symbol: str) -> None:
    """First, highest, lowest and last price and the sum of quantities are the candle's, exactly."""
    history, micro = market(symbol)
    minutes = history.bars(DAY, DAY + DAY_MS, "1m")
    trades = micro.trades(DAY, DAY + DAY_MS)
    starts = np.searchsorted(trades.time_ms, minutes.open_time_ms)
    ends = np.append(starts[1:], len(trades.price)) - 1
    lots = np.rint(trades.quantity * 10.0**history.instrument.lot_decimals)
    summed = np.add.reduceat(lots, starts) / 10.0**history.instrument.lot_decimals
    assert np.array_equal(trades.price[starts], minutes.open)
    assert np.array_equal(trades.price[ends], minutes.close)
    assert np.array_equal(np.maximum.reduceat(trades.price, starts), minutes.high)
    assert np.array_equal(np.minimum.reduceat(trades.price, starts), minutes.low)
    assert np.array_equal(summed, minutes.volume)
    assert lots.min() >= 1
    assert np.all(np.diff(trades.time_ms) >= 0)
    assert np.all(np.diff(trades.trade_id) == 1)


@settings(max_examples=20, deadline=None)
@given(start=st.integers(0, 3_600_000), length=st.integers(0, 600_000))
def test_trades_of_a_window_are_a_slice(start: int, length: int) -> None:
    """Any window holds the trades that a longer one has stamped in it, with the same ids."""
    whole = market("ETHUSDT")[1].trades(DAY, DAY + 2 * 3_600_000)
    part = market("ETHUSDT")[1].trades(DAY + start, DAY + start + length)
    inside = (whole.time_ms >= DAY + start) & (whole.time_ms < DAY + start + length)
    for name in ("time_ms", "trade_id", "price", "quantity", "side"):
        assert np.array_equal(getattr(part, name), getattr(whole, name)[inside])


def test_trade_ids_run_on_over_the_end_of_a_block() -> None:
    """Ids count from genesis without a gap."""
    micro = market("BTCUSDT")[1]
    edge = GENESIS_MS + 2 * BLOCK_MS
    assert micro.trades(GENESIS_MS, GENESIS_MS + MINUTE_MS).trade_id[0] == 0
    ids = micro.trades(edge - 5 * MINUTE_MS, edge + 5 * MINUTE_MS).trade_id
    assert np.all(np.diff(ids) == 1)
    assert len(micro.trades(GENESIS_MS - DAY_MS, GENESIS_MS).trade_id) == 0


def test_trades_come_in_runs_and_lean_with_the_return() -> None:
    """More trades in busy minutes; takers keep to a side, and to that of the return."""
    history, micro = market("BTCUSDT")
    minutes = history.bars(DAY, DAY + DAY_MS, "1m")
    trades = micro.trades(DAY, DAY + DAY_MS)
    minute = (trades.time_ms - DAY) // MINUTE_MS
    count = np.bincount(minute)
    signed = np.bincount(minute, trades.side * trades.quantity)
    side = trades.side.astype(np.float64)
    found = {
        "volume": np.corrcoef(count, minutes.volume)[0, 1],
        "range": np.corrcoef(count, minutes.high - minutes.low)[0, 1],
        "return": np.corrcoef(signed / minutes.volume, minutes.close - minutes.open)[0, 1],
        "next": np.corrcoef(side[1:], side[:-1])[0, 1],
        "fifth": np.corrcoef(side[5:], side[:-5])[0, 1],
    }
    assert 15 < count.mean() < 80
    assert count.min() >= 4
    assert found["volume"] > 0.7
    assert found["range"] > 0.4
    assert found["return"] > 0.1
    assert 0.5 < found["next"] < 0.8
    assert found["next"] > found["fifth"] > 0.05


def levels(book: Book) -> dict[float, float]:
    """Return the quantity at each price, those of asks below 0."""
    bids = zip(book.bid_price.tolist(), book.bid_quantity.tolist(), strict=True)
    asks = zip(book.ask_price.tolist(), (-book.ask_quantity).tolist(), strict=True)
    return {**dict(bids), **dict(asks)}


@settings(max_examples=25, deadline=None)
@given(symbol=st.sampled_from(SYMBOLS), ms=st.integers(0, 2 * DAY_MS), depth=st.integers(1, 1_000))
def test_book_is_one(symbol: str, ms: int, depth: int) -> None:
    """Best first, on ticks and lots, never crossed, with the last trade at its best price."""
    history, micro = market(symbol)
    book = micro.book(DAY + ms, depth)
    assert book is not None
    assert book.time_ms == (DAY + ms) // STEP_MS * STEP_MS
    assert len(book.bid_price) == len(book.ask_price) == depth
    assert np.all(np.diff(book.bid_price) < 0)
    assert np.all(np.diff(book.ask_price) > 0)
    assert book.bid_price[0] < book.ask_price[0]
    assert np.all(np.concatenate([book.bid_quantity, book.ask_quantity]) > 0)
    tick = history.instrument.tick_decimals
    lot = history.instrument.lot_decimals
    assert np.array_equal(book.ask_price, np.around(book.ask_price, tick))
    assert np.array_equal(book.bid_quantity, np.around(book.bid_quantity, lot))
    traded = micro.trades(book.time_ms - 5 * MINUTE_MS, book.time_ms + 1)
    best = book.ask_price[0] if traded.side[-1] > 0 else book.bid_price[0]
    assert best == traded.price[-1]


def test_book_is_a_pure_function_of_time() -> None:
    """Asked for later, out of order or with fewer levels, it is the same book."""
    moments = [DAY + 100 * step for step in range(50)]
    micro = market("BTCUSDT")[1]
    shown = [micro.book(moment, 50) for moment in moments]
    again = market("BTCUSDT")[1]
    for moment, book in reversed(list(zip(moments, shown, strict=True))):
        other = again.book(moment + 99, 20)
        assert book is not None
        assert other is not None
        assert other.update_id == book.update_id
        assert np.array_equal(other.bid_price, book.bid_price[:20])
        assert np.array_equal(other.ask_quantity, book.ask_quantity[:20])
    assert micro.book(GENESIS_MS - 1, 5) is None


def test_book_changes_in_part_from_step_to_step() -> None:
    """Of two thousand levels a few dozen move in a tenth of a second, and some always do."""
    micro = market("BTCUSDT")[1]
    books = [micro.book(DAY + step * STEP_MS, 1_000) for step in range(200)]
    held = [levels(book) for book in books if book]
    moved = [len(now.items() ^ before.items()) for before, now in itertools.pairwise(held)]
    assert 0 < np.mean(moved) < 150
    assert [book.update_id for book in books if book] == list(
        range(DAY // STEP_MS, DAY // STEP_MS + 200)
    )


def test_book_reacts_to_volatility() -> None:
    """In the wildest bars of a month the book is thinner and its spread wider than in calm ones."""
    history, micro = market("SOLUSDT")
    window = (GENESIS_MS, GENESIS_MS + BLOCK_MS)
    volatility = history.volatility(*window)
    order = np.argsort(volatility.value)

    def depth_and_spread(rows: np.ndarray) -> tuple[float, float]:
        books = [micro.book(int(time) + 450_000, 100) for time in volatility.time_ms[rows]]
        spreads = [float(one.ask_price[0] / one.bid_price[0] - 1) for one in books if one]
        depths = [float(one.bid_quantity.sum()) for one in books if one]
        return float(np.mean(depths)), float(np.mean(spreads))

    calm = depth_and_spread(order[:60])
    wild = depth_and_spread(order[-60:])
    assert wild[0] < 0.7 * calm[0]
    assert wild[1] > 1.5 * calm[1]


@pytest.mark.slow
def test_book_leans_a_little_with_the_next_second() -> None:
    """The imbalance of ten levels foretells where the price is a second later, by about 0.09."""
    micro = market("BTCUSDT")[1]
    rng = np.random.default_rng(1)
    imbalance = []
    moved = []
    for second in np.sort(rng.integers(0, 20 * 86_400, 5_000)).tolist():
        if second % 60 == 59:
            continue
        now, later = (micro.book(DAY + second * 1_000 + ms, 10) for ms in (0, 999))
        assert now is not None
        assert later is not None
        bids = now.bid_quantity.sum()
        asks = now.ask_quantity.sum()
        imbalance.append((bids - asks) / (bids + asks))
        moved.append(round((later.bid_price[0] - now.bid_price[0]) * 10))
    found = np.corrcoef(imbalance, np.sign(moved))[0, 1]
    print(f"imbalance and the next second: {found:.3f} over {len(moved)} seconds")
    assert 0.04 < found < 0.14


def test_books_and_trades_are_made_fast_enough_to_stream() -> None:
    """A book of a thousand levels takes 2 ms or so, a page of a thousand trades 30 ms."""
    micro = market("ETHUSDT")[1]
    micro.book(DAY, 1_000)
    began = time.process_time()
    for step in range(100):
        micro.book(DAY + step * STEP_MS, 1_000)
    a_book = (time.process_time() - began) / 100
    began = time.process_time()
    trades = micro.trades(DAY + DAY_MS, DAY + DAY_MS + 25 * MINUTE_MS)
    a_page = (time.process_time() - began) / len(trades.price) * 1_000
    print(f"book {1e3 * a_book:.2f} ms, a thousand trades {1e3 * a_page:.1f} ms")
    yardstick = yardstick_s()  # a twentieth of a second here
    assert a_book < 0.08 * yardstick
    assert a_page < 1.2 * yardstick
