"""`tidegate tune`: a search as Dagster's run in this process, and a person who adopts what it
found.
"""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from kernel.digest import canonical_json, sha256_hex
from kernel.errors import SettingsError
from kernel.text import plain
from market_data.storage.parquet import replace_file
from orchestration.cli import runs
from orchestration.cli.words import shown
from orchestration.environments import Environment
from orchestration.resources.promotion_store import APPROVAL_VALID_HOURS, PromotionStore
from orchestration.resources.trial_ledger import TrialLedger
from research.tuning.names import known

if TYPE_CHECKING:
    from research.tuning.search import Proposal

ADOPTED = "settings_adopted"
LOOK_S = 1.0


def tune(*, symbol: str, week: str, base: str, trials: int, console: Console) -> None:
    """Bring a search of a base to so many trials and print what it proposes.

    Raises SettingsError for an unknown symbol or base, and RunError where the search failed.
    """
    from orchestration.partitions import SYMBOLS, week_key

    runs.chosen_symbols((symbol,), SYMBOLS)
    environment = runs.environment_of_runs()
    names = known(environment.config_dir)
    if base not in names:
        raise SettingsError(f"base: found {base!r}, expected one of {', '.join(names)}")
    week = runs.chosen_week(environment, symbol, week)
    config = {"ops": {"training__search": {"config": {"base": base, "trials": trials}}}}
    with runs.instance_of_runs(environment) as instance, _progress(symbol, trials, console):
        result = runs.run_job(
            environment,
            instance,
            "tuning_job",
            partition_key=week_key(symbol, week),
            run_config=config,
        )
    if not result.success:
        raise runs.RunError(
            f"search of {base} for {symbol}, week {week}: found {runs.failures_of(result)}, "
            "expected a proposal; a week that was never trained has no training set: "
            f"`tidegate retrain {symbol} --week {week}` makes it"
        )
    (made,) = result.get_asset_materialization_events()
    path = Path(str(made.materialization.metadata["proposal"].value))
    _print(_read(path), path, console)


@contextmanager
def _progress(symbol: str, trials: int, console: Console) -> Iterator[None]:
    """Show how many trials of the search that begins now are on record, until the body ends."""
    ended = threading.Event()
    ledger = TrialLedger(home=str(Environment.from_environ().home))
    began_ms = time.time_ns() // 1_000_000
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"trials on {symbol}", total=trials)

        def look() -> None:
            while not ended.wait(LOOK_S):
                progress.update(task, completed=min(trials, _finished(ledger, symbol, began_ms)))

        watching = threading.Thread(target=look, daemon=True)
        watching.start()
        try:
            yield
        finally:
            ended.set()
            watching.join()
            progress.update(task, completed=min(trials, _finished(ledger, symbol, began_ms)))


def _finished(ledger: TrialLedger, symbol: str, since_ms: int) -> int:
    """Return how many trials are finished of the search that last did something since a moment."""
    rows = list(ledger.rows(symbol).values())
    touched = [
        row.trial.parent
        for row in rows
        if row.trial.kind == "search"
        and (row.open or row.records[-1].at_ms >= since_ms or row.begun_ms >= since_ms)
    ]
    return sum(row.trial.parent in touched[-1:] and not row.open for row in rows)


def adopt(path: Path, actor: str, console: Console) -> None:
    """Write what a search proposes into `models/<base>.yaml`, in a person's name.

    The audit log knows of it first; adopted again, nothing changes. Raises SettingsError without a
    name, for a file that is no proposal, and where the settings are no more those that it was held
    against.
    """
    from research.models.bases import load
    from research.tuning.spaces import parameters_of, with_parameters

    person = plain(actor)
    if not person:
        raise SettingsError("adopt: found no name, expected yours: --as <name>; the log keeps it")
    proposal = _read(path)
    environment = Environment.from_environ()
    target = environment.config_dir / "models" / f"{proposal.base}.yaml"
    base = load(proposal.base, target.parent)
    found = parameters_of(base)
    if found == dict(proposal.proposed):
        console.print(shown(f"{target}: these are its settings already"), soft_wrap=True)
        return
    if found != dict(proposal.current):
        changed = sorted(k for k in found if found[k] != proposal.current.get(k))
        raise SettingsError(
            f"{target}: found {changed[0]} {found[changed[0]]!r}, expected "
            f"{proposal.current.get(changed[0])!r}, against which the proposal was judged: search "
            "again"
        )
    wanted = {k: v for k, v in proposal.proposed.items() if v != found[k]}
    with_parameters(base, wanted)
    text = with_values(target.read_text(encoding="utf-8"), wanted)
    _note(environment, proposal, person)
    replace_file(target, text.encode())
    console.print(shown(f"{target} written in the name of {person}; the next retrain reads it"))


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """Return the text of a settings file with other values, its comments as they were.

    Raises SettingsError where the text does not name each of them on a line of its own.
    """
    wanted = {**yaml.safe_load(text), **values}
    for name, value in values.items():
        text = re.sub(
            rf"^({re.escape(name)}:\s*)([^\s#]+)", rf"\g<1>{_scalar(value)}", text, flags=re.M
        )
    if yaml.safe_load(text) != wanted:
        raise SettingsError(
            f"adopt: found a settings file whose lines are not {', '.join(values)}, expected each "
            "as `name: value`: write the values by hand"
        )
    return text


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        text = repr(value)
        # YAML reads 1e-05 as text: a number in this notation needs a point.
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    return str(value)


def _note(environment: Environment, proposal: "Proposal", person: str) -> None:
    """Append who adopted what, unless that is the last thing that the log says of the base."""
    store = PromotionStore(
        home=str(environment.home.resolve()), approval_valid_hours=APPROVAL_VALID_HOURS
    )
    body = {
        "actor": person,
        "base": proposal.base,
        "symbol": proposal.symbol,
        "week": proposal.week,
        "proposal": sha256_hex(canonical_json(proposal.to_record())),
        "from": dict(proposal.current),
        "to": dict(proposal.proposed),
        "verdict": proposal.verdict,
    }
    said = [
        one.body
        for one in store.entries()
        if one.kind == ADOPTED and one.body["base"] == proposal.base
    ]
    if not said or said[-1] != body:
        store.note(ADOPTED, body, time.time_ns() // 1_000_000)


def _read(path: Path) -> "Proposal":
    from research.tuning.search import Proposal

    if not path.is_file():
        raise SettingsError(
            f"{path}: found no such file, expected a proposal: `tidegate tune` writes one"
        )
    try:
        return Proposal.from_record(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{path}: found a file that is no proposal ({error!r}), expected one that `tidegate "
            "tune` wrote"
        ) from error


def _print(proposal: "Proposal", path: Path, console: Console) -> None:
    tally = proposal.tally
    console.print(
        shown(
            f"{proposal.base} for {proposal.symbol}, week {proposal.week}: {tally.tried} trials "
            f"({tally.complete} complete, {tally.pruned} pruned, {tally.failed} failed) on "
            f"{proposal.folds} folds before the gates"
        ),
        soft_wrap=True,
    )
    table = Table()
    for column in ("setting", "today", "proposed"):
        table.add_column(column)
    for name, value in proposal.proposed.items():
        today = proposal.current[name]
        table.add_row(name, _told(today), "" if value == today else _told(value))
    table.add_row(
        f"{proposal.objective}, mean",
        f"{proposal.current_score:.5f}",
        f"{proposal.score:.5f}",
        style="bold",
    )
    console.print(table)
    console.print(shown(proposal.verdict), soft_wrap=True)
    if dict(proposal.proposed) != dict(proposal.current):
        console.print(shown(f"adopt it: tidegate tune --adopt {path} --as <name>"), soft_wrap=True)


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
