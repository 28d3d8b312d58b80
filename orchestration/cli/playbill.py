"""Set a stage and play on it: `tidegate demo` and `tidegate up`."""

import datetime as dt
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
from rich.console import Console

from kernel.errors import MissingError
from market_data.universe import load_universe
from orchestration.cli.closing import Report, print_report, write_report
from orchestration.cli.demo import CALM_SPEED, Demo, DemoError
from orchestration.cli.doctor import require_able
from orchestration.environments import Environment
from orchestration.local.dagster_client import ANSWER_SECONDS, DagsterClient
from orchestration.local.instance import ensure_instance, ensure_mlflow_schema
from orchestration.local.orchestrator import OfferedPartitions, reload
from orchestration.local.processes import RECORD, ServiceError, Supervisor
from orchestration.local.recovery import recover
from orchestration.local.services import (
    Ports,
    VenueMarket,
    child_environment,
    held_symbols,
    services,
    write_runner_config,
)
from orchestration.resources.keys import Signer
from orchestration.resources.promotion_store import ensure_keys
from orchestration.resources.runs_table import runs_table
from research.settings import load_settings

Teller = Callable[[str], None]
DEMO_MARKER = ".demo"
DEMO_WEEK = "2025-12-14"  # its end, Sunday 2025-12-21 00:00 UTC, is the training cutoff
DEMO_START = "2025-12-21T03:00:00Z"
GENERATED_FROM = "2025-04-01"
RECORDED_SYMBOL = "BTCUSDT"


def play(
    *,
    recorded: Path | None,
    seed: int,
    edge: float,
    symbols: tuple[str, ...],
    days: int,
    out: Path,
    home: Path | None,
    console: Console,
) -> None:
    """Run the demo on a fresh home and write its figures."""
    began = time.monotonic()
    tell = _teller(console)
    environment = _demo_environment(home)
    market = _demo_market(recorded, seed, edge, symbols)
    ports = Ports.free()
    supervisor = Supervisor(environment.home.resolve(), child_environment(environment, ports))
    supervisor.claim(tell)
    _stop_on_signals()
    report = Report(market=_title(market), symbols=list(market.symbols))
    try:
        require_able(environment, ())
        _announce(market, days, console)
        _empty(environment.home)
        _prepare(environment, ports, market, tell)
        supervisor.start(services(environment, ports, market), tell)
        months = (f"{market.history_start[:7]}-01", f"{DEMO_START[:7]}-01")
        with (
            explained(supervisor),
            _client(ports.runner) as runner,
            _client(ports.venue) as venue,
        ):
            dagster = DagsterClient(f"http://127.0.0.1:{ports.dagster}")
            Demo(
                home=environment.home,
                ports=ports,
                market=market,
                week=DEMO_WEEK,
                months=months,
                days=days,
                console=console,
                report=report,
                supervisor=supervisor,
                dagster=dagster,
                runner=runner,
                venue=venue,
            ).run()
    finally:
        _ignore_signals()
        supervisor.stop()
    report.seconds = time.monotonic() - began
    write_report(report, out)
    print_report(report, console, environment.home, out)


def stand(*, ports: Ports, recorded: Path | None, speed: float | None, console: Console) -> None:
    """Start every service on its port and stay until Ctrl-C.

    The market goes on from where it stood, at `speed`; None is the speed that it had, or 1.
    """
    tell = _teller(console)
    environment = Environment.from_environ()
    market = _market_of(environment, recorded, 1.0 if speed is None else speed)
    for symbol in market.exits_only:
        tell(f"{symbol} is not in the universe but has a position open: watched for its exits only")
    supervisor = Supervisor(environment.home.resolve(), child_environment(environment, ports))
    supervisor.claim(tell)
    _stop_on_signals()
    try:
        require_able(environment, services(environment, ports, market))
        _prepare(environment, ports, market, tell)
        supervisor.start(services(environment, ports, market), tell)
        with _client(ports.venue) as venue:
            console.print(set_going(venue, speed))
        runs = runs_table(f"http://127.0.0.1:{ports.mlflow}")
        console.print(
            f"Dagster  http://127.0.0.1:{ports.dagster}\n"
            f"MLflow   {runs}\n"
            f"runner   http://127.0.0.1:{ports.runner} (/docs)   venue  http://127.0.0.1:{ports.venue}\n"
            "Ctrl-C stops all of it; the next start goes on from here. What to do first: "
            "docs/first-hour.md"
        )
        weeks = OfferedPartitions(environment, partial(reload, f"http://127.0.0.1:{ports.dagster}"))
        supervisor.watch(weeks.follow)
    except KeyboardInterrupt:
        _ignore_signals()
        console.print("stopping")
    finally:
        supervisor.stop()


def set_going(venue: httpx.Client, speed: float | None) -> str:
    """Let the market's clock go on, where it stood still too; return what it does."""
    told = venue.get("/control/clock").raise_for_status().json()
    change: dict[str, float | bool] = {}
    if told["paused"]:
        change["pause"] = False
    if speed is not None and speed != told["speed"]:
        change["speed"] = speed
    if change:
        told = venue.post("/control/clock", json=change).raise_for_status().json()
    now = dt.datetime.fromtimestamp(told["now_ms"] / 1_000, tz=dt.UTC)
    pace = float(told["speed"])
    runs = "at the pace of ours" if pace == 1.0 else f"{pace:g} times as fast as ours"
    return f"the market's clock says {now:%Y-%m-%d %H:%M} UTC and runs {runs}"


def _market_of(environment: Environment, recorded: Path | None, speed: float) -> VenueMarket:
    """Return the market that `up` plays, with what is held although no setting names it."""
    market = (
        replace(_demo_market(recorded, 0, 0.0, ()), speed=speed)
        if recorded
        else VenueMarket(
            "generated", _symbols(environment), "now", speed, history_start=_months_ago(12)
        )
    )
    held = held_symbols(environment.journal_file)
    left = tuple(symbol for symbol in held if symbol not in market.symbols)
    return replace(market, symbols=(*market.symbols, *left), exits_only=left)


@contextmanager
def explained(supervisor: Supervisor) -> Iterator[None]:
    """Turn a lost connection into a ServiceError that names the service which ended."""
    try:
        yield
    except httpx.TransportError:
        supervisor.require_alive()
        raise


def _prepare(environment: Environment, ports: Ports, market: VenueMarket, tell: Teller) -> None:
    """Make keys, settings and the Dagster instance, and put right what a kill left behind."""
    ensure_keys(environment.home)
    if Signer(environment.home / "keys").lacks_key():
        tell("nothing can be published: the signing key is gone; see docs/runbooks/keys.md")
    ensure_instance(environment)
    if environment.database_url is not None:
        ensure_mlflow_schema(environment.database_url)
    universe = load_universe(environment.config_dir)
    settings = load_settings(environment.config_dir, universe.timeframe)
    write_runner_config(environment, universe, settings.trading, ports, market)
    for line in recover(environment):
        tell(line)


def _title(market: VenueMarket) -> str:
    if market.data is not None:
        return f"Tidegate demo on the recorded markets of {market.data}"
    return f"Tidegate demo on a generated market (seed {market.seed}, edge {market.edge:g})"


def _announce(market: VenueMarket, days: int, console: Console) -> None:
    """Say what is about to happen and how long it takes."""
    console.print(f"[bold]{_title(market)}[/bold]")
    console.print(
        f"{', '.join(market.symbols)} from {market.history_start}: ingest, features, retrain, "
        f"gates, approval, publication, hot swap, {days} days of trading, and a replay of them.\n"
        "Some seven minutes on two idle cores; a busy machine takes longer and comes to the same "
        "end. Each line below is a step that is done.",
        soft_wrap=True,
    )


def _empty(home: Path) -> None:
    """Delete what an earlier demo left in `home`; raises ServiceError for any other folder."""
    marker = home / DEMO_MARKER
    left = [path for path in home.iterdir() if path.name != RECORD]
    if left and not marker.exists():
        raise ServiceError(
            f"demo: found files in {home} that no demo made, expected a new folder or a demo's; "
            "pass another --home"
        )
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    marker.touch()


def _demo_environment(home: Path | None) -> Environment:
    """Return an installation of its own: a demo never touches a lake or warehouse elsewhere."""
    base = Environment.from_environ()
    home = (home or base.home / "demo").resolve()
    return replace(base, home=home, lake_url="", warehouse_url="")


def _demo_market(
    recorded: Path | None, seed: int, edge: float, symbols: tuple[str, ...]
) -> VenueMarket:
    if recorded is None:
        chosen = symbols or _symbols(Environment.from_environ())
        return VenueMarket(
            kind="generated",
            symbols=chosen,
            start=DEMO_START,
            speed=CALM_SPEED,
            seed=seed,
            edge=edge,
            history_start=GENERATED_FROM,
        )
    if not recorded.is_dir():
        raise MissingError(
            f"recorded markets: found no folder {recorded}, "
            "expected one with ohlcv_<symbol>_15m_*.parquet"
        )
    return VenueMarket(
        kind="recorded",
        symbols=(RECORDED_SYMBOL,),
        start=DEMO_START,
        speed=CALM_SPEED,
        history_start=_first_day(recorded),
        data=recorded,
    )


def _first_day(recorded: Path) -> str:
    """Return the day on which the folder's candles begin, as an ISO date.

    Raises DemoError where it holds no candles up to the demo's week.
    """
    import pyarrow.parquet as pq

    files = sorted(recorded.glob(f"ohlcv_{RECORDED_SYMBOL}_*.parquet"))
    stamps = [pq.read_table(path, columns=["timestamp"])["timestamp"].to_pandas() for path in files]
    first = min((one.min() for one in stamps), default=None)
    last = max((one.max() for one in stamps), default=None)
    if first is None or last is None or f"{last:%Y-%m-%dT%H:%M:%SZ}" < DEMO_START:
        raise DemoError(
            f"recorded markets in {recorded}: found candles of {RECORDED_SYMBOL} until {last}, "
            f"expected them from before {DEMO_START} to a week after it, in files named like "
            f"those of examples/recorded (ohlcv_{RECORDED_SYMBOL}_15m_<venue>.parquet)"
        )
    return f"{first:%Y-%m-%d}"


def _stop_on_signals() -> None:
    """Let SIGTERM, and SIGINT even where a shell had it ignored, end everything as Ctrl-C does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def _ignore_signals() -> None:
    """Let nobody who presses Ctrl-C again stop the stopping half-way."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _teller(console: Console) -> Teller:
    return lambda line: console.print(f"  {line}", soft_wrap=True)


def _symbols(environment: Environment) -> tuple[str, ...]:
    return load_universe(environment.config_dir).symbols


def _months_ago(months: int) -> str:
    today = dt.datetime.now(dt.UTC).date()
    index = today.year * 12 + today.month - 1 - months
    return f"{index // 12:04d}-{index % 12 + 1:02d}-01"


def _client(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=ANSWER_SECONDS)
