"""`tidegate data`: what the lake holds, what was known when, what moved, and how late it came."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from kernel.errors import SettingsError
from market_data.universe import load_universe
from orchestration.cli.words import shown
from orchestration.environments import Environment

if TYPE_CHECKING:
    from market_data.quality.inventory import Holding, Lag
    from market_data.storage.lake import Lake
    from market_data.universe import UniverseSettings

KEY = ("event_time_ms", "known_at_ms", "source", "revision", "table")
MOST_SHOWN = 40


def print_holdings(symbols: tuple[str, ...], console: Console) -> None:
    """Print rows, span, coverage, holes, corrections and digest per symbol and table."""
    from market_data.quality.inventory import holdings

    lake, universe = _opened()
    table = Table(title=f"{lake.root}", title_justify="left")
    for column in ("symbol", "table", "source", "from", "to"):
        table.add_column(column, no_wrap=column == "table")
    for column in ("rows", "coverage", "holes", "quarantine", "accepted", "revised"):
        table.add_column(column, justify="right")
    table.add_column("digest", no_wrap=True)
    chosen = track(_chosen(symbols, universe), "reading", console=console, transient=True)
    found = [one for symbol in chosen for one in holdings(lake, universe, symbol)]
    if not any(one.rows for one in found):
        console.print(f"{lake.root}: no rows yet; launch ingest_job in Dagster, or `tidegate demo`")
        return
    for one in sorted(found, key=lambda one: one.rows > 0):  # what is absent comes first
        table.add_row(*_cells(one, universe))
    console.print(table)
    print_lags(console)


def accept_rows(
    table: str,
    symbol: str,
    first: str,
    last: str,
    *,
    person: str,
    reason: str,
    console: Console,
) -> None:
    """Put on record that what is wrong or missing in a span counts as missing from now on.

    Without `last` the span is the bar, hour or day that holds the moment `first`.
    """
    from market_data.ingest.reading import quarantined_in
    from market_data.quality.acceptance import accept, span_of
    from market_data.window import Window

    lake, universe = _opened()
    _chosen((symbol,), universe)
    if table not in universe.market:
        raise SettingsError(
            f"table: found {table!r}, expected one of {', '.join(universe.market)} as in "
            "universe.yaml"
        )
    until_ms = moment_ms(last) if last else None
    span = span_of(table, moment_ms(first), until_ms, universe.bar_ms)
    at_ms = moment_ms("now")
    one = accept(lake, table, symbol, span, person=person, reason=reason, at_ms=at_ms)
    aside = len(quarantined_in(lake, table, Window(symbol, *span)))
    stored = len(lake.event_times(table, symbol, *span))
    console.print(
        f"accepted as number {one.number}: {table} of {symbol} from {_time(span[0])} to "
        f"{_time(span[1])} UTC counts as missing ({aside} rows set aside, {stored} stored ones "
        f"no longer judged); launch ingest_job again. `tidegate data withdraw {one.number}` "
        "takes it back",
        soft_wrap=True,
    )


def withdraw_acceptance(number: int, *, person: str, reason: str, console: Console) -> None:
    """Take back an acceptance: its span is judged again."""
    from market_data.quality.acceptance import withdraw

    lake, _ = _opened()
    at_ms = moment_ms("now")
    one = withdraw(lake, number, person=person, reason=reason, at_ms=at_ms)
    console.print(
        f"withdrawn: {one.table} of {one.symbol} from {_time(one.start_ms)} to "
        f"{_time(one.end_ms)} UTC is judged again",
        soft_wrap=True,
    )


def print_accepted(console: Console) -> None:
    """Print what stands accepted, by whom and why."""
    from market_data.quality.acceptance import described, standing

    lake, _ = _opened()
    found = [described(one, _time) for one in standing(lake)]
    if not found:
        console.print("nothing is accepted: what is missing or set aside stops what rests on it")
        return
    table = Table(title=f"{lake.root}: counts as missing", title_justify="left")
    for column in found[0]:
        table.add_column(column)
    for one in found:
        table.add_row(*map(shown, one.values()))
    console.print(table)


def print_known(symbol: str, moment: str, console: Console) -> None:
    """Print, per table, the latest row that was known at `moment`."""
    from market_data.quality.inventory import known

    lake, universe = _opened()
    _chosen((symbol,), universe)
    t_ms = moment_ms(moment)
    table = Table(title=f"{symbol}: known at {_time(t_ms)} UTC", title_justify="left")
    for column in ("table", "event", "known at", "source", "revision", "values"):
        table.add_column(column)
    for row in known(lake, universe, symbol, t_ms):
        values = ", ".join(f"{name} {_value(x)}" for name, x in row.items() if name not in KEY)
        times = (_time(row["event_time_ms"]), _time(row["known_at_ms"]))
        source = shown(row["source"])
        table.add_row(row["table"], *times, source, str(row["revision"]), shown(values))
    console.print(table)


def print_diff(symbol: str, before: str, after: str, console: Console) -> None:
    """Print the rows that a reader sees differently at two moments; count those that are new."""
    from market_data.tables import INGESTED

    lake, universe = _opened()
    _chosen((symbol,), universe)
    from_ms = moment_ms(before)
    until_ms = moment_ms(after)
    table = Table(
        title=f"{symbol}: what moved between {_time(from_ms)} and {_time(until_ms)} UTC",
        title_justify="left",
    )
    for column in ("table", "event", "column", "before", "after", "known at", "source"):
        table.add_column(column)
    fresh: dict[str, int] = {}
    moved = 0
    for name in (name for name in INGESTED if name in universe.market):
        diff = lake.diff(name, symbol, from_ms, until_ms)
        revised = diff[diff["revision"] > 0]
        fresh[name] = diff[diff["revision"] == 0]["event_time_ms"].nunique()
        moved += len(revised)
        for row in revised.head(MOST_SHOWN).to_dict("records"):
            values = (_value(row["before"]), _value(row["after"]))
            times = (_time(row["event_time_ms"]), _time(row["known_at_ms"]))
            table.add_row(name, times[0], row["column"], *values, times[1], row["source"])
    if moved:
        console.print(table)
    console.print(f"{moved} corrected values; new events: {_counts(fresh) or 'none'}")


def print_lags(console: Console) -> None:
    """Print measured publication lags beside those that known_at rests on."""
    from market_data.quality.inventory import lags

    lake, universe = _opened()
    measured = lags(lake, universe)
    if not measured:
        console.print("lags: none measured; the live runner records arrivals in real time")
        return
    table = Table(title="lags after a row could be known, ms", title_justify="left")
    table.add_column("table")
    for column in ("assumed", "p50", "p99", "arrivals"):
        table.add_column(column, justify="right")
    table.add_column("")
    for lag in measured:
        verdict = "[green]kept[/green]" if lag.kept else "[red]too short[/red]: `data lags --adopt`"
        numbers = (f"{lag.assumed_ms:,}", f"{lag.p50_ms:,.0f}", f"{lag.p99_ms:,.0f}")
        table.add_row(lag.table, *numbers, f"{lag.arrivals:,}", verdict)
    console.print(table)


def adopt_lags(console: Console) -> None:
    """Write the measured 99th percentile into universe.yaml where it is above the setting.

    Rows stored from then on, and a runner started from then on, count as known that much later.
    """
    from market_data.quality.inventory import lags
    from market_data.tables import TABLES

    lake, universe = _opened()
    path = Environment.from_environ().config_dir / "universe.yaml"
    text = path.read_text(encoding="utf-8")
    for lag in (one for one in lags(lake, universe) if not one.kept):
        configured = universe.market[lag.table].publication_lag_ms
        wanted = TABLES[lag.table].period(universe.bar_ms) + _whole_seconds(lag)
        text = _replaced(text, lag.table, configured, wanted)
        console.print(
            f"{lag.table}: publication_lag_ms {configured:,} → {wanted:,}; rows in the lake keep "
            "the shorter lag and its check names them: move "
            f"{lake.root}/market/{lag.table} aside and ingest again",
            soft_wrap=True,
        )
    if text == path.read_text(encoding="utf-8"):
        console.print("nothing to adopt: every measured lag is within its setting")
        return
    path.write_text(text, encoding="utf-8")
    console.print(f"{path} written; restart the runner, so that live and training agree")


def moment_ms(text: str) -> int:
    """Return an ISO 8601 moment in milliseconds, UTC where it names no zone; raises SettingsError.

    `now` is the present.
    """
    try:
        moment = datetime.now(UTC) if text == "now" else datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(
            f"time: found {text!r}, expected ISO 8601 such as 2025-10-10T14:15, or now"
        ) from error
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1_000)


def _opened() -> "tuple[Lake, UniverseSettings]":
    from market_data.storage.lake import Lake

    environment = Environment.from_environ()
    return Lake(root=environment.lake_root), load_universe(environment.config_dir)


def _chosen(symbols: tuple[str, ...], universe: "UniverseSettings") -> tuple[str, ...]:
    for symbol in symbols:
        if symbol not in universe.symbols:
            expected = ", ".join(universe.symbols)
            raise SettingsError(f"symbol: found {symbol!r}, expected one of {expected}")
    return symbols or universe.symbols


def _cells(one: "Holding", universe: "UniverseSettings") -> Iterator[str]:
    yield from (one.symbol, one.table)
    if not one.rows:
        yield f"[red]no rows[/red] of {universe.market[one.table].source}"
        yield from ("", "", "[red]0[/red]", "[red]none[/red]", "")
    else:
        yield ", ".join(one.sources)
        yield from (_time(one.first_ms), _time(one.last_ms), f"{one.rows:,}")
        yield f"{one.rows / one.expected:.4%}" if one.expected else ""
        holes = f"[red]{one.holes:,}[/red] (longest {one.longest_hole:,})"
        yield holes if one.holes else "0"
    yield f"[red]{one.quarantined:,}[/red]" if one.quarantined else "0"
    yield from (f"{one.accepted:,}", f"{one.revisions:,}", one.digest[:12] if one.rows else "")


def _whole_seconds(lag: "Lag") -> int:
    return -(-int(lag.p99_ms) // 1_000) * 1_000


def _replaced(text: str, table: str, configured: int, wanted: int) -> str:
    import re

    pattern = rf"(?m)^(\s+{table}:.*publication_lag_ms:\s*){configured}\b"
    replaced, count = re.subn(pattern, rf"\g<1>{wanted}", text)
    if count != 1:
        raise SettingsError(
            f"universe.yaml: found {count} lines of {table} with publication_lag_ms: {configured}, "
            f"expected one: set it to {wanted} by hand"
        )
    return replaced


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)


def _value(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _time(moment_ms: int) -> str:
    return f"{datetime.fromtimestamp(int(moment_ms) / 1_000, UTC):%Y-%m-%d %H:%M:%S}"
