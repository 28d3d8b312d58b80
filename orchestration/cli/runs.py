"""`tidegate ingest` and `tidegate retrain`: Dagster's runs in this process, and what they found.

The runs stand in the installation's Dagster like those of the UI, and no service has to be up.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kernel.errors import SettingsError, TidegateError
from market_data.universe import load_universe
from orchestration.cli.words import shown
from orchestration.environments import Environment

if TYPE_CHECKING:
    import dagster as dg

WEEK_MS = 7 * 86_400_000
FIRST_SUNDAY_MS = 3 * 86_400_000  # 1970-01-04


class RunError(TidegateError):
    """Say which job broke where, and what it raised."""


def ingest(symbols: tuple[str, ...], console: Console) -> None:
    """Ingest all months since history_start, symbol by symbol, and print the checks that are red.

    Raises RunError where a symbol has no candles in the end: there is nothing to train on.
    """
    from market_data.storage.lake import Lake
    from orchestration.partitions import FIRST_DAY, SYMBOLS, month_range

    environment = environment_of_runs()
    lake = Lake(root=environment.lake_root)
    for symbol in chosen_symbols(symbols, SYMBOLS):
        tags = month_range([symbol], FIRST_DAY, _this_month())
        with instance_of_runs(environment) as instance:
            result = run_job(environment, instance, "ingest_job", tags=tags)
        red = print_red(result, console)
        months = lake.months("candles", symbol)
        if not months:
            raise RunError(
                f"ingest of {symbol}: found no candles in {lake.root}, expected some; "
                f"{failures_of(result) or red}"
            )
        times = lake.event_times("candles", symbol)
        verdict = "nothing red" if result.success else "see above what is red"
        console.print(
            f"{symbol}: {len(times):,} candles from {_day(int(times[0]))} to "
            f"{_day(int(times[-1]))}; {verdict}",
            soft_wrap=True,
        )


def retrain(symbol: str, week: str, console: Console) -> None:
    """Train and judge one symbol on the week that begins on `week`, and print what every gate says.

    Without `week` it is the last one that the candles fill. Raises RunError where no candidate
    came as far as the gates.
    """
    from orchestration.partitions import SYMBOLS, week_key
    from research.gates.gates import GateReport
    from research.gates.judgement import sentence

    chosen_symbols((symbol,), SYMBOLS)
    environment = environment_of_runs()
    week = chosen_week(environment, symbol, week)
    with instance_of_runs(environment) as instance:
        result = run_job(environment, instance, "retrain_job", partition_key=week_key(symbol, week))
    red = print_red(result, console)
    path = environment.home / "lake" / "gates" / "report" / f"symbol={symbol}" / f"{week}.json"
    if not path.exists():
        raise RunError(
            f"retrain of {symbol}, week {week}: found no gate report, expected one; "
            f"{failures_of(result) or red}"
        )
    report: dict[str, Any] = json.loads(path.read_text())
    _print_gates(symbol, week, report, console)
    console.print(shown(sentence(GateReport.from_dict(report), symbol, week)), soft_wrap=True)


def chosen_week(environment: Environment, symbol: str, week: str) -> str:
    """Return the week that a person named, or the last one that a symbol's candles fill.

    Raises RunError for one that is no Sunday of a whole week, and SettingsError without candles.
    """
    from market_data.storage.lake import Lake
    from orchestration.partitions import not_there_yet, symbol_by_week

    if week and (ahead := not_there_yet(week)):
        raise RunError(ahead)
    weeks = symbol_by_week.get_partitions_def_for_dimension("week").get_partition_keys()
    if week and week not in weeks:
        raise RunError(f"week: found {week!r}, expected a Sunday from {weeks[0]} to {weeks[-1]}")
    return week or last_week(Lake(root=environment.lake_root), environment, symbol)


def environment_of_runs() -> Environment:
    """Return this installation, with MLflow's own file in place of its server."""
    from orchestration.local.services import mlflow_store
    from orchestration.resources.promotion_store import ensure_keys

    environment = Environment.from_environ()
    (environment.home / "mlflow").mkdir(parents=True, exist_ok=True)
    ensure_keys(environment.home)
    return replace(environment, mlflow_uri=mlflow_store(environment))


@contextmanager
def instance_of_runs(environment: Environment) -> "Iterator[dg.DagsterInstance]":
    import dagster as dg

    from orchestration.local.instance import write_instance

    folder = write_instance(environment)
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


def run_job(
    environment: Environment, instance: "dg.DagsterInstance", job: str, **where: Any
) -> "dg.ExecuteInProcessResult":
    import warnings

    # What is red is printed below; Dagster's own account of it stands in its event log.
    warnings.simplefilter("ignore")
    from orchestration.definitions import code_location

    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    config = {**quiet, **where.pop("run_config", {})}
    return (
        code_location(environment)
        .resolve_job_def(job)
        .execute_in_process(instance=instance, raise_on_error=False, run_config=config, **where)
    )


def print_red(result: "dg.ExecuteInProcessResult", console: Console) -> list[str]:
    """Print what did not pass, and return it."""
    told = [
        f"{one.asset_key.to_user_string()} {one.check_name}: {one.description}"
        for one in result.get_asset_check_evaluations()
        if not one.passed
    ]
    for sentence in told:
        console.print(Text.assemble(("red ", "red"), shown(sentence)), soft_wrap=True)
    return told


def failures_of(result: "dg.ExecuteInProcessResult") -> str:
    raised = [
        event.step_failure_data.error
        for event in result.all_events
        if event.is_step_failure and event.step_failure_data.error
    ]
    return "; ".join((error.cause or error).message.strip() for error in raised)


def _print_gates(symbol: str, week: str, gate: Mapping[str, Any], console: Console) -> None:
    from orchestration.presentation.metadata import cell

    table = Table(title=f"Gates of {symbol}, week {week}", title_justify="left")
    for column in ("gate", "found", "asked for", ""):
        table.add_column(column)
    for outcome in gate["outcomes"]:
        verdict = "[green]passed[/green]" if outcome["passed"] else "[red]refused[/red]"
        numbers = (cell(outcome["value"]), cell(outcome["threshold"]))
        table.add_row(outcome["gate"], *numbers, verdict)
    console.print(table)


def last_week(lake: Any, environment: Environment, symbol: str) -> str:
    times = lake.event_times("candles", symbol)
    if not len(times):
        raise SettingsError(
            f"retrain of {symbol}: found no candles in {lake.root}, expected some: "
            "`tidegate ingest` brings them"
        )
    end_ms = int(times[-1]) + load_universe(environment.config_dir).bar_ms
    return _day((end_ms - FIRST_SUNDAY_MS) // WEEK_MS * WEEK_MS + FIRST_SUNDAY_MS - WEEK_MS)


def chosen_symbols(symbols: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    for symbol in symbols:
        if symbol not in known:
            raise SettingsError(f"symbol: found {symbol!r}, expected one of {', '.join(known)}")
    return symbols or known


def _this_month() -> str:
    from datetime import UTC, datetime

    return f"{datetime.now(UTC):%Y-%m}-01"


def _day(moment_ms: int) -> str:
    from market_data.window import moment

    return moment(moment_ms)[: len("2026-01-31")]
