"""What the lake hands to the kernel: everything as it was first seen, of any span."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from kernel.observation import (
    DEPTH_FIELDS,
    FUNDING_FIELDS,
    MINUTE_FIELDS,
    OBSERVATION_FIELDS,
    observe,
)
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.tables import TABLES

BAR_MS = 900_000
MINUTE_MS = 60_000
DAY_MS = 86_400_000
START_MS = 1_767_052_800_000  # 2025-12-30T00:00Z, two days before a month ends
BARS = 3 * 96
RNG = np.random.default_rng(11)
MINUTES_IN_SQL = """
    SELECT b.event_time_ms AS open_ms, (m.event_time_ms - b.event_time_ms) // 60000 AS place,
        m.open, m.high, m.low, m.close, m.volume
    FROM (SELECT DISTINCT event_time_ms FROM read_parquet('{root}/market/candles/{files}')) AS b
    JOIN read_parquet('{root}/market/minute_candles/{files}') AS m
        ON m.event_time_ms >= b.event_time_ms AND m.event_time_ms < b.event_time_ms + 900000
    WHERE m.revision = 0 AND m.known_at_ms <= b.event_time_ms + 900000
"""


def candle_rows(opens: NDArray[np.int64], step_ms: int, volume: float = 10.0) -> pd.DataFrame:
    """Return candles with prices of their own."""
    close = 100.0 + RNG.random(len(opens))
    prices = {"open": close - 0.5, "high": close + 1.0, "low": close - 1.0, "close": close}
    keys = {"event_time_ms": opens, "known_at_ms": opens + step_ms, "source": "a-venue"}
    return pd.DataFrame({**keys, **prices, "volume": volume})


def trade_rows(opens: NDArray[np.int64]) -> pd.DataFrame:
    """Return ten trades a bar that make up its volume, two of them in one millisecond."""
    times = np.sort(np.concatenate([opens + 80_000 * k for k in range(9)] + [opens]))
    return pd.DataFrame(
        {
            "event_time_ms": times,
            "known_at_ms": times + 40,
            "source": "recorder",
            "trade_id": np.arange(len(times)),
            "price": 100.0,
            "quantity": 1.0,
            "side": RNG.choice((-1.0, 1.0), len(times)),
        }
    )


def depth_rows(opens: NDArray[np.int64]) -> pd.DataFrame:
    """Return a snapshot every 50 seconds."""
    times = np.arange(opens[0], opens[-1] + BAR_MS, 50_000)
    keys = {"event_time_ms": times, "known_at_ms": times + 30, "source": "recorder"}
    sizes = {name: RNG.integers(1, 9, len(times)) * 1.0 for name in DEPTH_FIELDS[2:6]}
    best = {"best_bid": 99.0, "best_ask": 101.0}
    return pd.DataFrame({**keys, "update_id": np.arange(len(times)), **best, **sizes})


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Three days of ETHUSDT over the end of a month, and of BTCUSDT's candles."""
    made = Lake(root=str(tmp_path_factory.mktemp("lake")))
    opens = START_MS + np.arange(BARS, dtype=np.int64) * BAR_MS
    minutes = START_MS + np.arange(BARS * 15, dtype=np.int64) * MINUTE_MS
    fine = candle_rows(minutes, MINUTE_MS)
    fine.loc[20, "known_at_ms"] = START_MS + 2 * BAR_MS + 1
    fine = fine.drop(index=[7, 8, 4_000])
    thin = candle_rows(opens, BAR_MS).drop(columns="volume")
    daily = START_MS + DAY_MS * np.arange(-6, 3, dtype=np.int64)
    chain = {name: RNG.random(len(daily)) for name in TABLES["onchain"].columns}
    for symbol, table, rows in (
        ("BTCUSDT", "candles", candle_rows(opens, BAR_MS)),
        ("ETHUSDT", "candles", candle_rows(opens, BAR_MS).drop(index=[5, 6, 200])),
        ("ETHUSDT", "minute_candles", fine),
        ("ETHUSDT", "mark_candles", thin),
        ("ETHUSDT", "index_candles", thin),
        ("ETHUSDT", "trades", trade_rows(opens)),
        ("ETHUSDT", "depth", depth_rows(opens)),
        ("ETHUSDT", "onchain", pd.DataFrame({
            "event_time_ms": daily, "known_at_ms": daily + 93_600_000, "source": "a", **chain,
        })),
    ):  # fmt: skip
        made.append(table, symbol, rows, FOREVER_MS)
    return made


def column(lake: Lake, name: str, symbol: str = "ETHUSDT") -> NDArray[np.float64]:
    observed = observe(lake.market(symbol, FOREVER_MS), BAR_MS)
    return observed[:, OBSERVATION_FIELDS.index(name)]


def test_every_field_that_has_a_table_is_observed(lake: Lake):
    """Only the series that this lake never read are missing throughout."""
    observed = observe(lake.market("ETHUSDT", FOREVER_MS), BAR_MS)
    missing = np.isnan(observed).all(axis=0)
    names = [name for name, gone in zip(OBSERVATION_FIELDS, missing, strict=True) if gone]
    absent = {"funding_rate", "open_interest", "fear_greed"}
    assert set(names) == absent | set(FUNDING_FIELDS)
    assert len(observed) == BARS - 3


def test_an_empty_lake_has_an_empty_market(tmp_path: Path):
    """Tables that were never read are no error."""
    observed = observe(Lake(root=str(tmp_path)).market("ETHUSDT", FOREVER_MS), BAR_MS)
    assert observed.shape == (0, len(OBSERVATION_FIELDS))


@pytest.mark.parametrize("first", [0, 1, 97, 190, 193, 287])
def test_a_part_of_the_market_is_the_same_as_the_whole(lake: Lake, first: int):
    """Read from any bar on, over the end of a month or not: the same bytes as in one go."""
    whole = observe(lake.market("ETHUSDT", FOREVER_MS), BAR_MS)
    start_ms = START_MS + first * BAR_MS
    part = observe(lake.market("ETHUSDT", FOREVER_MS, start_ms), BAR_MS)
    assert part.tobytes() == whole[whole[:, 0] >= start_ms].tobytes()


@pytest.mark.parametrize("bars", [1, 4, 96, 190, 192, 250])
def test_a_reader_of_the_past_sees_what_a_later_one_sees(lake: Lake, bars: int):
    """What closed by a moment is observed then as it is ever after."""
    whole = observe(lake.market("ETHUSDT", FOREVER_MS), BAR_MS)
    until_ms = START_MS + bars * BAR_MS
    then = observe(lake.market("ETHUSDT", until_ms), BAR_MS)
    assert then.tobytes() == whole[whole[:, 0] < until_ms].tobytes()


def test_minutes_are_those_that_sql_finds(lake: Lake):
    """First revisions known by the close of their bar, in their places, without the lake's code."""
    query = MINUTES_IN_SQL.format(root=lake.root, files="symbol=ETHUSDT/*.parquet")
    with duckdb.connect() as connection:
        rows = connection.execute(query).df()
    opens = lake.market("ETHUSDT", FOREVER_MS).bars.open_time_ms
    expected = np.full((len(opens), 15, 5), np.nan)
    bar = np.searchsorted(opens, rows["open_ms"])
    place = rows["place"].to_numpy(dtype=np.int64)
    expected[bar, place] = rows[["open", "high", "low", "close", "volume"]].to_numpy()
    observed = observe(lake.market("ETHUSDT", FOREVER_MS), BAR_MS)
    first = OBSERVATION_FIELDS.index(MINUTE_FIELDS[0])
    found = observed[:, first : first + len(MINUTE_FIELDS)].reshape(expected.shape)
    np.testing.assert_array_equal(found, expected)
    assert np.isnan(found[0, 7:9]).all()
    assert np.isnan(found[1, 5]).all()


def test_another_market_is_seen_at_its_own_close_of_the_same_bar(lake: Lake):
    """ETHUSDT has BTCUSDT's close beside its own; BTCUSDT has itself."""
    bars = lake.bars("BTCUSDT", FOREVER_MS)
    held = np.isin(bars.open_time_ms, lake.bars("ETHUSDT", FOREVER_MS).open_time_ms)
    assert column(lake, "btc_close").tolist() == bars.close[held].tolist()
    assert column(lake, "btc_close", "BTCUSDT").tolist() == bars.close.tolist()


def test_trades_and_books_of_whole_bars_are_summed(lake: Lake):
    """Ten trades a bar that make up its volume; a book that was seen 50 seconds ago at most."""
    assert column(lake, "trade_count").tolist() == [10.0] * (BARS - 3)
    assert (column(lake, "buy_volume") + column(lake, "sell_volume") == 10.0).all()
    assert np.isfinite(column(lake, "order_flow")).all()


def test_a_correction_moves_bars_and_no_observation(tmp_path: Path, lake: Lake):
    """Candles, minutes, trades and books corrected later: readers of bars see it, features do
    not.
    """
    copy = Lake(root=str(tmp_path))
    learned_ms = START_MS + 40 * DAY_MS
    for table in ("candles", "minute_candles", "trades", "depth"):
        rows = lake.history(table, "ETHUSDT", FOREVER_MS).drop(columns="revision")
        copy.append(table, "ETHUSDT", rows, FOREVER_MS)
        value = "close" if "close" in rows else list(TABLES[table].columns)[2]
        report = copy.append(
            table, "ETHUSDT", rows.assign(**{value: rows[value] * 1.001}), learned_ms
        )
        assert report.revised == len(rows)
    before, after = (copy.market("ETHUSDT", t_ms) for t_ms in (learned_ms - 1, FOREVER_MS))
    assert observe(after, BAR_MS).tobytes() == observe(before, BAR_MS).tobytes()
    assert copy.bars("ETHUSDT", FOREVER_MS).close[0] == before.bars.close[0] * 1.001
    assert len(after.trades) == len(before.trades)
