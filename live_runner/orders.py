"""What the paper broker did in a bar, as orders and their states."""

from collections.abc import Sequence

from kernel.decision import CLASSES
from kernel.fills import ExitReason
from kernel.risk import Guard
from kernel.trading import INPUT_FIELDS, OUTPUT_FIELDS
from live_runner.journal.journal import OrderChange

ORDER, QUANTITY_ASKED, BLOCKED, ENTRY_SIDE, ENTRY_PRICE, QUANTITY, EXIT_REASON, EXIT_PRICE = (
    OUTPUT_FIELDS.index(name)
    for name in (
        *("order", "order_quantity", "blocked", "entry_side", "entry_price", "quantity"),
        *("exit_reason", "exit_price"),
    )
)
TRADE_SIDE, TRADE_QUANTITY = (
    OUTPUT_FIELDS.index("trade_side"),
    OUTPUT_FIELDS.index("trade_quantity"),
)
P_SELL, P_BUY = INPUT_FIELDS.index("p_sell"), INPUT_FIELDS.index("p_buy")
assert CLASSES == ("SELL", "HOLD", "BUY")


def order_changes(
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
    open; an exit is created and filled within its bar, recorded at its close.
    """
    close_ms = open_time_ms + bar_ms
    changes: list[OrderChange] = []

    def change(
        kind: str, state: str, side: float, quantity: float, price: float = 0.0, reason: str = ""
    ) -> str:
        entry = kind == "entry"
        filled = state == "filled"
        id_ = (
            pending
            if entry and filled
            else f"{symbol}-{open_time_ms}-{'entry' if entry else 'exit'}"
        )
        at_ms = open_time_ms if entry and filled else close_ms
        filled_ms = at_ms if filled else 0
        step = (id_, symbol, at_ms, int(side), quantity, kind, state, filled_ms, price, reason)
        changes.append(OrderChange(*step))
        return id_

    if out[ENTRY_SIDE] != 0.0:
        change("entry", "filled", out[ENTRY_SIDE], out[QUANTITY], out[ENTRY_PRICE])
        pending = ""
    if out[EXIT_REASON] != 0.0:
        kind = ExitReason(int(out[EXIT_REASON])).name.lower()
        side, quantity = -out[TRADE_SIDE], out[TRADE_QUANTITY]
        change(kind, "pending", side, quantity)
        change(kind, "filled", side, quantity, out[EXIT_PRICE])
    if out[BLOCKED] != 0.0:
        side = 1.0 if row[P_BUY] > row[P_SELL] else -1.0
        change("entry", "rejected", side, 0.0, reason=Guard(int(out[BLOCKED])).name)
    if out[ORDER] != 0.0:
        change("entry", "pending", out[ORDER], out[QUANTITY_ASKED])
        pending = change("entry", "open", out[ORDER], out[QUANTITY_ASKED])
    return changes, pending
