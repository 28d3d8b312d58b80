"""Whether every symbol may trade, and what keeps it from it: the body of `GET /health`."""

import time
from dataclasses import dataclass
from typing import Literal

from kernel.decision import Abstain
from live_runner.desk import Desk
from live_runner.loop import SymbolLoop
from live_runner.watch.summary import recent_swaps

STARTING = "reads its history"


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolCondition:
    """What the next bar of a symbol may do.

    - `status`: `trading` may open positions, `halted` may not, `starting` still reads its history.
    - `abstain`: `none`, or the reason in a word: `killed`, `no_bundle`, `stale_data`, `api_errors`,
      `slow`, `not_warm`, `missing_feature`.
    - `reason`: the same in a sentence, or what is done without.
    - `stale`: each series that could not be read for the last bar, and why; one that the model
      does not read halts nothing.
    - `slow_bars`: bars in a row that were decided late.
    - `refused`: why the latest attempt to change the model was refused, empty if it was not. What
      was in force before goes on.
    - `last_bar_open_ms`: the last bar taken in, market time in ms; null while starting.
    - `last_bar_age_s`: our seconds since this process decided it; null before its first.
    """

    status: Literal["trading", "halted", "starting"]
    abstain: str
    reason: str
    stale: dict[str, str]
    slow_bars: int
    refused: str
    last_bar_open_ms: int | None
    last_bar_age_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`status` is `ok` where every symbol may trade, else `halted`: the answer is a 503."""

    status: Literal["ok", "halted"]
    killed: bool
    symbols: dict[str, SymbolCondition]


def condition(desk: Desk) -> Condition:
    """Say of every symbol whether it may trade now."""
    symbols = {symbol: _of(desk, symbol) for symbol in desk.settings.symbols}
    well = all(one.status == "trading" for one in symbols.values())
    return Condition(status="ok" if well else "halted", killed=desk.killed, symbols=symbols)


def _of(desk: Desk, symbol: str) -> SymbolCondition:
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
            last_bar_age_s=None,
        )
    abstain, reason = loop.permission()
    attempts = recent_swaps(desk.journal, symbol)
    refused = bool(attempts) and attempts[-1]["outcome"] == "refused"
    return SymbolCondition(
        status="trading" if abstain is Abstain.NONE else "halted",
        abstain=abstain.name.lower(),
        reason=reason,
        stale=dict(loop.stale),
        slow_bars=desk.health.slow_bars(symbol),
        refused=attempts[-1]["reason"] if refused else "",
        last_bar_open_ms=loop.last_open_ms,
        last_bar_age_s=_age_s(loop),
    )


def _age_s(loop: SymbolLoop) -> float | None:
    if loop.last_decided_s is None:
        return None
    return time.monotonic() - loop.last_decided_s
