"""The grains of the asset graph and what they say about time."""

import ast
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from market_data.window import Window, joined
from orchestration import partitions
from orchestration.partitions import month_key, month_window, week_key
from tests.hung import HUNG_S

CONFIGS = Path(__file__).parents[2] / "configs"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def ms(text: str) -> int:
    """Return milliseconds UTC of an ISO date."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@dg.asset(partitions_def=partitions.symbol_by_week)
def a_week(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Report what the helpers say about the run's partition."""
    window = partitions.week_window(context)
    return dg.MaterializeResult(
        metadata={
            "symbol": partitions.symbol(context),
            "week": partitions.week(context),
            "start_ms": window.start_ms,
            "cutoff_ms": partitions.cutoff_ms(context),
        }
    )


@dg.asset(partitions_def=partitions.symbol_by_month, backfill_policy=dg.BackfillPolicy.single_run())
def some_months(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Report the windows of the run's range."""
    windows = partitions.month_windows(context)
    return dg.MaterializeResult(
        metadata={"windows": [[w.symbol, w.start_ms, w.end_ms] for w in windows]}
    )


def metadata_of(result: dg.ExecuteInProcessResult, name: str) -> dict[str, object]:
    """Return the metadata of the first materialization of an asset."""
    event = result.asset_materializations_for_node(name)[0]
    return {key: value.value for key, value in event.metadata.items()}


def test_week_ends_where_training_is_cut_off():
    """A week partition begins on its Sunday and its cutoff is the next Sunday, 00:00 UTC."""
    result = dg.materialize([a_week], partition_key=week_key("ETHUSDT", "2025-12-14"))
    assert metadata_of(result, "a_week") == {
        "symbol": "ETHUSDT",
        "week": "2025-12-14",
        "start_ms": ms("2025-12-14"),
        "cutoff_ms": ms("2025-12-21"),
    }


def test_one_run_covers_a_range_of_months_of_every_symbol():
    """A single-run range over months and symbols arrives as one window per symbol."""
    keys = dg.PartitionKeyRange(
        start=month_key("BTCUSDT", "2025-11-01"), end=month_key("ETHUSDT", "2026-01-01")
    )
    result = dg.materialize(
        [some_months],
        tags={
            "dagster/asset_partition_range_start": keys.start,
            "dagster/asset_partition_range_end": keys.end,
        },
    )
    span = [ms("2025-11-01"), ms("2026-02-01")]
    assert metadata_of(result, "some_months")["windows"] == [["BTCUSDT", *span], ["ETHUSDT", *span]]


@pytest.mark.parametrize("ends", [("ETHUSDT", "BTCUSDT"), ("BTCUSDT", "BTCUSDT")])
def test_a_range_that_holds_nothing_is_refused(ends: tuple[str, str]):
    """A run that was asked for rows and was given no symbol and month is red, never green."""
    months = ("2025-11-01", "2025-11-01") if ends[0] != ends[1] else ("2025-12-01", "2025-11-01")
    first, last = (month_key(*one) for one in zip(ends, months, strict=True))
    tags = {
        "dagster/asset_partition_range_start": str(first),
        "dagster/asset_partition_range_end": str(last),
    }
    with pytest.raises((dg.Failure, dg.DagsterError), match=r"range|partition"):
        dg.materialize([some_months], tags=tags)


def test_the_range_of_symbols_that_are_no_neighbours_is_refused(tmp_path: Path):
    """A run from the first to the last of some symbols would take in others between them."""
    expression = "month_range(['AUSDT', 'CUSDT'], '2025-09-01', '2025-09-01')"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        raw_partitions(tmp_path, expression, symbols=["BUSDT", "CUSDT", "AUSDT"])
    assert "AUSDT, CUSDT" in str(refused.value.stderr)


@settings(max_examples=6, deadline=None)
@given(st.permutations(["SOLUSDT", "XRPUSDT", "DOGEUSDT", "BTCUSDT"]))
def test_the_order_of_the_symbols_in_the_file_never_matters(names: list[str]):
    """Whatever the order in universe.yaml, a range over all symbols holds every one of them."""
    expression = (
        "[sorted({key.split('|')[1] for key in symbol_by_month.get_partition_keys_in_range("
        "PartitionKeyRange(*month_range(names, '2025-09-01', '2025-10-01').values()))}), "
        f"list(SYMBOLS)] if (names := {names}) else None"
    )
    with TemporaryDirectory() as folder:
        found = raw_partitions(Path(folder), expression, symbols=names)
    assert ast.literal_eval(found) == [sorted(names), sorted(names)]


@pytest.mark.parametrize(
    "key", ["DOGEUSDT|2025-12-14", "BTCUSDT|2025-12-15", "BTCUSDT|2022-12-25", "BTCUSDT"]
)
def test_unknown_partition_is_refused_before_work_starts(key: str):
    """A symbol or week that does not exist stops the run before the asset's body."""
    with pytest.raises(dg.DagsterError, match="partition"):
        dg.materialize([a_week], partition_key=key)


def test_the_running_month_exists_and_an_unfinished_week_does_not():
    """Raw data of the current month can be ingested; a week exists once it is over."""
    now = datetime.now(UTC)
    months = partitions.symbol_by_month.get_partition_keys()
    weeks = partitions.symbol_by_week.get_partition_keys()
    newest = max(weeks, key=lambda key: partitions.dimensions(key)[1])
    assert month_key("BTCUSDT", now.strftime("%Y-%m-01")) in months
    assert ms(partitions.dimensions(newest)[1]) + 7 * DAY_MS <= now.timestamp() * 1000


def test_partitions_of_a_replayed_market_end_at_its_clock(tmp_path: Path):
    """No week and no month to come is on offer, and one that is asked for says so in a sentence."""
    (tmp_path / "state" / "venue").mkdir(parents=True)
    clock = {"now_ms": ms("2025-12-24") + 3_600_000, "speed": 60.0, "paused": True}
    path = tmp_path / "state" / "venue" / "clock.json"
    path.write_text(json.dumps(clock | {"real_time": False}))
    expression = (
        "[max(p.dimensions(key)[1] for key in grain.get_partition_keys()) for grain in "
        "(p.symbol_by_week, p.symbol_by_live_week, p.symbol_by_month)] + "
        "[p.not_there_yet('2025-12-14'), p.not_there_yet('2025-12-21')] "
        "if (p := __import__('orchestration.partitions').partitions) else None"
    )
    *ends, there, ahead = ast.literal_eval(raw_partitions(tmp_path, expression))
    assert ends == ["2025-12-14", "2025-12-21", "2025-12-01"]
    assert there == ""
    assert ahead == (
        "the week of 2025-12-21 has not finished: the market's clock says 2025-12-24 01:00 UTC, "
        "and the last week that has is 2025-12-14"
    )


def raw_partitions(home: Path, expression: str, **changes: object) -> str:
    """Return what a fresh code location with another universe makes of its raw data's `keys`."""
    shutil.copytree(CONFIGS, home / "configs")
    path = home / "configs" / "universe.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
    script = (
        "from dagster import PartitionKeyRange; "
        "from orchestration.partitions import SYMBOLS, month_range, symbol_by_month; "
        f"keys = symbol_by_month.get_partition_keys(); print({expression})"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={
            **os.environ,
            "TIDEGATE_CONFIGS": str(home / "configs"),
            "TIDEGATE_HOME": str(home / "state"),
        },
        cwd=CONFIGS.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=HUNG_S,
    )
    return done.stdout.strip()


def test_partitions_follow_from_the_universe(tmp_path: Path):
    """Another universe makes other partitions: its symbols, from the month its history starts."""
    changes = {"symbols": ["SOLUSDT"], "history_start": "2025-09-14"}
    assert raw_partitions(tmp_path, "min(keys)", **changes) == "2025-09-01|SOLUSDT"


def test_fifty_symbols_and_five_years_stay_below_five_thousand_partitions(tmp_path: Path):
    """A raw table of a large universe is something that Dagster's UI can still show."""
    now = datetime.now(UTC)
    start = f"{now.year - 5}-{now.month:02d}-01"
    symbols = [f"S{number}USDT" for number in range(50)]
    found = raw_partitions(tmp_path, "len(keys)", symbols=symbols, history_start=start)
    assert 3_000 <= int(found) <= 5_000


@given(st.sets(st.integers(0, 47), min_size=1, max_size=12), st.permutations(partitions.SYMBOLS))
def test_joined_windows_cover_exactly_the_months_asked_for(months: set[int], names: list[str]):
    """Joining neighbours neither loses nor adds a millisecond, and leaves no neighbours apart."""
    keys = [
        month_key(name, f"{2023 + month // 12}-{month % 12 + 1:02d}-01")
        for name in names
        for month in months
    ]
    windows = [month_window(key) for key in keys]
    result = joined(windows)
    assert sum(w.end_ms - w.start_ms for w in result) == sum(w.end_ms - w.start_ms for w in windows)
    for earlier, later in pairwise(result):
        assert earlier.symbol < later.symbol or earlier.end_ms < later.start_ms
    assert all(any(inside(window, outer) for outer in result) for window in windows)


def inside(window: Window, outer: Window) -> bool:
    """Say whether `window` lies within `outer`."""
    return (
        window.symbol == outer.symbol
        and outer.start_ms <= window.start_ms
        and window.end_ms <= outer.end_ms
    )


@pytest.mark.parametrize("key", ["BTCUSDT|2031-01-05", "BTCUSDT|2025-12-15", "FOOUSDT|2025-12-14"])
def test_a_week_that_nobody_can_train_on_is_refused(key: str):
    """A week to come, a Monday and an unknown symbol are named before anything is read."""
    context = dg.build_asset_context(partition_key=key)
    with pytest.raises((dg.Failure, ValueError), match=key.split("|")[1]):
        partitions.week_window(context)
