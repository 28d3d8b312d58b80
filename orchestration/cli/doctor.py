"""Look for what stops Tidegate from working, and say what to do about it."""

import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kernel.errors import SettingsError
from market_data.universe import load_universe
from orchestration.cli.status import runner_health
from orchestration.environments import Environment
from orchestration.local.orchestrator import look
from orchestration.local.processes import (
    RECORD,
    Service,
    ServiceError,
    read_record,
    require_free_port,
    urls_of_services,
)
from orchestration.local.recovery import half_written
from orchestration.local.services import Ports, VenueMarket, held_symbols, services
from orchestration.resources.dbt_project import PROJECT, REMEDY, outdated

LEAST_FREE_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what was found, and what to do when it is not well."""

    subject: str
    well: bool
    found: str
    remedy: str = ""


def diagnose(console: Console) -> bool:
    """Print every finding and return whether all is well."""
    environment = Environment.from_environ()
    findings = list(examine(environment, Ports()))
    table = Table("", "what", "found", "what to do")
    for finding in findings:
        mark = "[green]ok[/green]" if finding.well else "[red]no[/red]"
        table.add_row(mark, finding.subject, finding.found, "" if finding.well else finding.remedy)
    console.print(table)
    sick = sum(not finding.well for finding in findings)
    console.print(f"{len(findings)} things looked at, {sick} need you")
    return sick == 0


def examine(environment: Environment, ports: Ports) -> Iterator[Finding]:
    """Yield a finding for everything that a local Tidegate needs."""
    home = environment.home
    yield _python()
    yield _disk(home)
    yield _manifest()
    yield from _processes(environment, ports)
    yield from _secrets(home)
    yield _half_files(home)
    yield _audit_log(home)
    yield _journal(environment.journal_file)
    yield _left_behind(environment)
    if environment.database_url:
        yield _database(environment.database_url)


def require_able(environment: Environment, wanted: Sequence[Service]) -> None:
    """Raise ServiceError naming at once everything for which the wanted services cannot start."""
    findings = (_python(), _disk(environment.home), _manifest(), *map(_port, wanted))
    sick = [finding for finding in findings if not finding.well]
    if sick:
        told = "\n".join(f"  {one.subject}: found {one.found}; {one.remedy}" for one in sick)
        raise ServiceError(f"nothing was started, because of\n{told}")


def _python() -> Finding:
    found = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Finding("Python", found == "3.11", found, "make install PYTHON=/path/to/python3.11")


def _disk(home: Path) -> Finding:
    place = next(path for path in (home, *home.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    return Finding(
        f"disk at {place}",
        free >= LEAST_FREE_BYTES,
        f"{free / 2**30:.1f} GiB free",
        f"free some until {LEAST_FREE_BYTES / 2**30:.0f} GiB are left, or move TIDEGATE_HOME",
    )


def _manifest(project: Path = PROJECT) -> Finding:
    found = outdated(project)
    remedy = f"{REMEDY}, and reload the code location in Dagster where services run"
    return Finding("dbt manifest", not found, found or "made of the project as it is", remedy)


def _processes(environment: Environment, ports: Ports) -> Iterator[Finding]:
    supervisor, children = read_record(environment.home / RECORD)
    if supervisor is not None:
        yield Finding("services", True, f"running under process {supervisor.pid}")
        yield from running(urls_of_services(environment.home / RECORD))
        return
    if children:
        pids = ", ".join(str(child.pid) for child in children)
        remedy = "the next `tidegate up` ends them and goes on"
        yield Finding("services", False, f"left by a killed run: {pids}", remedy)
        return
    yield Finding("services", True, "stopped")
    for service in services(environment, ports, VenueMarket("generated", ("BTCUSDT",), "now", 1.0)):
        yield _port(service)


def running(urls: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what running services say of themselves: the feed per symbol, and Dagster's parts."""
    if "runner" in urls:
        yield from _symbols(runner_health(urls["runner"]))
    if "dagster" in urls:
        found = look(urls["dagster"])
        faults = ("it does not answer",) if found is None else found.faults
        remedy = "see logs/dagster.log, and the page *Deployment* in Dagster"
        yield Finding("Dagster", not faults, "; ".join(faults) or "all daemons beat", remedy)


def _symbols(health: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    if not health:
        yield Finding("runner", False, "it does not answer", "see logs/runner.log")
    for symbol, one in health.items():
        well = one["status"] != "halted"
        found = one["status"] if well else one["reason"] or one["abstain"]
        yield Finding(f"runner, {symbol}", well, found, "docs/runbooks/what-halts-entries.md")


def _port(service: Service) -> Finding:
    subject = f"port {service.port} ({service.name})"
    try:
        require_free_port(service)
    except ServiceError:
        remedy = f"stop what listens there, or run tidegate up --{service.name}-port <a free one>"
        return Finding(subject, False, "it taken", remedy)
    return Finding(subject, True, "free")


def _secrets(home: Path) -> Iterator[Finding]:
    from orchestration.resources.keys import SIGNING_KEY, Signer

    for name in (SIGNING_KEY, "admin.token"):
        path = home / "keys" / name
        if name == SIGNING_KEY and Signer(home / "keys").lacks_key():
            remedy = (
                "restore it from a copy, or make another with `tidegate keys rotate`: what was "
                "signed stays readable"
            )
            yield Finding(f"keys/{name}", False, "none beside a log that one has signed", remedy)
            continue
        if not path.exists():
            yield Finding(f"keys/{name}", True, "not made yet")
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        yield Finding(f"keys/{name}", mode == 0o600, f"mode {mode:04o}", f"chmod 600 {path}")


def _half_files(home: Path) -> Finding:
    left = half_written(home)
    return Finding(
        "half-written files",
        not left,
        ", ".join(path.name for path in left[:3]) or "none",
        "the next `tidegate up` deletes them; what they replace is whole",
    )


def _audit_log(home: Path) -> Finding:
    from orchestration.resources.keys import WrongKeyError
    from orchestration.resources.promotion_store import APPROVAL_VALID_HOURS, PromotionStore
    from research.promotion.audit import AuditBrokenError

    if not (home / "promotion" / "audit.jsonl").exists():
        return Finding("audit log", True, "not made yet")
    store = PromotionStore(home=str(home), approval_valid_hours=APPROVAL_VALID_HOURS)
    try:
        entries = store.entries()
    except AuditBrokenError as error:
        return Finding("audit log", False, str(error.at), error.at.remedy)
    except (WrongKeyError, PermissionError) as error:
        return Finding("audit log", False, str(error), "mend the key that is named")
    return Finding("audit log", True, f"chain of {len(entries)} entries whole")


def _journal(path: Path) -> Finding:
    if not path.exists():
        return Finding("runner journal", True, "not made yet")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as journal:
            answer = str(journal.execute("PRAGMA quick_check").fetchone()[0])
    except sqlite3.DatabaseError as error:
        answer = str(error)
    return Finding("runner journal", answer == "ok", answer, "restore the journal from a backup")


def _left_behind(environment: Environment) -> Finding:
    """Look for positions and champions of symbols that the universe no longer names."""
    subject = "symbols of before"
    try:
        symbols = load_universe(environment.config_dir).symbols
        held = [one for one in held_symbols(environment.journal_file) if one not in symbols]
    except (SettingsError, sqlite3.DatabaseError) as error:
        return Finding(subject, False, str(error), "mend what is named")
    if held:
        remedy = (
            "`tidegate up` watches them for their exits only; to trade them again, name them in "
            "universe.yaml"
        )
        return Finding(subject, False, f"open positions of {', '.join(held)}", remedy)
    folders = (environment.home / "lake" / "market" / "candles").glob("symbol=*")
    names = {folder.name.partition("=")[2] for folder in folders} - {*symbols, "none"}
    kept = f"kept and not used: the lake of {', '.join(sorted(names))}" if names else "none"
    return Finding(subject, True, kept)


def _database(url: str) -> Finding:
    import sqlalchemy as sa
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with sa.create_engine(url).connect() as connection:
            connection.execute(sa.text("select 1"))
    except SQLAlchemyError as error:
        return Finding(
            "database", False, str(error).splitlines()[0], "start PostgreSQL, check the URL"
        )
    return Finding("database", True, "answers")
