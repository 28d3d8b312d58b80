"""The two grains: raw data by symbol and month, retrains by symbol and week.

Symbols and the first month are those of `universe.yaml` when the code location loads: Dagster's
grains are fixed from then on, and a changed universe takes a reload of the code location. So does a
week that ends in a replayed market: partitions end at the market's clock, and Dagster only knows
ours. `tidegate up` reloads then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from market_data.universe import load_universe
from market_data.window import Window, joined, moment
from orchestration.environments import Environment

_environment = Environment.from_environ()
_universe = load_universe(_environment.config_dir)

# Sorted: a range of partitions runs from its first to its last symbol in this order, so the order
# of the names in the file never decides which symbols a run is given.
SYMBOLS = tuple(sorted(_universe.symbols))
TABLES_READ = tuple(_universe.market)
FIRST_DAY = f"{_universe.history_start[:7]}-01"

WEEK_MS = 7 * 86_400_000
RunContext = dg.AssetExecutionContext | dg.AssetCheckExecutionContext


def market_ms() -> int:
    """Return the clock of the market that candles come from, milliseconds UTC.

    It is ours, unless the local venue replays another time and is where candles are asked for.
    """
    source = _universe.sources[_universe.market["candles"].source]
    replayed = None if source.url or source.path else _environment.replayed_ms
    return int(datetime.now(UTC).timestamp() * 1_000) if replayed is None else replayed


def week_of(moment_ms: int) -> str:
    """Return the Sunday, YYYY-MM-DD, on which the week of a moment began."""
    day = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=moment_ms)
    return f"{day - timedelta(days=day.isoweekday() % 7):%Y-%m-%d}"


@dataclass(frozen=True, slots=True)
class _Ends:
    """Where grains end in a replayed market: the first week or month that is not one of them.

    All None goes by our own clock, which Dagster itself reads.
    """

    finished_week: str | None = None
    begun_week: str | None = None
    begun_month: str | None = None


def _ends() -> _Ends:
    now_ms = market_ms()
    now = datetime.fromtimestamp(now_ms / 1_000, UTC)
    if now > datetime.now(UTC) - timedelta(days=1):
        return _Ends()
    next_month = now.replace(day=1) + timedelta(days=31)
    return _Ends(week_of(now_ms), week_of(now_ms + WEEK_MS), f"{next_month:%Y-%m}-01")


_end = _ends()

_months = dg.MonthlyPartitionsDefinition(
    start_date=FIRST_DAY, end_date=_end.begun_month, end_offset=0 if _end.begun_month else 1
)  # the running month can be ingested
_weeks = dg.WeeklyPartitionsDefinition(
    start_date=FIRST_DAY, end_date=_end.finished_week
)  # a week can be trained on once it is over
_running_weeks = dg.WeeklyPartitionsDefinition(
    start_date=FIRST_DAY, end_date=_end.begun_week, end_offset=0 if _end.begun_week else 1
)  # the running week can be monitored
_symbols = dg.StaticPartitionsDefinition(SYMBOLS)

symbol_by_month = dg.MultiPartitionsDefinition({"month": _months, "symbol": _symbols})
symbol_by_week = dg.MultiPartitionsDefinition({"week": _weeks, "symbol": _symbols})
symbol_by_live_week = dg.MultiPartitionsDefinition({"week": _running_weeks, "symbol": _symbols})

CAUGHT_UP_WEEKS = 8  # of a longer break the older weeks are left to a person: a backfill has them
WEEKS_READ = 30  # a retrain reads all history up to its cutoff; this much is shown as its lineage
months_read = dg.MultiPartitionMapping(
    {
        "month": dg.DimensionPartitionMapping(
            "week",
            dg.TimeWindowPartitionMapping(
                start_offset=-WEEKS_READ, allow_nonexistent_upstream_partitions=True
            ),
        ),
        "symbol": dg.DimensionPartitionMapping("symbol", dg.IdentityPartitionMapping()),
    }
)


def month_key(symbol: str, month: str) -> dg.MultiPartitionKey:
    """Return the key of `symbol` in the month that begins on `month` (YYYY-MM-01)."""
    return dg.MultiPartitionKey({"month": month, "symbol": symbol})


def weeks_missed(
    instance: dg.DagsterInstance, asset: dg.AssetKey, until: str
) -> dict[str, list[str]]:
    """Return, per symbol, the weeks after the last of which an asset is stored, up to `until`.

    They are in order, CAUGHT_UP_WEEKS at most. It is `until` alone for a symbol without any of the
    asset, or that has no week before `until` to make up for.
    """
    stored = instance.get_materialized_partitions(asset)
    weeks = [week for week in _running_weeks.get_partition_keys() if week <= until]
    missed: dict[str, list[str]] = {}
    for name in SYMBOLS:
        known = [week for week in weeks if str(week_key(name, week)) in stored]
        after = [week for week in weeks if known and week > known[-1]]
        missed[name] = after[-CAUGHT_UP_WEEKS:] or [until]
    return missed


def week_key(symbol: str, week: str) -> dg.MultiPartitionKey:
    """Return the key of `symbol` in the week that begins on the Sunday `week` (YYYY-MM-DD)."""
    return dg.MultiPartitionKey({"week": week, "symbol": symbol})


def month_range(symbols: Sequence[str], first_month: str, last_month: str) -> dict[str, str]:
    """Return the tags of one run over these symbols and the months first_month … last_month.

    The symbols are neighbours in the universe's sorted order, whatever the order they come in.
    Raises dagster Failure where a run from the first to the last would not be over exactly them.
    """
    asked = sorted(set(symbols))
    between = [name for name in SYMBOLS if asked and asked[0] <= name <= asked[-1]]
    if not asked or asked != between:
        raise dg.Failure(
            f"partitions: found the symbols {', '.join(asked) or 'none'}, expected neighbours in "
            f"{', '.join(SYMBOLS)}: launch a run for each"
        )
    return {
        "dagster/asset_partition_range_start": str(month_key(asked[0], first_month)),
        "dagster/asset_partition_range_end": str(month_key(asked[-1], last_month)),
    }


def symbol(context: RunContext) -> str:
    """Return the symbol of the run's one partition."""
    return dimensions(context.partition_key)[0]


def week(context: RunContext) -> str:
    """Return the first day, a Sunday, of the run's one week."""
    return dimensions(context.partition_key)[1]


def cutoff_ms(context: RunContext) -> int:
    """Return the end of the run's week, Sunday 00:00 UTC: nothing later may be read."""
    return week_window(context).end_ms


def week_window(context: RunContext) -> Window:
    """Return the symbol and the span of the run's one week.

    Raises dagster Failure for a week that is not over, or a symbol that is not in the universe.
    """
    return _week_window(context, symbol_by_week, "finished")


def live_window(context: RunContext) -> Window:
    """Return the symbol and the span of the run's one week, which may not be over yet.

    Raises dagster Failure for a week that has not begun, or a symbol that is not in the universe.
    """
    return _week_window(context, symbol_by_live_week, "begun")


def _week_window(context: RunContext, weeks: dg.MultiPartitionsDefinition, wanted: str) -> Window:
    name, day = dimensions(context.partition_key)
    if not weeks.has_partition_key(week_key(name, day)):
        if name in SYMBOLS and (ahead := not_there_yet(day, wanted)):
            raise dg.Failure(ahead)
        raise dg.Failure(
            f"partition: found {name} in the week of {day}, expected one of {', '.join(SYMBOLS)} "
            f"in a {wanted} week since {FIRST_DAY}: choose one that Dagster lists"
        )
    sunday = _midnight(day)
    return Window(name, _ms(sunday), _ms(sunday + timedelta(days=7)))


def not_there_yet(week: str, wanted: str = "finished") -> str:
    """Return the sentence that a week deserves which the market has not come to, '' for others.

    `wanted` is "finished" or "begun".
    """
    now_ms = market_ms()
    last = week_of(now_ms - WEEK_MS) if wanted == "finished" else week_of(now_ms)
    if week <= last or week != _sunday(week):
        return ""
    return (
        f"the week of {week} has not {wanted}: the market's clock says {moment(now_ms)} UTC, and "
        f"the last week that has is {last}"
    )


def _sunday(week: str) -> str:
    """Return the Sunday of a day's week, '' for what is no day."""
    try:
        day = date.fromisoformat(week)
    except ValueError:
        return ""
    return f"{day - timedelta(days=day.isoweekday() % 7)}"


def month_windows(context: RunContext) -> list[Window]:
    """Return the run's months per symbol, neighbouring months joined, by symbol and then time.

    Raises dagster Failure for a run of no month at all, as a range that ends before it begins is.
    """
    windows = joined([month_window(key) for key in context.partition_keys])
    if not windows:
        raise dg.Failure(
            "partitions: found a range without a single symbol and month, expected at least one: "
            f"its start comes after its end in the order {', '.join(SYMBOLS)} and in time"
        )
    return windows


def month_window(key: str) -> Window:
    """Return the symbol and the span of one key of `symbol_by_month`."""
    name, day = dimensions(key)
    first = _midnight(day)
    return Window(name, _ms(first), _ms((first + timedelta(days=31)).replace(day=1)))


def dimensions(key: str) -> tuple[str, str]:
    """Return (symbol, first day of the month or week) of a key of either grain.

    Dagster writes the dimensions of a key in alphabetical order: `2026-10-01|BTCUSDT` for a month,
    `BTCUSDT|2026-10-04` for a week.
    """
    first, _, second = key.partition("|")
    return (first, second) if first in SYMBOLS else (second, first)


def _midnight(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00+00:00")


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
