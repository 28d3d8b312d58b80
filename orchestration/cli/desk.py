"""The approver's desk in a shell: what waits, what stands, and the decision."""

import time
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from market_data.universe import load_universe
from orchestration.cli.words import shown
from orchestration.environments import Environment
from orchestration.local.processes import RECORD, urls_of_services
from orchestration.resources.promotion_store import APPROVAL_VALID_HOURS, PromotionStore
from research.promotion.records import Decision
from research.promotion.rules import newest_publications

WAITS = "[yellow]waits[/yellow]"


def print_status(console: Console) -> None:
    """Print services, requests with their decisions, and per symbol what stands and trades."""
    environment = Environment.from_environ()
    urls = urls_of_services(environment.home / RECORD)
    state = "running" if urls else "stopped"
    console.print(shown(f"{environment.home}: services {state}"))
    for name, url in urls.items():
        console.print(shown(f"  {name:8} {url}"))
    store = _store(environment)
    _print_requests(store, console)
    # The services of this home say where they listen; the environment only where they would.
    _print_symbols(environment, store, urls.get("runner", environment.runner_url), console)


def decide(request_id: str, decision: Decision, approver: str, note: str, console: Console) -> None:
    """Record a person's decision; the approval sensor publishes what was approved."""
    store = _store(Environment.from_environ())
    answer = store.decide(request_id, decision, approver, note, _now_ms())
    until = _time(answer.expires_at_ms)
    told = f"request {request_id}: {answer.decision} by {answer.approver}, valid until {until} UTC"
    console.print(shown(told))


def roll_back(*, symbol: str, actor: str, reason: str, to: str, console: Console) -> None:
    """Publish an earlier champion again; the swap sensor brings it to the runner."""
    store = _store(Environment.from_environ())
    head = store.roll_back(symbol=symbol, actor=actor, reason=reason, now_ms=_now_ms(), to=to)
    told = f"{symbol}: bundle {head['digest'][:12]} published again as epoch {head['epoch']}"
    console.print(shown(told))


def _print_requests(store: PromotionStore, console: Console) -> None:
    table = Table(title="requests", title_justify="left")
    table.add_column("id", no_wrap=True)
    for column in ("bundle", "decision", "outcome"):
        table.add_column(column)
    outcomes = _outcomes(store)
    for request in store.requests():
        answer = store.approval(request.id)
        decision = shown(f"{answer.decision} by {answer.approver}") if answer else WAITS
        table.add_row(
            shown(request.id),
            request.bundle_digest[:12],
            decision,
            outcomes.get(request.id, ""),
        )
    console.print(table)


def _outcomes(store: PromotionStore) -> dict[str, str]:
    """Return, per request, what publishing it came to last."""
    outcomes: dict[str, str] = {}
    for entry in store.entries():
        if entry.kind == "published":
            epoch = entry.body["publication"]["epoch"]
            outcomes[entry.body["request_id"]] = f"published as epoch {epoch}"
        elif entry.kind == "publish_refused":
            rules = ", ".join(str(rule).split(":", 1)[0] for rule in entry.body["rules"])
            outcomes[entry.body["request_id"]] = f"[red]not published: {rules}[/red]"
    return outcomes


def _print_symbols(
    environment: Environment, store: PromotionStore, runner_url: str, console: Console
) -> None:
    table = Table(title="symbols", title_justify="left")
    for column in ("symbol", "published epoch", "champion", "runner epoch", "runner trades by"):
        table.add_column(column)
    live = _runner_models(runner_url)
    universe = load_universe(environment.config_dir).symbols
    left = sorted({*newest_publications(store.entries()), *live}.difference(universe))
    for symbol in (*universe, *left):
        stands = store.standing(symbol)
        model = live.get(symbol, {})
        table.add_row(
            f"{symbol} [yellow](not in the universe)[/yellow]" if symbol in left else symbol,
            str(stands.epoch),
            (stands.champion or "none")[:12],
            str(model.get("epoch", "")),
            _trades_by(model) if live else "runner does not answer",
        )
    console.print(table)


def _trades_by(model: dict[str, Any]) -> Text:
    """Return what decides a symbol's bars, as far as the runner tells."""
    if model.get("lost"):
        return shown(f"nothing: {model['lost']}", "red")
    return shown((model.get("digest") or "rules")[:12])


def _runner_models(url: str) -> dict[str, dict[str, Any]]:
    try:
        answer = httpx.get(f"{url}/model/info", timeout=2.0).raise_for_status().json()
    except httpx.TransportError:
        return {}
    return {model["symbol"]: model for model in answer["symbols"]}


def _store(environment: Environment) -> PromotionStore:
    return PromotionStore(home=str(environment.home), approval_valid_hours=APPROVAL_VALID_HOURS)


def _time(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at_ms / 1000))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
