"""`tidegate status`: what runs, what waits for a person, and what stands, nearest things first.

Each part is printed before the libraries of the next one are loaded: a person reads meanwhile.
"""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestration.cli.words import shown
from orchestration.environments import Environment

if TYPE_CHECKING:
    from orchestration.resources.promotion_store import PromotionStore
    from research.promotion.audit import Entry

ANSWER_S = 2.0
WAITS = "[yellow]waits[/yellow]"


def print_status(console: Console) -> None:
    """Print services, what waits, what stands and trades per symbol, and how Dagster is."""
    from orchestration.local.processes import RECORD, urls_of_services

    environment = Environment.from_environ()
    urls = urls_of_services(environment.home / RECORD)
    console.print(shown(f"{environment.home}: services {'running' if urls else 'stopped'}"))
    for name, url in urls.items():
        console.print(shown(f"  {name:8} {url}"))
    _print_clock(environment, console)

    from orchestration.resources.promotion_store import APPROVAL_VALID_HOURS, PromotionStore

    store = PromotionStore(home=str(environment.home), approval_valid_hours=APPROVAL_VALID_HOURS)
    entries = store.entries()
    _print_waiting(store, console)
    _print_requests(store, entries, console)
    # The services of this home say where they listen; the environment only where they would.
    runner = urls.get("runner", environment.runner_url)
    _print_symbols(environment, store, entries, runner, console)
    _print_rollback(entries, console)
    if "dagster" in urls:
        _print_orchestrator(urls["dagster"], console)


def age(since_s: float, now_s: float) -> str:
    """Return how long ago a moment was, in the largest unit that says something."""
    passed = max(int(now_s - since_s), 0)
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if passed >= 2 * seconds:
            return f"{passed // seconds} {unit}"
    return f"{passed} s"


def moment_of(at_ms: float) -> str:
    """Return milliseconds UTC as a person reads them."""
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m-%d %H:%M}"


def approve_command(request_id: str) -> str:
    """Return what a person types to approve a request."""
    return f'tidegate approve {request_id} --as "<your name>"'


def _print_clock(environment: Environment, console: Console) -> None:
    replayed = environment.replayed_ms
    if replayed is not None:
        console.print(f"  market   {moment_of(replayed)} UTC by its own clock")


def _print_waiting(store: "PromotionStore", console: Console) -> None:
    """Print each request that waits for a person: since when, how good, and what to type."""
    for one in store.pending():
        console.print(
            Text.assemble(
                (f"{one.symbol} {one.week} waits ", "yellow"),
                f"for {age(one.created_at_ms / 1_000, time.time())}: every gate passed, ",
                shown(one.difference),
            ),
            soft_wrap=True,
        )
        if one.doubt:
            console.print(shown(f"  {one.doubt}", "yellow"), soft_wrap=True)
        console.print(shown(f"  {approve_command(one.id)}"), soft_wrap=True)
        console.print(shown(f"  tidegate show {one.id}"), soft_wrap=True)


def _print_requests(store: "PromotionStore", entries: "list[Entry]", console: Console) -> None:
    requests = store.requests()
    if not requests:
        console.print("requests: none yet; a retrain that passes every gate leaves one")
        return
    table = Table(title="requests", title_justify="left")
    table.add_column("id", no_wrap=True)
    for column in ("bundle", "decision", "outcome"):
        table.add_column(column)
    outcomes = _outcomes(entries)
    for request in requests:
        answer = store.approval(request.id)
        decision = shown(f"{answer.decision} by {answer.approver}") if answer else WAITS
        table.add_row(
            shown(request.id),
            request.bundle_digest[:12],
            decision,
            outcomes.get(request.id, ""),
        )
    console.print(table)


def _outcomes(entries: "list[Entry]") -> dict[str, str]:
    """Return, per request, what publishing it came to last."""
    outcomes: dict[str, str] = {}
    for entry in entries:
        if entry.kind == "published":
            epoch = entry.body["publication"]["epoch"]
            outcomes[entry.body["request_id"]] = f"published as epoch {epoch}"
        elif entry.kind == "publish_refused":
            rules = ", ".join(str(rule).split(":", 1)[0] for rule in entry.body["rules"])
            outcomes[entry.body["request_id"]] = f"[red]not published: {rules}[/red]"
    return outcomes


def _print_symbols(
    environment: Environment,
    store: "PromotionStore",
    entries: "list[Entry]",
    runner_url: str,
    console: Console,
) -> None:
    from market_data.universe import load_universe
    from research.promotion.rules import newest_publications

    table = Table(title="symbols", title_justify="left")
    columns = ("symbol", "champion", "epoch", "since", "runner trades by", "may trade", "last bar")
    for column in columns:
        table.add_column(column)
    live = _runner_models(runner_url)
    health = runner_health(runner_url) if live else {}
    heads = newest_publications(entries)
    universe = load_universe(environment.config_dir).symbols
    left = sorted({*heads, *live}.difference(universe))
    for symbol in (*universe, *left):
        head = heads.get(symbol)
        table.add_row(
            f"{symbol} [yellow](not in the universe)[/yellow]" if symbol in left else symbol,
            (store.standing(symbol).champion or "none")[:12],
            str(head["epoch"]) if head else "",
            f"{moment_of(head['published_at_ms'])} UTC" if head else "",
            _trades_by(live.get(symbol)) if live else "runner does not answer",
            _may_trade(health.get(symbol, {})),
            _last_bar(health.get(symbol, {})),
        )
    console.print(table)


def _trades_by(model: dict[str, Any] | None) -> Text:
    """Return what decides a symbol's bars, as far as the runner tells."""
    if model is None:
        return Text("not watched by the runner", "yellow")
    if model.get("lost"):
        return shown(f"nothing: {model['lost']}", "red")
    by = (model.get("digest") or "rules")[:12]
    return shown(f"{by}, epoch {model['epoch']}" if model.get("epoch") else by)


def _may_trade(condition: dict[str, Any]) -> Text:
    if not condition:
        return Text("")
    if condition["status"] == "trading":
        return Text("yes", "green")
    return shown(f"no: {condition['reason'] or condition['abstain']}", "red")


def _last_bar(condition: dict[str, Any]) -> str:
    """Return how old the last bar is by the market's clock."""
    aged = condition.get("last_bar_age_ms")
    return "" if aged is None else f"closed {age(0.0, aged / 1_000)} ago"


def _print_rollback(entries: "list[Entry]", console: Console) -> None:
    """Print who went back last, when and why."""
    for entry in reversed(entries):
        if entry.kind == "rolled_back":
            head = entry.body["publication"]
            console.print(
                shown(
                    f"last rollback: {head['symbol']} to {head['digest'][:12]} as epoch "
                    f"{head['epoch']}, {moment_of(entry.at_ms)} UTC by {entry.body['actor']}: "
                    f"{entry.body['reason']}"
                ),
                soft_wrap=True,
            )
            return


def _print_orchestrator(url: str, console: Console) -> None:
    """Print Dagster's heartbeat, its last ingest, and what is wrong with daemons and sensors."""
    from orchestration.local.orchestrator import look

    found = look(url)
    if found is None:
        console.print(f"[red]Dagster does not answer at {url}[/red]", soft_wrap=True)
        return
    now_s = time.time()
    beat = f"{age(found.heartbeat_s, now_s)} ago" if found.heartbeat_s else "never"
    ended = f" {age(found.ingested_s, now_s)} ago" if found.ingested_s else ""
    last = f"{found.ingest_status.lower()}{ended}" if found.ingest_status else "none yet"
    console.print(f"Dagster: heartbeat {beat}; last ingest: {last}")
    for fault in found.faults:
        console.print(shown(f"  {fault}", "red"), soft_wrap=True)


def _runner_models(url: str) -> dict[str, dict[str, Any]]:
    answer = _asked(f"{url}/model/info")
    return {model["symbol"]: model for model in answer["symbols"]} if answer else {}


def runner_health(url: str) -> dict[str, dict[str, Any]]:
    answer = _asked(f"{url}/health")
    return answer["symbols"] if answer else {}


def _asked(url: str) -> Any:
    """Return what the runner says, None where it does not; a 503 of /health says it too."""
    import httpx

    try:
        return httpx.get(url, timeout=ANSWER_S).json()
    except (httpx.TransportError, ValueError):
        return None
