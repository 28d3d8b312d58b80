"""`tidegate show`: one request, bundle, decision or run, by its name."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kernel.errors import MissingError
from orchestration.cli.status import approve_command, moment_of
from orchestration.cli.words import shown
from orchestration.environments import Environment
from orchestration.local.processes import RECORD, urls_of_services
from orchestration.resources.promotion_store import (
    APPROVAL_VALID_HOURS,
    SHORTEST_DIGEST,
    PromotionStore,
)
from research.gates.thresholds import changed_thresholds
from research.promotion.audit import Entry
from research.promotion.records import Approval, PromotionRequest


def print_thing(name: str, console: Console) -> None:
    """Print what is called `name`; raises MissingError that says what there is."""
    environment = Environment.from_environ()
    store = PromotionStore(home=str(environment.home), approval_valid_hours=APPROVAL_VALID_HOURS)
    requests = store.requests()
    for one in requests:
        if one.id == name:
            _print_request(one, store, console)
            return
    entries = store.entries()
    if len(name) >= SHORTEST_DIGEST and _printed(name, environment, requests, entries, console):
        return
    known = ", ".join(one.id for one in requests) or "none"
    raise MissingError(
        f"show: found nothing called {name!r}, expected a request ({known}), the first "
        f"{SHORTEST_DIGEST} digits or more of a bundle or a decision, or the id of a run"
    )


def _printed(
    name: str,
    environment: Environment,
    requests: list[PromotionRequest],
    entries: list[Entry],
    console: Console,
) -> bool:
    """Print the decision, bundle or run that a digest or id names; return whether there is one."""
    for answer in _decisions(entries):
        if answer.digest.startswith(name):
            _print_decision(answer, console)
            return True
    folders = sorted((environment.home / "bundles").glob(f"{_plain(name)}*"))
    if folders:
        _print_bundle(folders[0], requests, entries, console)
        return True
    return _printed_run(name, environment, console)


def _print_request(request: PromotionRequest, store: PromotionStore, console: Console) -> None:
    rows: dict[str, Any] = {
        "symbol and week": f"{request.symbol} {request.week}",
        "asked": f"{moment_of(request.created_at_ms)} UTC",
        "verdict": f"every gate passed; {request.difference}",
    }
    if request.doubt:
        rows["doubt"] = request.doubt
    before = store.request_of_champion(request.symbol)
    if before and before.thresholds and before.id != request.id:
        changed = changed_thresholds(before.thresholds, request.thresholds)
        rows["thresholds since the champion"] = ", ".join(changed) or "the same"
    answer = store.approval(request.id)
    rows |= {
        "bundle": request.bundle_digest,
        "gate report": request.gate_report_digest,
        "thresholds": request.thresholds_digest or "not kept",
        "data": f"{request.data_digest}, to {moment_of(request.as_of_ms)} UTC",
        "compared with": request.champion_digest or "no champion",
        "checks that were green": str(len(request.verdicts)),
        "decision": _told(answer) if answer else "none yet",
        "what happened": "; ".join(_history(request.id, store.entries())) or "nothing yet",
    }
    if answer is None:
        rows["to approve"] = approve_command(request.id)
    _print(f"request {request.id}", rows, console)
    if request.figures:
        _print("figures", {k: f"{v:.4g}" for k, v in request.figures.items()}, console)


def _print_decision(answer: Approval, console: Console) -> None:
    _print(
        f"decision {answer.digest[:12]}",
        {
            "request": answer.request_id,
            "decision": _told(answer),
            "note": answer.note or "none",
            "holds until": f"{moment_of(answer.expires_at_ms)} UTC",
        },
        console,
    )


def _print_bundle(
    folder: Path, requests: list[PromotionRequest], entries: list[Entry], console: Console
) -> None:
    manifest = _manifest(folder)
    asked = [one.id for one in requests if one.bundle_digest == folder.name]
    published = [
        f"epoch {one['epoch']}, {moment_of(one['published_at_ms'])} UTC by {one['approver']}"
        for entry in entries
        if entry.kind in ("published", "rolled_back")
        and (one := entry.body["publication"])["digest"] == folder.name
    ]
    of_manifest = {
        "symbol": f"{manifest.get('symbol')} {manifest.get('timeframe')}",
        "data to": f"{moment_of(manifest.get('cutoff_ms', 0))} UTC",
        "features": str(len(manifest.get("features", ()))),
        "gate report": str(manifest.get("gate_report_digest", "")),
        "data": str(manifest.get("data_digest", "")),
        "code": str(manifest.get("code_revision", "")),
    }
    rows = {
        **of_manifest,
        "requests": ", ".join(asked) or "none",
        "published": "; ".join(published) or "never",
        "folder": str(folder),
    }
    _print(f"bundle {folder.name}", rows, console)


def _printed_run(run_id: str, environment: Environment, console: Console) -> bool:
    """Print a run of Dagster, where it runs to be asked."""
    from orchestration.local.orchestrator import run_of

    url = urls_of_services(environment.home / RECORD).get("dagster")
    run = run_of(url, run_id) if url else None
    if run is None:
        return False
    tags = {one["key"]: one["value"] for one in run["tags"]}
    rows = {
        "job": run["jobName"],
        "partition": tags.get("dagster/partition", "none"),
        "status": run["status"].lower(),
        "gate": tags.get("tidegate/gate", "not judged in it"),
        "began": _second(run["startTime"]),
        "ended": _second(run["endTime"]),
        "page": f"{url}/runs/{run_id}",
    }
    _print(f"run {run_id}", rows, console)
    return True


def _print(title: str, rows: Mapping[str, str], console: Console) -> None:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, shown(value))
    console.print(table)


def _history(request_id: str, entries: list[Entry]) -> list[str]:
    return [
        f"{entry.kind.replace('_', ' ')} {moment_of(entry.at_ms)} UTC"
        for entry in entries
        if entry.body.get("request_id") == request_id
    ]


def _decisions(entries: list[Entry]) -> list[Approval]:
    kinds = ("approved", "declined")
    return [Approval.from_dict(one.body) for one in entries if one.kind in kinds]


def _told(answer: Approval) -> str:
    note = f": {answer.note}" if answer.note else ""
    return f"{answer.decision} by {answer.approver}, {moment_of(answer.at_ms)} UTC{note}"


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    return json.loads(path.read_bytes()) if path.exists() else {}


def _plain(name: str) -> str:
    """Return a name that is no pattern and no path."""
    return name if name.isalnum() else "none"


def _second(at_s: float | None) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC" if at_s else "not yet"
