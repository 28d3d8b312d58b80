"""What the marts say, against the same figures worked out by hand or in pandas."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from market_data.quality.acceptance import accept
from market_data.storage.lake import FOREVER_MS, Lake
from orchestration.resources.warehouse import Warehouse
from replay_venue.market.generated import GeneratedSource
from tests.assets.small_lake import (
    LAGS_MS,
    MINUTE_MS,
    PRICES,
    START_MS,
    build,
    candles,
    checks,
    rows,
    settlements,
    warehouse_on,
)
from tests.market_data.served_venue import BAR_MS, DAY_MS

RECORDED = Path(__file__).parents[3] / "shared" / "data"
MINUTES_AND_BARS = (
    "stg_candles",
    "stg_minute_candles",
    "candles_from_minutes",
)


@pytest.fixture
def built(small_lake: Path) -> tuple[Lake, Warehouse]:
    """Return the small lake and what was built on it."""
    lake = Lake(root=str(small_lake / "lake"))
    return lake, warehouse_on(lake, small_lake)


def test_coverage_counts_what_is_missing(built: Any):
    """Every series is held against what could be known when the last candle closed, at 04:00 on
    the fifth day: bars are missing, settlements and an index value have not been read.
    """
    _, warehouse = built
    found = warehouse.query(
        "SELECT series, rows_found, rows_expected, step_minutes, coverage FROM coverage "
        "WHERE symbol = 'BTCUSDT' AND month = DATE '2025-12-01' ORDER BY series"
    )
    assert {row[0]: row[1:4] for row in found} == {
        "candles": (390, 400, 15),
        "fear_greed": (3, 5, 1440),
        "funding": (3, 13, 480),
        "index_candles": (390, 400, 15),
        "mark_candles": (390, 400, 15),
        "minute_candles": (96 * 15 - 1, 6000, 1),
        "onchain": (3, 4, 1440),
        "open_interest": (390, 400, 15),
        "reference_candles": (390, 400, 15),
    }
    assert {row[0]: row[4] for row in found}["candles"] == 0.975


def test_coverage_shows_months_without_a_row(tmp_path: Path):
    """A month that is missing whole stands there as 0, and half a month counts half the rows."""
    lake = Lake(root=str(tmp_path / "lake"))
    days = START_MS + DAY_MS * np.r_[np.arange(16), 70]
    lake.append("fear_greed", "BTCUSDT", rows(days, 0, "mood", fear_greed=50.0), FOREVER_MS)
    warehouse = warehouse_on(lake, tmp_path)
    assert build(warehouse, "coverage").success
    found = warehouse.query("SELECT month, rows_found, rows_expected FROM coverage ORDER BY month")
    assert found == [
        (date(2025, 12, 1), 16, 31),
        (date(2026, 1, 1), 0, 31),
        (date(2026, 2, 1), 1, 9),
    ]


def test_coverage_takes_the_usual_step_of_settlements(tmp_path: Path):
    """Every third settlement is missing: two of three are there. Hourly ones are expected hourly,
    and single ones no further apart than the series may be silent.
    """
    lake = Lake(root=str(tmp_path / "lake"))
    eight = settlements([1e-4] * 91).drop(index=range(2, 90, 3)).reset_index(drop=True)
    hourly = rows(START_MS + 3_600_000 * np.arange(48), 60_000, funding_rate=1e-5)
    sparse = rows(START_MS + DAY_MS * np.arange(4), 60_000, funding_rate=1e-5)
    for symbol, frame in {"BTCUSDT": eight, "ETHUSDT": hourly, "SOLUSDT": sparse}.items():
        lake.append("funding", symbol, frame, FOREVER_MS)
    warehouse = warehouse_on(lake, tmp_path)
    assert build(warehouse, "coverage").success
    found = warehouse.query(
        "SELECT symbol, rows_found, rows_expected, step_minutes FROM coverage ORDER BY symbol"
    )
    assert found == [
        ("BTCUSDT", 61, 91, 480),
        ("ETHUSDT", 48, 48, 60),
        ("SOLUSDT", 4, 10, 480),
    ]


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Return a warehouse of two markets of four days: BTCUSDT lost eight bars and a settlement, and
    ETHUSDT settled every eight hours, then hourly, and of a week later one settlement was read.
    """
    folder = tmp_path_factory.mktemp("uneven")
    lake = Lake(root=str(folder / "lake"))
    places = np.arange(384)
    lost = [10, 20, 21, 22, 200, 201, 202, 203]
    for symbol, held in (("BTCUSDT", np.delete(places, lost)), ("ETHUSDT", places)):
        prices = dict.fromkeys(("open", "high", "low", "close", "volume"), 100.0)
        bars = rows(START_MS + BAR_MS * held, BAR_MS, **prices)
        lake.append("candles", symbol, bars, FOREVER_MS)
    paid = settlements([1e-4] * 13).drop(index=[5]).reset_index(drop=True)
    lake.append("funding", "BTCUSDT", paid, FOREVER_MS)
    eighth = np.arange(8, 49, 8)
    hours = np.r_[eighth, np.arange(49, 97), 97 + 7 * 24 + 8]
    rate = np.where(np.isin(hours, eighth) | (hours > 97), 8e-5, 1e-5)
    paid = rows(START_MS + 3_600_000 * hours, MINUTE_MS, funding_rate=rate)
    lake.append("funding", "ETHUSDT", paid, FOREVER_MS)
    for table, first, last in (
        ("candles", START_MS + 19 * BAR_MS, START_MS + 23 * BAR_MS),
        ("funding", START_MS + 36 * 3_600_000, START_MS + 44 * 3_600_000),
    ):
        accept(lake, table, "BTCUSDT", (first, last), person="ann", reason="outage", at_ms=1)
    warehouse = warehouse_on(lake, folder)
    universe = folder / "configs" / "universe.yaml"
    said = yaml.safe_load(universe.read_text())
    said["market"]["candles"]["silent_bars"] = 1
    universe.write_text(yaml.safe_dump(said))
    assert build(warehouse, "coverage", "stg_candles", "stg_funding", "universe").success
    return warehouse


def test_coverage_excuses_what_was_accepted_and_what_nobody_traded(uneven: Warehouse):
    """Of eight lost bars one is silent, three and a settlement were accepted: they are not
    expected, and the universe does not hold them against the symbol. What was accepted but is there
    still counts.
    """
    found = uneven.query(
        "SELECT series, rows_found, rows_expected, rows_excused FROM coverage "
        "WHERE symbol = 'BTCUSDT' ORDER BY series"
    )
    assert found == [("candles", 376, 380, 4), ("funding", 12, 12, 1)]
    assert uneven.query("SELECT missing_bars FROM universe WHERE symbol = 'BTCUSDT'") == [(4,)]


def test_funding_of_a_year_is_what_settled_over_the_time_it_settled_for(uneven: Warehouse):
    """Two days of eight-hourly settlements and two of hourly ones are four days, whichever interval
    is the usual one; a week that was not read is not taken for one long interval.
    """
    found = uneven.query("SELECT funding_rate_per_year FROM universe WHERE symbol = 'ETHUSDT'")
    assert found == [(pytest.approx(1e-5 * 24 * 365),)]


def test_universe_describes_each_symbol(built: Any):
    """Span, missing bars, turnover and volatility agree with the same figures in pandas."""
    lake, warehouse = built
    found = warehouse.query(
        "SELECT symbol, liquidity_rank, bars, missing_bars, last_close, volatility_per_year, "
        "median_daily_turnover_usdt, funding_rate_per_year, not_tradable_because, tradable "
        "FROM universe ORDER BY symbol"
    )
    frame = lake.as_of("candles", "BTCUSDT", FOREVER_MS)
    returns = np.log(frame["close"] / frame["close"].shift())
    adjacent = frame["event_time_ms"].diff() == BAR_MS
    turnover = (frame["close"] * frame["volume"]).groupby(frame["event_time_ms"] // DAY_MS).sum()
    btc = next(row for row in found if row[0] == "BTCUSDT")
    assert sorted(row[1] for row in found) == [1, 2]
    assert btc[2:5] == (390, 10, frame["close"].iloc[-1])
    assert btc[5] == pytest.approx(returns[adjacent].std() * np.sqrt(365 * 96), rel=1e-9)
    assert btc[6] == pytest.approx(turnover.median(), rel=1e-12)
    assert btc[7] == pytest.approx((5e-4 + 3e-4 + 2e-4) / 3 * 3 * 365)
    assert btc[8:] == (
        "less than 90 days of history; more than 1.0 % of its bars missing",
        False,
    )


def test_divergence_compares_closes_and_counts_those_beyond_half_a_percent(built: Any):
    """The second venue closes 4 basis points above, and once 100."""
    _, warehouse = built
    found = warehouse.query(
        "SELECT day, source, reference_source, bars_compared, median_bps, largest_bps, "
        "bars_beyond_limit FROM cross_venue_divergence ORDER BY day"
    )
    assert [row[:4] for row in found[:2]] == [
        (date(2025, 12, 1), "binance", "second", 96),
        (date(2025, 12, 2), "binance", "second", 96),
    ]
    assert found[0][4:6] == (pytest.approx(4.0), pytest.approx(100.0))
    assert [row[6] for row in found] == [1, 0, 0, 0, 0]


def test_publication_lag_stands_beside_the_configured_one(built: Any):
    """97 of 100 rows came within 10 seconds and the others after 70: 60 s do not cover 99."""
    _, warehouse = built
    found = warehouse.query(
        "SELECT source, series, symbol, arrivals, p50_ms, p99_ms, longest_ms, configured_ms, "
        "configured_covers_p99 FROM publication_lag"
    )
    p50, p99 = np.percentile(LAGS_MS, [50, 99])
    assert found == [
        (
            *("recorder", "funding", "BTCUSDT", 100),
            *(pytest.approx(p50), pytest.approx(p99)),
            *(70_000, 60_000, False),
        )
    ]


def test_funding_paid_adds_up_by_day_month_and_in_all(built: Any):
    """A settlement takes its rate of the mark price at its moment; a restated one counts once."""
    lake, warehouse = built
    found = warehouse.query(
        "SELECT day, settlements, settlements_priced, rate, paid_usdt, paid_month_to_date_usdt, "
        "paid_to_date_usdt FROM funding_paid ORDER BY day"
    )
    marks = lake.as_of("mark_candles", "BTCUSDT", FOREVER_MS).set_index("event_time_ms")["open"]
    prices = [marks[START_MS + 28_800_000 * n] for n in range(3)]
    paid = float(np.dot([5e-4, 3e-4, 2e-4], prices))
    expected = (date(2025, 12, 1), 3, 3, pytest.approx(1e-3), *[pytest.approx(paid)] * 3)
    assert found == [expected]


def test_funding_without_a_mark_takes_the_close_before_it_and_says_when_there_is_no_price(
    tmp_path: Path,
):
    """The last settlement closes the last bar; the one after it has no price and warns."""
    lake = Lake(root=str(tmp_path / "lake"))
    bars = candles("BTCUSDT").head(64)  # 16 hours
    lake.append("candles", "BTCUSDT", bars, FOREVER_MS)
    lake.append("funding", "BTCUSDT", settlements([1e-4] * 4), FOREVER_MS)
    warehouse = warehouse_on(lake, tmp_path)
    staging = [f"stg_{name}" for name in ("candles", "mark_candles", "funding")]
    result = build(warehouse, *staging, "funding_paid")
    found = warehouse.query("SELECT settlements, settlements_priced, paid_usdt FROM funding_paid")
    prices = [bars["open"][0], bars["open"][32], bars["close"][63]]
    assert result.success
    assert not checks(result)["settlements_have_a_price"].passed
    assert found == [(3, 3, pytest.approx(1e-4 * sum(prices))), (1, 0, None)]


def test_restatements_say_how_often_and_how_late(built: Any):
    """Corrections of two days appear by day of the event, counted from the event's end."""
    _, warehouse = built
    found = warehouse.query(
        "SELECT series, symbol, day, revisions, events_restated, longest_hours_late "
        "FROM restatements ORDER BY series, symbol"
    )
    nine_days = 9 * 24 - 0.25
    assert found == [
        ("candles", "BTCUSDT", date(2025, 12, 3), 1, 1, nine_days - 50),
        ("candles", "ETHUSDT", date(2025, 12, 1), 1, 1, nine_days - 0.75),
        ("funding", "BTCUSDT", date(2025, 12, 1), 1, 1, pytest.approx(1.0, abs=1e-5)),
    ]


def test_minutes_make_bars_only_where_every_one_is_there(built: Any):
    """Of 96 bars one lacks a minute and is not made; the others equal the venue's."""
    _, warehouse = built
    found = warehouse.query(
        "SELECT count(*), count(venue_close), count(differs_in) FROM candles_from_minutes"
    )
    missing = datetime(2025, 12, 1, 1, 15)  # noqa: DTZ001  # the warehouse speaks UTC
    lost = f"SELECT count(*) FROM candles_from_minutes WHERE opened_at = TIMESTAMP '{missing}'"
    assert found == [(95, 95, 0)]
    assert warehouse.query(lost) == [(0,)]


def test_generated_minutes_equal_generated_bars(tmp_path: Path):
    """Ten days of the venue's own market, twice: o, h, l, c to the last bit, volume as added."""
    lake = Lake(root=str(tmp_path / "lake"))
    market = GeneratedSource(3, 0.0, ("BTCUSDT", "ETHUSDT"))
    end_ms = START_MS + 10 * DAY_MS
    for symbol in market.symbols:
        for table, timeframe, step_ms in (
            ("candles", "15m", BAR_MS),
            ("minute_candles", "1m", MINUTE_MS),
        ):
            bars = market.bars(symbol, timeframe, START_MS, end_ms)
            values = {name: getattr(bars, name) for name in (*PRICES, "volume")}
            lake.append(table, symbol, rows(bars.open_time_ms, step_ms, **values), FOREVER_MS)
    assert compared(warehouse_on(lake, tmp_path)) == (2 * 960, 2 * 960, 0)


@pytest.mark.skipif(not RECORDED.exists(), reason=f"no recorded market data at {RECORDED}")
def test_recorded_minutes_equal_recorded_bars(tmp_path: Path):
    """Seven weeks of Binance's own minutes give its own 5-minute bars, for two symbols."""
    lake = Lake(root=str(tmp_path / "lake"))
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for table, timeframe, step_ms in (
            ("candles", "5m", 5 * MINUTE_MS),
            ("minute_candles", "1m", MINUTE_MS),
        ):
            path = RECORDED / f"ohlcv_{symbol}_{timeframe}_binance-perp.parquet"
            frame = pd.read_parquet(path)
            times = frame["timestamp"].dt.as_unit("ms").astype("int64")
            values = {name: frame[name].to_numpy() for name in (*PRICES, "volume")}
            lake.append(table, symbol, rows(times, step_ms, **values), FOREVER_MS)
    made, of_venue, differing = compared(warehouse_on(lake, tmp_path, timeframe="5m"))
    assert (made, differing) == (2 * 14_627, 0)
    assert of_venue == made


def compared(warehouse: Warehouse) -> tuple[int, int, int]:
    """Return the bars made of minutes, those with a bar of the venue, and those that differ."""
    assert build(warehouse, *MINUTES_AND_BARS).success
    return warehouse.query(
        "SELECT count(*), count(venue_close), count(differs_in) FROM candles_from_minutes"
    )[0]


def test_minutes_of_another_venue_are_not_compared(tmp_path: Path):
    """Bars and minutes of unrelated sources stand beside each other unjudged."""
    lake = Lake(root=str(tmp_path / "lake"))
    bars = candles("BTCUSDT").head(4).assign(source="second")
    lake.append("candles", "BTCUSDT", bars, FOREVER_MS)
    times = START_MS + MINUTE_MS * np.arange(60)
    flat = dict.fromkeys((*PRICES, "volume"), 1.0)
    lake.append("minute_candles", "BTCUSDT", rows(times, MINUTE_MS, **flat), FOREVER_MS)
    assert compared(warehouse_on(lake, tmp_path)) == (4, 0, 0)


def test_gate_history_says_which_candidates_passed(built: Any):
    """One refusing gate makes the week's candidate a refused one."""
    _, warehouse = built
    found = warehouse.query(
        "SELECT DISTINCT CAST(week AS VARCHAR), candidate_accepted FROM gate_history ORDER BY 1"
    )
    assert found == [("2025-11-23", False), ("2025-11-30", True)]


def test_live_pnl_adds_up(built: Any):
    """Days sum their trades, and the running total ends at the sum of all."""
    _, warehouse = built
    found = warehouse.query(
        "SELECT trades, wins, win_rate, pnl, pnl_to_date FROM live_pnl ORDER BY day"
    )
    assert found == [(2, 1, 0.5, 3.0, 3.0), (1, 1, 1.0, 4.0, 7.0)]
