"""The runner's journal as assets, written by the runner's own parts and read through real runs."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

import assets.monitoring as monitoring_assets
from kernel.bars import Bars
from kernel.features.engine import Stream
from kernel.features.registry import FEATURES
from kernel.observer import Observer
from kernel.trading import Trader, trades
from live_runner.candles import Candle
from live_runner.journal.journal import Decision, SymbolState
from live_runner.journal.journal import Journal as RunnerJournal
from live_runner.loop import SETTLED
from live_runner.orders import order_changes
from market_data.storage.lake import DERIVED_TABLES, FOREVER_MS, Lake
from orchestration.io_managers import LakeIOManager
from orchestration.partitions import week_key
from orchestration.resources.journal import JournalFile, UnreadableJournalError
from orchestration.resources.notifier import Notifier
from orchestration.resources.research_settings import ResearchSettings
from sensors.failures import failed_check_sensor
from tests.assets.red import evaluations
from tests.kernel.trading_rows import GUARDED
from tests.market_data.served_venue import BAR_MS, walk

SUNDAY_MS = 1_765_670_400_000  # 2025-12-14T00:00Z
FIRST_MS = SUNDAY_MS - 120 * BAR_MS
WARM_UP, BARS = 40, 400
WEEK = "2025-12-14"
CONFIGS = Path(__file__).parents[2] / "configs"
SERIES = {
    "funding": ("funding_rate", 28_800_000, 60_000),
    "open_interest": ("open_interest", BAR_MS, 60_000),
    "fear_greed": ("fear_greed", 86_400_000, 3_600_000),
}


def series_rows(column: str, step_ms: int, lag_ms: int) -> pd.DataFrame:
    """Return a series from some days before the first bar to the last."""
    times = np.arange(FIRST_MS - 172_800_000, FIRST_MS + BARS * BAR_MS, step_ms, dtype=np.int64)
    values = 10.0 + np.arange(len(times)) % 7
    return pd.DataFrame(
        {
            "event_time_ms": times,
            "known_at_ms": times + lag_ms,
            "source": "a-venue",
            column: values * (1e-5 if column == "funding_rate" else 1.0),
        }
    )


def fill(lake: Lake, bars: Bars) -> None:
    """Put the candles and the slow series of the test into a lake."""
    names = ("open", "high", "low", "close", "volume")
    times = bars.open_time_ms
    columns = {name: getattr(bars, name) for name in names}
    frame = pd.DataFrame({"event_time_ms": times, "known_at_ms": times + BAR_MS, **columns})
    lake.append("candles", "BTCUSDT", frame.assign(source="a-venue"), FOREVER_MS)
    for table, (column, step_ms, lag_ms) in SERIES.items():
        lake.append(table, "BTCUSDT", series_rows(column, step_ms, lag_ms), FOREVER_MS)


def run_live(path: Path, bars: Bars) -> None:
    """Decide every bar after the warm-up as the runner does, and journal it with its own writer."""
    observer, stream, trader = Observer(BAR_MS), Stream(), Trader(GUARDED)
    for column, step_ms, lag_ms in SERIES.values():
        rows = series_rows(column, step_ms, lag_ms)
        for event_ms, known_ms, value in zip(
            rows["event_time_ms"], rows["known_at_ms"], rows[column], strict=True
        ):
            observer.learn(column, event_ms, known_ms, value)
    rng = np.random.default_rng(3)
    journal, pending = RunnerJournal(path), ""
    digest = journal.settings_digest(GUARDED)
    candles = [
        Candle(int(bars.open_time_ms[k]), *(float(getattr(bars, n)[k]) for n in Candle._fields[1:]))
        for k in range(len(bars))
    ]
    start = SymbolState(
        "BTCUSDT", FIRST_MS - BAR_MS, trader.snapshot(), stream.snapshot(), 0, "", ""
    )
    journal.record_start(start, stream.snapshot(), FIRST_MS)
    for number, candle in enumerate(candles):
        at_ms = candle.open_time_ms
        observer.learn("btc_close", at_ms, at_ms + BAR_MS, candle.close)
        seen = observer.observe(*candle)
        features = stream.push(seen)
        if number < WARM_UP:
            journal.record_history("BTCUSDT", [(candle, seen)], 0)
            continue
        wish = rng.dirichlet([0.3, 0.3, 0.3]).tolist()
        atr = features[FEATURES.index("atr_14")] * candle.close
        row = [
            float(at_ms),
            float(at_ms + BAR_MS),
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            atr,
            *wish,
            0.0,
            *seen[SETTLED],
        ]
        out = trader.push(row)
        orders, pending = order_changes(
            symbol="BTCUSDT",
            open_time_ms=candle.open_time_ms,
            bar_ms=BAR_MS,
            row=row,
            out=out,
            pending=pending,
        )
        vectors = (seen, features, wish, row, out)
        decision = Decision(*("BTCUSDT", candle, 0, "", digest, *vectors, "rules", False, 250, 200))
        state = SymbolState(
            *("BTCUSDT", candle.open_time_ms, trader.snapshot(), stream.snapshot(), 0, "", pending)
        )
        journal.record(decision, orders, state, candle.open_time_ms + BAR_MS)
    journal.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a state root with a journal and a lake of the same market."""
    bars = walk(FIRST_MS, BARS)
    fill(Lake(root=str(tmp_path / "lake")), bars)
    run_live(tmp_path / "journal.sqlite", bars)
    return tmp_path


def monitor(
    home: Path,
    symbol: str = "BTCUSDT",
    week: str = WEEK,
    instance: dg.DagsterInstance | None = None,
) -> dg.ExecuteInProcessResult:
    """Materialize the stage for one symbol and week with its checks."""
    definitions = dg.Definitions(
        assets=dg.load_assets_from_modules([monitoring_assets]),
        asset_checks=dg.load_asset_checks_from_modules([monitoring_assets]),
        jobs=[dg.define_asset_job("run", selection=dg.AssetSelection.groups("monitoring"))],
        resources={
            "journal": JournalFile(path=str(home / "journal.sqlite")),
            "lake": Lake(root=str(home / "lake")),
            "settings": ResearchSettings(folder=str(CONFIGS)),
            "io_manager": LakeIOManager(root=str(home / "lake")),
        },
    )
    return definitions.resolve_job_def("run").execute_in_process(
        instance=instance or dg.DagsterInstance.ephemeral(),
        partition_key=week_key(symbol, week),
        raise_on_error=False,
    )


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Return every check that ran by its name."""
    return evaluations(result)


def stored(home: Path, name: str, symbol: str = "BTCUSDT", week: str = WEEK) -> pd.DataFrame:
    """Return a stored monitoring table."""
    key = dg.AssetKey(["monitoring", name])
    return LakeIOManager(root=str(home / "lake")).read(key, week_key(symbol, week), pd.DataFrame)


def change(home: Path, statement: str, *values: Any) -> None:
    """Alter the journal behind the runner's back."""
    with closing(sqlite3.connect(home / "journal.sqlite")) as db, db:
        db.execute(statement, values)


def one_bit_off(home: Path) -> tuple[bytes, int]:
    """Return the eighth bar's features with one bit of rsi_14 flipped, and when it opened."""
    at_ms = SUNDAY_MS + 7 * BAR_MS
    with closing(sqlite3.connect(home / "journal.sqlite")) as db:
        found = db.execute("SELECT features FROM decisions WHERE open_time_ms = ?", (at_ms,))
        blob = bytearray(found.fetchone()[0])
    blob[8 * FEATURES.index("rsi_14")] ^= 1
    return bytes(blob), at_ms


def test_week_of_decisions_is_what_the_runner_wrote(home: Path):
    """Every bar decided within the week is a row, features and account named, none from before."""
    result = monitor(home)
    frame = stored(home, "live_decisions")
    with closing(sqlite3.connect(home / "journal.sqlite")) as db:
        last = db.execute(
            "SELECT features FROM decisions ORDER BY open_time_ms DESC LIMIT 1"
        ).fetchone()[0]
    assert result.success
    assert frame["open_time_ms"].tolist() == [SUNDAY_MS + k * BAR_MS for k in range(BARS - 120)]
    assert frame[list(FEATURES)].to_numpy()[-1].tobytes() == last
    assert {"row_close", "row_p_buy", "out_equity", "reason", "latency_us"} <= set(frame.columns)


def test_live_features_equal_those_of_the_lake(home: Path):
    """The lake's bars and series give the features that decided: 0 differing bytes."""
    check = checks_of(monitor(home))["live_features_match_the_lake"]
    assert check.passed
    assert check.metadata["decisions"].value == BARS - 120
    assert check.metadata["differing_bytes"].value == 0


def test_live_trades_replay_to_the_byte(home: Path):
    """The recorded journal replays exactly, and the week's trades are those of the kernel."""
    check = checks_of(monitor(home))["live_trades_replay_exactly"]
    found = stored(home, "live_trades")
    assert check.passed
    assert check.metadata["decisions"].value == BARS - WARM_UP
    assert check.metadata["trades"].value > len(found) > 3
    assert list(found.columns) == list(DERIVED_TABLES["monitoring/live_trades"])
    assert (found["entry_time_ms"] < SUNDAY_MS).sum() <= 1
    assert (found["exit_time_ms"] >= SUNDAY_MS).all()


def test_weeks_split_the_trades_of_the_journal(home: Path):
    """Two weeks together hold every closed trade once, the one across midnight whole."""
    for week in ("2025-12-07", WEEK):
        monitor(home, week=week)
    both = [stored(home, "live_trades", week=week) for week in ("2025-12-07", WEEK)]
    with closing(sqlite3.connect(home / "journal.sqlite")) as db:
        rows, outs = (
            np.frombuffer(b"".join(r[0] for r in db.execute(q)), np.float64).reshape(360, -1)
            for q in (
                "SELECT row FROM decisions ORDER BY open_time_ms",
                "SELECT out FROM decisions ORDER BY open_time_ms",
            )
        )
    whole = trades(rows, outs)
    joined = pd.concat(both, ignore_index=True)
    for name in whole.dtype.names:
        assert joined[name].tolist() == whole[name].tolist()


@pytest.mark.red("live_features_match_the_lake")
def test_changed_feature_turns_the_check_red(home: Path):
    """One flipped bit in one recorded feature is counted, named, and dated."""
    change(home, "UPDATE decisions SET features = ? WHERE open_time_ms = ?", *one_bit_off(home))
    checks = checks_of(monitor(home))
    lake_check = checks["live_features_match_the_lake"]
    assert not lake_check.passed
    assert lake_check.metadata["differing_bytes"].value == 1
    assert lake_check.metadata["features"].value == "rsi_14"
    assert lake_check.metadata["first_difference"].value == "2025-12-14 01:45"


@pytest.mark.red("live_trades_replay_exactly")
def test_changed_account_turns_the_replay_red(home: Path):
    """A trade that the kernel would not have made is found."""
    with closing(sqlite3.connect(home / "journal.sqlite")) as db:
        out = db.execute(
            "SELECT out FROM decisions WHERE open_time_ms = ?", (SUNDAY_MS,)
        ).fetchone()[0]
    blob = np.frombuffer(out, np.float64).copy()
    blob[-8:] += 1.0
    change(home, "UPDATE decisions SET out = ? WHERE open_time_ms = ?", blob.tobytes(), SUNDAY_MS)
    check = checks_of(monitor(home))["live_trades_replay_exactly"]
    assert not check.passed
    assert check.metadata["first_difference"].value == "2025-12-14 00:00"


def test_bars_the_lake_lacks_are_not_taken_for_equal(tmp_path: Path):
    """Decisions on bars that were never ingested fail the check and say what to do."""
    bars = walk(FIRST_MS, BARS)
    fill(Lake(root=str(tmp_path / "lake")), bars.slice(0, 200))
    run_live(tmp_path / "journal.sqlite", bars)
    check = checks_of(monitor(tmp_path))["live_features_match_the_lake"]
    assert not check.passed
    assert "200 bars are not in the lake: ingest their month first" in check.description


def test_bars_that_the_next_ingest_brings_are_waited_for(tmp_path: Path):
    """Two hours of bars may be on their way: that is said, and nobody is woken for it."""
    bars = walk(FIRST_MS, BARS)
    fill(Lake(root=str(tmp_path / "lake")), bars.slice(0, BARS - 8))
    run_live(tmp_path / "journal.sqlite", bars)
    check = checks_of(monitor(tmp_path))["live_features_match_the_lake"]
    assert check.passed
    assert check.metadata["bars_the_next_ingest_brings"].value == 8


def test_a_red_audit_reaches_people(home: Path):
    """What the scheduled run finds differing is told by the sensor of failed checks, by name."""
    change(home, "UPDATE decisions SET features = ? WHERE open_time_ms = ?", *one_bit_off(home))
    with dg.instance_for_test() as instance:
        monitor(home, instance=instance)
        notifier = Notifier(path=str(home / "notifications.jsonl"))
        failed_check_sensor(dg.build_sensor_context(instance, resources={"notifier": notifier}))
    told = [json.loads(line) for line in Path(notifier.path).read_text().splitlines()]
    failed = [one for one in told if one["kind"] == "check_failed"]
    details = {" ".join(one["subject"].split()[:2]): one["detail"] for one in failed}
    # The replay makes the features again from what was observed: it finds the bit as well.
    assert set(details) == {
        "monitoring/live_decisions live_features_match_the_lake",
        "monitoring/live_trades live_trades_replay_exactly",
    }
    assert "1 bytes differ" in details["monitoring/live_decisions live_features_match_the_lake"]


def test_week_without_decisions_is_empty_and_green(home: Path):
    """A symbol that was not traded gives typed tables of no rows, and nothing to object to."""
    result = monitor(home, symbol="ETHUSDT")
    assert result.success
    for name in ("live_decisions", "live_trades"):
        assert len(stored(home, name, symbol="ETHUSDT")) == 0
    assert stored(home, "live_trades", "ETHUSDT")["pnl"].dtype == np.float64


def test_missing_journal_says_what_to_start(tmp_path: Path):
    """Before the runner ever ran, the failure names the file and the command."""
    journal = JournalFile(path=str(tmp_path / "journal.sqlite"))
    with pytest.raises(UnreadableJournalError, match="start it"), journal.opened():
        pass
    assert not monitor(tmp_path).success


def test_file_that_is_no_journal_is_refused(tmp_path: Path):
    """A file of another kind is named, not read as an empty journal."""
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"not a database at all, but long enough to look at" * 9)
    result = monitor(tmp_path)
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert not result.success
    assert "expected a runner's journal" in str(failure.event_specific_data)
