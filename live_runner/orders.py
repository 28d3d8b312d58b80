"""What the paper broker did in a bar, as orders and their states."""

from collections.abc import Sequence
from dataclasses import dataclass

from kernel.decision import CLASSES
from kernel.fills import ExitReason
from kernel.risk import Guard
from kernel.trading import (
    BLOCKED,
    ENTRY_PRICE,
    ENTRY_SIDE,
    EXIT_PRICE,
    EXIT_REASON,
    ORDER,
    ORDER_QUANTITY,
    P_BUY,
    P_SELL,
    QUANTITY,
    TRADE_QUANTITY,
    TRADE_SIDE,
)
from live_runner.journal.journal import OrderChange

assert CLASSES == ("SELL", "HOLD", "BUY")


def order_changes(
    *,
    symbol: str,
    open_time_ms: int,
    bar_ms: int,
    row: Sequence[float],
    out: Sequence[float],
    pending: str,
) -> tuple[list[OrderChange], str]:
    """Return every order step of one bar, and the id of the entry order that now waits for the next
    open.

    `row` and `out` are the kernel's vectors of the bar, `pending` the id that waited before it, ''
    for none. Times: an entry is created at the close that decides it and filled at the next bar's
    open, or cancelled where that bar is missing; an exit is created and filled within its bar,
    recorded at its close.
    """
    bar = _Bar(symbol, open_time_ms, open_time_ms + bar_ms)
    changes: list[OrderChange] = []
    if out[ENTRY_SIDE] != 0.0:
        changes.append(_filled_entry(bar, out, pending))
        pending = ""
    elif pending:
        changes.append(_cancelled_entry(bar, pending))
        pending = ""
    if out[EXIT_REASON] != 0.0:
        changes += _exit(bar, out)
    if out[BLOCKED] != 0.0:
        changes.append(_rejected_entry(bar, row, out))
    if out[ORDER] != 0.0:
        changes += [_asked_entry(bar, out, "pending"), _asked_entry(bar, out, "open")]
        pending = bar.entry_id
    return changes, pending


@dataclass(frozen=True, slots=True)
class _Bar:
    symbol: str
    open_ms: int
    close_ms: int

    @property
    def entry_id(self) -> str:
        return f"{self.symbol}-{self.open_ms}-entry"


def _filled_entry(bar: _Bar, out: Sequence[float], pending: str) -> OrderChange:
    return OrderChange(
        id=pending,
        symbol=bar.symbol,
        at_ms=bar.open_ms,
        side=int(out[ENTRY_SIDE]),
        quantity=out[QUANTITY],
        kind="entry",
        state="filled",
        filled_ms=bar.open_ms,
        price=out[ENTRY_PRICE],
        reason="",
    )


def _cancelled_entry(bar: _Bar, pending: str) -> OrderChange:
    return OrderChange(
        id=pending,
        symbol=bar.symbol,
        at_ms=bar.open_ms,
        side=0,
        quantity=0.0,
        kind="entry",
        state="cancelled",
        filled_ms=0,
        price=0.0,
        reason="its next bar is missing",
    )


def _exit(bar: _Bar, out: Sequence[float]) -> list[OrderChange]:
    return [
        OrderChange(
            id=f"{bar.symbol}-{bar.open_ms}-exit",
            symbol=bar.symbol,
            at_ms=bar.close_ms,
            side=int(-out[TRADE_SIDE]),
            quantity=out[TRADE_QUANTITY],
            kind=ExitReason(int(out[EXIT_REASON])).name.lower(),
            state=state,
            filled_ms=filled_ms,
            price=price,
            reason="",
        )
        for state, filled_ms, price in (
            ("pending", 0, 0.0),
            ("filled", bar.close_ms, out[EXIT_PRICE]),
        )
    ]


def _rejected_entry(bar: _Bar, row: Sequence[float], out: Sequence[float]) -> OrderChange:
    return OrderChange(
        id=bar.entry_id,
        symbol=bar.symbol,
        at_ms=bar.close_ms,
        side=1 if row[P_BUY] > row[P_SELL] else -1,
        quantity=0.0,
        kind="entry",
        state="rejected",
        filled_ms=0,
        price=0.0,
        reason=Guard(int(out[BLOCKED])).name,
    )


def _asked_entry(bar: _Bar, out: Sequence[float], state: str) -> OrderChange:
    return OrderChange(
        id=bar.entry_id,
        symbol=bar.symbol,
        at_ms=bar.close_ms,
        side=int(out[ORDER]),
        quantity=out[ORDER_QUANTITY],
        kind="entry",
        state=state,
        filled_ms=0,
        price=0.0,
        reason="",
    )
