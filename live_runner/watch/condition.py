"""Whether every symbol may trade, and what keeps it from it: the body of `GET /health`."""

import time
from dataclasses import dataclass
from typing import Literal

from kernel.decision import Abstain
from live_runner.desk import Desk
from live_runner.journal.reading import JournalReader
from live_runner.loop import SymbolLoop
from live_runner.watch.summary import recent_swaps

STARTING = "reads its history"
SILENT_BARS = 2.0  # of market time after the last close; a third one should have come meanwhile
SILENT_S = 5.0  # of ours; a replay may close bars faster than a busy machine decides them


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolCondition:
    """What the next bar of a symbol may do.

    - `status`: `trading` may open positions, `halted` may not, `starting` still reads its history.
    - `abstain`: `none`, or the reason in a word: `killed`, `no_bundle`, `stale_data`, `api_errors`,
      `slow`, `not_warm`, `missing_feature`, `exits_only`, `out_of_hull`, `unknown_doubt`; `silent`
      where no bar came for two bars and more.
    - `reason`: the same in a sentence, or what is done without.
    - `stale`: each series that could not be read for the last bar, and why; one that the model
      does not read halts nothing.
    - `slow_bars`: bars in a row that were decided late.
    - `refused`: why the latest attempt to change the model was refused, empty if it was not. What
      was in force before goes on.
    - `last_bar_open_ms`: the last bar taken in, market time in ms; null while starting.
    - `last_bar_age_ms`: how long ago that bar closed by the market's clock, in ms; null while
      starting, and before the first look at that clock.
    - `last_bar_age_s`: our seconds since this process decided it; null before its first.
    """

    status: Literal["trading", "halted", "starting"]
    abstain: str
    reason: str
    stale: dict[str, str]
    slow_bars: int
    refused: str
    last_bar_open_ms: int | None
    last_bar_age_ms: int | None
    last_bar_age_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`status` is `ok` where every symbol may trade, else `halted`: the answer is a 503.

    `market_now_ms` is the market's clock, carried on where the venue is silent; null before the
    first look at it.
    """

    status: Literal["ok", "halted"]
    killed: bool
    market_now_ms: int | None
    symbols: dict[str, SymbolCondition]


def condition(desk: Desk, journal: JournalReader) -> Condition:
    """Say of every symbol whether it may trade now."""
    now_ms = desk.clock.reckoned_ms()
    symbols = {
        symbol: condition_of(desk, journal, symbol, now_ms) for symbol in desk.settings.symbols
    }
    well = all(one.status == "trading" for one in symbols.values())
    return Condition(
        status="ok" if well else "halted",
        killed=desk.killed,
        market_now_ms=now_ms,
        symbols=symbols,
    )


def condition_of(
    desk: Desk, journal: JournalReader, symbol: str, now_ms: int | None
) -> SymbolCondition:
    """Say whether a symbol may trade when the market's clock says `now_ms`."""
    loop = desk.loops.get(symbol)
    if loop is None:
        return SymbolCondition(
            status="starting",
            abstain=Abstain.NOT_WARM.name.lower(),
            reason=STARTING,
            stale={},
            slow_bars=0,
            refused="",
            last_bar_open_ms=None,
            last_bar_age_ms=None,
            last_bar_age_s=None,
        )
    bar_ms = desk.settings.bar_ms
    last_open_ms = loop.last_open_ms
    age_ms = None if now_ms is None else max(now_ms - last_open_ms - bar_ms, 0)
    age_s = _age_s(loop)
    permission = loop.permission(journal)
    halted = "" if permission.abstain is Abstain.NONE else permission.abstain.name.lower()
    reason = permission.reason
    if not halted and age_ms is not None and _silent(age_ms, age_s, bar_ms):
        halted = "silent"
        due = f"expected one every {span_text(bar_ms)}"
        reason = f"no bar closed for {span_text(age_ms)} of the market's clock, {due}"
    attempts = recent_swaps(journal, symbol)
    refused = bool(attempts) and attempts[-1]["outcome"] == "refused"
    return SymbolCondition(
        status="halted" if halted else "trading",
        abstain=halted or Abstain.NONE.name.lower(),
        reason=reason,
        stale=dict(loop.stale),
        slow_bars=desk.health.slow_bars(symbol),
        refused=attempts[-1]["reason"] if refused else "",
        last_bar_open_ms=last_open_ms,
        last_bar_age_ms=age_ms,
        last_bar_age_s=age_s,
    )


def _silent(age_ms: int, age_s: float | None, bar_ms: int) -> bool:
    """Say whether bars should have come and did not."""
    return age_ms > SILENT_BARS * bar_ms and (age_s is None or age_s > SILENT_S)


def _age_s(loop: SymbolLoop) -> float | None:
    if loop.last_decided_s is None:
        return None
    return time.monotonic() - loop.last_decided_s


def span_text(span_ms: int) -> str:
    """Return a span of time in words, in its two largest units."""
    minutes = span_ms // 60_000
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
