"""Raw market data through real Dagster runs against a served venue."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

import assets.market as market_assets
from kernel.bars import Bars
from orchestration.partitions import month_key
from orchestration.resources.exchange import CANDLE_PAGE, Exchange
from orchestration.resources.lake import FOREVER_MS, Lake
from orchestration.resources.onchain import OnChain as OnChainSource
from orchestration.resources.research_settings import ResearchSettings
from orchestration.resources.sentiment import Sentiment
from replay_venue.faults import Fault
from replay_venue.series import OnChain, Points
from tests.orchestration.served_venue import (
    BAR_MS,
    DAY_MS,
    Served,
    SmallMarket,
    picked,
    points,
    served,
    walk,
    with_row,
)

NOVEMBER_MS = 1_761_955_200_000
DECEMBER_MS = 1_764_547_200_000
BARS = 200
FIRST_MS = DECEMBER_MS - 100 * BAR_MS  # half of the bars before the month's turn
NOW_MS = FIRST_MS + BARS * BAR_MS
NOVEMBER, DECEMBER = month_key("BTCUSDT", "2025-11-01"), month_key("BTCUSDT", "2025-12-01")
BOTH_MONTHS = {
    "dagster/asset_partition_range_start": str(NOVEMBER),
    "dagster/asset_partition_range_end": str(month_key("ETHUSDT", "2025-12-01")),
}
CONFIGS = Path(__file__).parents[2] / "configs"


@dg.asset(deps=[["market", "candles"], ["market", "funding"]])
def downstream() -> dg.MaterializeResult:
    """Stand for everything that is built on candles and funding."""
    return dg.MaterializeResult()


@pytest.fixture
def venue() -> Iterator[Served]:
    """Serve both symbols with every series; the clock stands at the close of the last bar."""
    days = FIRST_MS // DAY_MS * DAY_MS + DAY_MS * np.arange(3, dtype=np.int64)
    market = SmallMarket(
        candles={"BTCUSDT": walk(FIRST_MS, BARS), "ETHUSDT": walk(FIRST_MS, BARS, seed=2)},
        settlements={
            "BTCUSDT": points(DECEMBER_MS - 2 * 28_800_000 + 5, 28_800_000, [1e-4, -2e-4, 3e-4]),
            "ETHUSDT": points(DECEMBER_MS + 7, 28_800_000, [1e-4, 2e-4]),
        },
        interest={"BTCUSDT": points(FIRST_MS, BAR_MS, [9e4 + k for k in range(BARS)])},
        mood=points(DECEMBER_MS - 2 * DAY_MS, DAY_MS, [20.0, 30.0, 40.0]),
        days={"BTC": OnChain(days, np.full(3, 5e8), np.full(3, 3e8), np.array([2.0, 2.1, 2.2]))},
    )
    with served(market, NOW_MS) as venue:
        yield venue


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return an empty lake."""
    return Lake(root=str(tmp_path / "lake"))


def ingest(
    venue: Served,
    lake: Lake,
    *names: str,
    partition_key: str | None = None,
    tags: dict[str, str] | None = None,
    attempts: int = 3,
) -> dg.ExecuteInProcessResult:
    """Materialize market assets with their checks and what stands on them."""
    patient = {"attempts": attempts, "first_delay_s": 0.001, "longest_delay_s": 0.01}
    definitions = dg.Definitions(
        assets=[*dg.load_assets_from_modules([market_assets]), downstream],
        asset_checks=dg.load_asset_checks_from_modules([market_assets]),
        jobs=[dg.define_asset_job("run", selection=chosen(names))],
        resources={
            "exchange": Exchange(url=venue.url, **patient),
            "onchain_source": OnChainSource(url=f"{venue.url}/coinmetrics/v4", **patient),
            "sentiment": Sentiment(url=f"{venue.url}/alternative", **patient),
            "lake": lake,
            "settings": ResearchSettings(folder=str(CONFIGS)),
        },
    )
    return definitions.resolve_job_def("run").execute_in_process(
        instance=dg.DagsterInstance.ephemeral(),
        partition_key=partition_key,
        tags=tags,
        raise_on_error=False,
    )


def chosen(names: tuple[str, ...]) -> dg.AssetSelection:
    """Return the named market assets (all of them without names) and what stands on them."""
    keys = [["market", name] for name in names]
    market = dg.AssetSelection.keys(*keys) if keys else dg.AssetSelection.groups("market")
    return market | dg.AssetSelection.assets(downstream)


def metadata_of(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    """Return the metadata of the latest materialization of a market asset."""
    event = result.asset_materializations_for_node(f"market__{name}")[-1]
    return {key: value.value for key, value in event.metadata.items()}


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Return the outcome of every check that ran."""
    return {one.check_name: one.passed for one in result.get_asset_check_evaluations()}


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    """Return the assets that the run made."""
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}


def same_bars(found: Bars, expected: Bars) -> bool:
    """Say whether two sets of bars are equal bit by bit."""
    return all(
        getattr(found, name).tobytes() == getattr(expected, name).tobytes()
        for name in Bars.__slots__
    )


def test_one_run_ingests_months_of_both_symbols(venue: Served, lake: Lake):
    """A range run brings every series of every symbol and month in, and all checks pass."""
    result = ingest(venue, lake, tags=BOTH_MONTHS)
    assert result.success
    assert len(materialized(result)) == 6
    assert checks_of(result) == dict.fromkeys(
        (
            "candles_are_consistent",
            "candles_have_no_gaps",
            "candles_meet_expectations",
            "funding_is_plausible",
            "open_interest_is_positive",
            "fear_greed_is_between_0_and_100",
            "onchain_values_are_plausible",
        ),
        True,
    )
    for symbol in ("BTCUSDT", "ETHUSDT"):
        assert same_bars(lake.bars(symbol, FOREVER_MS), venue.market.candles[symbol])
    series = lake.series("BTCUSDT", FOREVER_MS)
    assert series["funding_rate"].value.tolist() == [1e-4, -2e-4, 3e-4]
    assert series["open_interest"].value.tolist() == [9e4 + k for k in range(BARS)]
    assert series["fear_greed"].value.tolist() == [20.0, 30.0, 40.0]
    assert series["exchange_net_flow"].value.tolist() == [2e8] * 3


def test_materialization_shows_what_a_person_looks_at(venue: Served, lake: Lake):
    """Rows, span, digest, quarantine and a plot stand on the asset."""
    result = ingest(venue, lake, "candles", partition_key=DECEMBER)
    shown = metadata_of(result, "candles")
    assert shown["dagster/row_count"] == 100
    assert shown["new_rows"] == 100
    assert shown["quarantined"] == 0
    assert "2025-12-01 00:00 … 2025-12-02 00:45" in shown["span"]
    digest = lake.table_digest("candles", "BTCUSDT", FOREVER_MS)
    assert shown["digest"] == f"BTCUSDT {digest[:16]}"
    assert shown["plot"].startswith("![candles: close and rows a day](data:image/png;base64,")
    assert len(shown["plot"]) < 60_000


def test_series_are_known_after_their_publication_lag(venue: Served, lake: Lake):
    """Each row carries its event's own stamp and becomes known one configured lag later."""
    ingest(venue, lake, tags=BOTH_MONTHS)
    series = ResearchSettings(folder=str(CONFIGS)).load().universe.series
    found = lake.series("BTCUSDT", FOREVER_MS)
    for name, rows in found.items():
        lags = set((rows.known_at_ms - rows.event_time_ms).tolist())
        assert lags == {series[name].publication_lag_ms}
    assert found["funding_rate"].event_time_ms[0] == DECEMBER_MS - 2 * 28_800_000 + 5


def test_unfinished_bar_is_never_stored(venue: Served, lake: Lake):
    """The bar in which the venue's clock stands is left out, and comes when it has closed."""
    running_ms = FIRST_MS + 150 * BAR_MS
    with served(venue.market, running_ms + BAR_MS - 1) as early:
        ingest(early, lake, "candles", partition_key=DECEMBER)
        assert lake.bars("BTCUSDT", FOREVER_MS).open_time_ms[-1] == running_ms - BAR_MS
        early.clock.advance_to(running_ms + BAR_MS)
        ingest(early, lake, "candles", partition_key=DECEMBER)
        assert lake.bars("BTCUSDT", FOREVER_MS).open_time_ms[-1] == running_ms


def test_symbol_without_onchain_days_is_no_error(venue: Served, lake: Lake):
    """A source that covers no ETH leaves zero rows, visible on the asset, and a green check."""
    result = ingest(venue, lake, "onchain", partition_key=month_key("ETHUSDT", "2025-12-01"))
    shown = metadata_of(result, "onchain")
    assert shown["dagster/row_count"] == 0
    assert shown["span"] == "ETHUSDT no rows"
    assert checks_of(result)["onchain_values_are_plausible"]


def test_ingesting_again_changes_nothing(venue: Served, lake: Lake):
    """A second run over the same months leaves every byte of the lake as it was."""
    ingest(venue, lake, tags=BOTH_MONTHS)
    before = {path: path.read_bytes() for path in Path(lake.root).rglob("*.parquet")}
    result = ingest(venue, lake, tags=BOTH_MONTHS)
    assert metadata_of(result, "candles")["new_rows"] == 0
    assert {path: path.read_bytes() for path in Path(lake.root).rglob("*.parquet")} == before


def test_correction_of_the_venue_becomes_a_revision(venue: Served, lake: Lake):
    """A complete month that is read again picks up what the venue has corrected since."""
    ingest(venue, lake, "candles", partition_key=DECEMBER)
    held = venue.market.candles["BTCUSDT"]
    venue.market.candles["BTCUSDT"] = with_row(held, 120, volume=777.0)
    result = ingest(venue, lake, "candles", partition_key=DECEMBER)
    assert metadata_of(result, "candles")["revised_rows"] == 1
    assert lake.bars("BTCUSDT", NOW_MS).volume[20] == 777.0
    assert lake.bars("BTCUSDT", NOW_MS - 1).volume[20] == held.volume[120]


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("ohlc_inconsistent", lambda bars: with_row(bars, 150, high=1.0)),
        ("not_positive", lambda bars: with_row(bars, 150, low=-5.0)),
        ("negative_volume", lambda bars: with_row(bars, 150, volume=-1.0)),
        ("off_grid", lambda bars: with_row(bars, 150, open_time_ms=FIRST_MS + 150 * BAR_MS + 7)),
        ("duplicate", lambda bars: picked(bars, np.sort(np.r_[0:BARS, 150]))),
    ],
)
def test_bad_candle_is_set_aside_and_stops_what_stands_on_it(
    venue: Served, lake: Lake, rule: str, spoil: Any
):
    """A candle that breaks a rule goes to quarantine with its reason; downstream does not run."""
    good = venue.market.candles["BTCUSDT"]
    venue.market.candles["BTCUSDT"] = spoil(good)
    result = ingest(venue, lake, "candles", partition_key=DECEMBER)
    aside = lake.as_of("quarantine", "BTCUSDT", FOREVER_MS)
    assert not result.success
    assert checks_of(result)["candles_are_consistent"] is False
    assert "market/candles" in materialized(result)
    assert "downstream" not in materialized(result)
    assert metadata_of(result, "candles")["quarantined"] == 1
    assert len(aside) == 1
    assert rule in aside["rule"][0]
    assert aside["found"][0]
    assert aside["expected"][0]
    assert aside["source"][0] == "binanceusdm"
    stored = lake.bars("BTCUSDT", FOREVER_MS).open_time_ms
    assert len(stored) == (100 if rule == "duplicate" else 99)


def test_repaired_candle_leaves_quarantine(venue: Served, lake: Lake):
    """When the venue has put a candle right, the next run reads from there and all is green."""
    good = venue.market.candles["BTCUSDT"]
    venue.market.candles["BTCUSDT"] = with_row(good, 150, high=1.0)
    ingest(venue, lake, "candles", partition_key=DECEMBER)
    venue.market.candles["BTCUSDT"] = good
    venue.market.asked.clear()
    result = ingest(venue, lake, "candles", partition_key=DECEMBER)
    assert result.success
    assert min(start for _, start in venue.market.asked) == FIRST_MS + 150 * BAR_MS
    assert metadata_of(result, "candles")["new_rows"] == 1
    assert lake.history("quarantine", "BTCUSDT", FOREVER_MS)["rule"].tolist() == [
        "ohlc_inconsistent",
        "",
    ]


def test_missing_bars_stop_what_stands_on_them(venue: Served, lake: Lake):
    """A hole is named with its span and its bars, and downstream does not run."""
    bars = venue.market.candles["BTCUSDT"]
    venue.market.candles["BTCUSDT"] = picked(bars, np.r_[0:140, 143:BARS])
    result = ingest(venue, lake, "candles", partition_key=DECEMBER)
    gaps = next(
        one for one in result.get_asset_check_evaluations() if one.check_name.endswith("no_gaps")
    )
    assert not gaps.passed
    assert "2025-12-01 10:00 … 2025-12-01 10:45 | 3 |" in gaps.metadata["first"].value
    assert "downstream" not in materialized(result)


def test_implausible_funding_stops_what_stands_on_it(venue: Served, lake: Lake):
    """A rate beyond the cap fails the expectation, which is shown with the value."""
    venue.market.settlements["BTCUSDT"] = points(DECEMBER_MS, 28_800_000, [1e-4, 0.9])
    result = ingest(venue, lake, "candles", "funding", partition_key=DECEMBER)
    funding = next(
        one for one in result.get_asset_check_evaluations() if one.check_name.startswith("funding")
    )
    assert not funding.passed
    assert "column values to be between" in funding.metadata["expectations"].value
    assert "| 0.9 | False |" in funding.metadata["expectations"].value
    assert "downstream" not in materialized(result)


def test_missing_settlement_is_implausible(venue: Served, lake: Lake):
    """Sixteen hours between two settlements fail the check."""
    stamps = DECEMBER_MS + 28_800_000 * np.array([0, 1, 3], dtype=np.int64)
    venue.market.settlements["BTCUSDT"] = Points(stamps, np.full(3, 1e-4))
    venue.clock.advance_to(DECEMBER_MS + 2 * DAY_MS)
    result = ingest(venue, lake, "funding", partition_key=DECEMBER)
    assert checks_of(result) == {"funding_is_plausible": False}


def test_failed_run_keeps_what_arrived_and_the_next_goes_on(venue: Served, lake: Lake):
    """When the venue goes away in the middle, whole pages stay and the next run resumes there."""
    venue.market.candles["BTCUSDT"] = walk(DECEMBER_MS, 1_200)
    venue.clock.advance_to(DECEMBER_MS + 1_200 * BAR_MS)
    venue.market.asked.clear()
    venue.faults.arm(Fault("slow", count=2, match="klines", delay_ms=0))
    venue.faults.arm(Fault("http5xx", count=50, match="klines"))
    broken = ingest(venue, lake, "candles", partition_key=DECEMBER)
    assert not broken.success
    assert len(lake.bars("BTCUSDT", FOREVER_MS)) == 2 * CANDLE_PAGE
    venue.faults.clear()
    venue.market.asked.clear()
    healed = ingest(venue, lake, "candles", partition_key=DECEMBER)
    assert healed.success
    assert min(start for _, start in venue.market.asked) == DECEMBER_MS + 2 * CANDLE_PAGE * BAR_MS
    assert same_bars(lake.bars("BTCUSDT", FOREVER_MS), venue.market.candles["BTCUSDT"])


@pytest.mark.parametrize("key", ["2025-12-01|DOGEUSDT", "2025-12-02|BTCUSDT", "2022-12-01|BTCUSDT"])
def test_unknown_symbol_or_month_is_refused_before_work_starts(venue: Served, lake: Lake, key: str):
    """A partition that does not exist starts no run and asks the venue nothing."""
    with pytest.raises(dg.DagsterError, match="partition"):
        ingest(venue, lake, "candles", partition_key=key)
    assert venue.market.asked == []
    assert not Path(lake.root).exists()
