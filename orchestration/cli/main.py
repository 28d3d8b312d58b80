"""The `tidegate` command."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    name="tidegate",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="""Market data to a hot-swapped model, with a person's approval in between.

    Start with `tidegate demo` (everything once, headless) or `tidegate up` (the UIs).
    State lives under TIDEGATE_HOME (default .tidegate).""",
)
data = typer.Typer(invoke_without_command=True, help="Show what the lake holds; see --help.")
app.add_typer(data, name="data")
keys = typer.Typer(no_args_is_help=True, help="The keys that sign publications and the log.")
app.add_typer(keys, name="keys")
SLOWEST = 0.001
FASTEST = 1_000_000.0
PIPED_WIDTH = 200  # a file or a pipe has no width of its own
console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)

Recorded = Annotated[
    Path | None,
    typer.Option(help="Folder of recorded markets to play instead of the generated one."),
]
Symbol = Annotated[str, typer.Argument(help="Symbol, e.g. BTCUSDT.")]
Actor = Annotated[str, typer.Option("--as", help="Your name; it goes into the audit log.")]


@app.command()
def demo(
    recorded: Recorded = None,
    seed: Annotated[int, typer.Option(help="Seed of the generated market.")] = 7,
    edge: Annotated[float, typer.Option(help="Planted edge; 0 plants none.")] = 0.3,
    symbols: Annotated[str, typer.Option(help="Comma-separated; empty takes the universe.")] = "",
    days: Annotated[int, typer.Option(help="Simulated days to trade after the swap.")] = 7,
    out: Annotated[Path, typer.Option(help="Where the figures go.")] = Path("out/demo.json"),
    home: Annotated[Path | None, typer.Option(help="State folder; made anew.")] = None,
) -> None:
    """Run the whole flow once, headless, from raw market data to a model that trades a week."""
    from orchestration.cli.playbill import play

    with _clean_exit():
        play(
            recorded=recorded,
            seed=seed,
            edge=edge,
            symbols=tuple(filter(None, symbols.split(","))),
            days=days,
            out=out,
            home=home,
            console=console,
        )


@app.command()
def up(
    dagster_port: Annotated[int, typer.Option(help="Dagster UI.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="MLflow UI.")] = 5000,
    runner_port: Annotated[int, typer.Option(help="Live runner.")] = 8800,
    venue_port: Annotated[int, typer.Option(help="Replay venue.")] = 8900,
    recorded: Recorded = None,
    speed: Annotated[
        float | None,
        typer.Option(
            min=SLOWEST,
            max=FASTEST,
            help="Market seconds per real second; without it, as it ran before, or 1.",
        ),
    ] = None,
) -> None:
    """Start Dagster, MLflow, the runner and the venue; Ctrl-C stops them, the next `up` goes on."""
    from orchestration.cli.playbill import stand
    from orchestration.local.services import Ports

    with _clean_exit():
        ports = Ports(dagster_port, mlflow_port, runner_port, venue_port)
        stand(ports=ports, recorded=recorded, speed=speed, console=console)


@app.command()
def status() -> None:
    """Show services, champions, pending requests and what each runner symbol trades by."""
    from orchestration.cli.status import print_status

    with _clean_exit():
        print_status(console)


@app.command()
def show(
    what: Annotated[
        str,
        typer.Argument(help="A request, a bundle or a decision (8 digits or more), or a run."),
    ],
) -> None:
    """Show one thing by its name: a request with its figures, a bundle, a decision, a run."""
    from orchestration.cli.show import print_thing

    with _clean_exit():
        print_thing(what, console)


@app.command()
def approve(
    request: Annotated[str, typer.Argument(help="Request id, from `tidegate status`.")],
    approver: Actor,
    note: Annotated[str, typer.Option(help="Why; kept in the audit log.")] = "",
) -> None:
    """Approve a pending promotion; the approval binds its digests and expires."""
    from orchestration.cli.desk import decide

    with _clean_exit():
        decide(request, "approved", approver, note, console)


@app.command()
def decline(
    request: Annotated[str, typer.Argument(help="Request id, from `tidegate status`.")],
    approver: Actor,
    note: Annotated[str, typer.Option(help="Why; kept in the audit log.")],
) -> None:
    """Decline a pending promotion, with the reason."""
    from orchestration.cli.desk import decide

    with _clean_exit():
        decide(request, "declined", approver, note, console)


@app.command()
def rollback(
    symbol: Symbol,
    actor: Actor,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")],
    to: Annotated[
        str, typer.Option(help="Digest of the earlier version, 8 digits or more; else the last.")
    ] = "",
) -> None:
    """Publish an earlier champion again, under a higher epoch: the last, or the one named."""
    from orchestration.cli.desk import roll_back

    with _clean_exit():
        roll_back(symbol=symbol, actor=actor, reason=reason, to=to, console=console)


@app.command()
def ingest(
    symbol: Annotated[list[str] | None, typer.Option(help="Only this; may be repeated.")] = None,
) -> None:
    """Bring all months since history_start into the lake; say what is red and what to do."""
    from orchestration.cli.runs import ingest

    with _clean_exit():
        ingest(tuple(symbol or ()), console)


@app.command()
def retrain(
    symbol: Symbol,
    week: Annotated[str, typer.Option(help="Its Sunday; empty takes the last whole one.")] = "",
) -> None:
    """Train a candidate on a symbol's data up to a week, and show what every gate says of it."""
    from orchestration.cli.runs import retrain

    with _clean_exit():
        retrain(symbol, week, console)


@app.command()
def tune(
    symbol: Annotated[str, typer.Argument(help="Symbol, e.g. BTCUSDT.")] = "",
    week: Annotated[str, typer.Option(help="Its Sunday; empty takes the last whole one.")] = "",
    base: Annotated[str, typer.Option(help="A base with a file in configs/tuning.")] = "lightgbm",
    trials: Annotated[int, typer.Option(min=1, help="Trials that the search shall have.")] = 20,
    adopt: Annotated[
        Path | None, typer.Option(help="A proposal to write into configs/models instead.")
    ] = None,
    actor: Annotated[str, typer.Option("--as", help="Your name, to adopt; kept in the log.")] = "",
) -> None:
    """Search better settings of one base on the folds before the gates; or adopt what was found."""
    from orchestration.cli import tuning

    with _clean_exit():
        if adopt is not None:
            tuning.adopt(adopt, actor, console)
        else:
            tuning.tune(symbol=symbol, week=week, base=base, trials=trials, console=console)


@app.command()
def study(
    path: Annotated[Path, typer.Argument(help="A study, e.g. configs/studies/example.yaml.")],
) -> None:
    """Compare named variants of features, labels, models and thresholds on the same bars."""
    from orchestration.cli.study import study as compare

    with _clean_exit():
        compare(path, console)


@app.command()
def trials(
    symbol: Annotated[list[str] | None, typer.Option(help="Only this; may be repeated.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every trial, not the newest only.")] = False,
) -> None:
    """List what was tried on each symbol: weekly candidates, searches and studies, all counted."""
    from orchestration.cli.trials import print_trials

    with _clean_exit():
        print_trials(tuple(symbol or ()), every, console)


@app.command()
def doctor() -> None:
    """Check this machine and state: ports, disk, keys, leftovers of a kill, audit log, journal."""
    from orchestration.cli.doctor import diagnose

    with _clean_exit():
        if not diagnose(console):
            raise typer.Exit(1)


@data.callback()
def holdings(
    context: typer.Context,
    symbol: Annotated[list[str] | None, typer.Option(help="Only this; may be repeated.")] = None,
) -> None:
    """Show coverage, holes, corrections, lags and digests per symbol and table."""
    from orchestration.cli.data import print_holdings

    if context.invoked_subcommand is None:
        with _clean_exit():
            print_holdings(tuple(symbol or ()), console)


@data.command("at")
def data_at(
    symbol: Symbol,
    time: Annotated[str, typer.Argument(help="A moment, UTC, e.g. 2025-10-10T14:15.")],
) -> None:
    """Show what was known at a moment: the latest row of each table, and when it became known."""
    from orchestration.cli.data import print_known

    with _clean_exit():
        print_known(symbol, time, console)


@data.command("diff")
def data_diff(
    symbol: Symbol,
    before: Annotated[str, typer.Argument(help="A moment, UTC.")],
    after: Annotated[str, typer.Argument(help="A later moment, or now.")] = "now",
) -> None:
    """Name the rows that were corrected between two moments, and count the new ones."""
    from orchestration.cli.data import print_diff

    with _clean_exit():
        print_diff(symbol, before, after, console)


@data.command("lags")
def data_lags(
    adopt: Annotated[
        bool, typer.Option(help="Write measured lags into universe.yaml where they are longer.")
    ] = False,
) -> None:
    """Show how late rows arrive, beside the lag that known_at rests on."""
    from orchestration.cli.data import adopt_lags, print_lags

    with _clean_exit():
        adopt_lags(console) if adopt else print_lags(console)


@data.command("accept")
def data_accept(
    table: Annotated[str, typer.Argument(help="Raw table, e.g. open_interest.")],
    symbol: Symbol,
    first: Annotated[str, typer.Argument(help="A moment, UTC: its bar, hour or day; or a start.")],
    actor: Actor,
    reason: Annotated[str, typer.Option(help="Why; kept in the record.")],
    last: Annotated[str, typer.Argument(help="The end, not included.")] = "",
) -> None:
    """Accept that a source will never have rows right: they count as missing from now on."""
    from orchestration.cli.data import accept_rows

    with _clean_exit():
        accept_rows(table, symbol, first, last, person=actor, reason=reason, console=console)


@data.command("withdraw")
def data_withdraw(
    number: Annotated[int, typer.Argument(help="As `tidegate data accepted` shows it.")],
    actor: Actor,
    reason: Annotated[str, typer.Option(help="Why; kept in the record.")],
) -> None:
    """Take back what was accepted: it is judged again."""
    from orchestration.cli.data import withdraw_acceptance

    with _clean_exit():
        withdraw_acceptance(number, person=actor, reason=reason, console=console)


@data.command("accepted")
def data_accepted() -> None:
    """Show what counts as missing because a person accepted it, by whom and why."""
    from orchestration.cli.data import print_accepted

    with _clean_exit():
        print_accepted(console)


@keys.command("list")
def keys_list() -> None:
    """Show every key: which signs, which still verify, which are revoked."""
    from orchestration.cli.keys import print_keys

    with _clean_exit():
        print_keys(console)


@keys.command("rotate")
def keys_rotate(
    actor: Actor,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")],
) -> None:
    """Sign by a new key from now on; what was signed before stays valid until it is revoked."""
    from orchestration.cli.keys import rotate_key

    with _clean_exit():
        rotate_key(actor=actor, reason=reason, console=console)


@keys.command("revoke")
def keys_revoke(
    key_id: Annotated[str, typer.Argument(help="As `tidegate keys list` shows it.")],
    actor: Actor,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")],
) -> None:
    """Trust an earlier key no more; what stands published is signed anew, under its own epoch."""
    from orchestration.cli.keys import revoke_key

    with _clean_exit():
        revoke_key(key_id, actor=actor, reason=reason, console=console)


class _clean_exit:  # noqa: N801 - reads as a statement
    """Print an expected failure as one message and exit 1; anything else keeps its traceback."""

    def __enter__(self) -> None:
        os.environ.setdefault("OMP_NUM_THREADS", "1")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        from rich.text import Text

        from orchestration.cli.errors import EXPECTED
        from orchestration.cli.words import shown

        if isinstance(error, EXPECTED):
            console.print(Text.assemble(("tidegate: ", "red"), shown(error)), soft_wrap=True)
            raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
