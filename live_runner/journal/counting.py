"""What follows from the decisions, kept as they are written."""

import sqlite3
from collections.abc import Sequence

from kernel.decision import Abstain
from kernel.risk import Guard
from kernel.trading import (
    ABSTAIN,
    BLOCKED,
    EXIT_PRICE,
    EXIT_REASON,
    PNL,
    TRADE_ENTRY_MS,
    TRADE_ENTRY_PRICE,
    TRADE_FEES,
    TRADE_FUNDING,
    TRADE_QUANTITY,
    TRADE_SIDE,
)
from live_runner.journal import schema


def count(
    db: sqlite3.Connection,
    *,
    symbol: str,
    open_time_ms: int,
    row: Sequence[float],
    out: Sequence[float],
    catch_up: bool,
) -> None:
    """Add a decided bar to totals, tallies and trades, within the caller's transaction.

    `row` and `out` are the kernel's vectors of the bar; a symbol's bars come in their order.
    """
    closed = out[EXIT_REASON] != 0.0
    totals = (symbol, open_time_ms, open_time_ms, int(catch_up), int(closed), out[PNL])
    db.execute(schema.ADD_TO_TOTALS, totals)
    if row[ABSTAIN] != 0.0:
        name = Abstain(int(row[ABSTAIN])).name
        db.execute(schema.ADD_TO_TALLY, (symbol, "abstained", name, open_time_ms))
    if out[BLOCKED] != 0.0:
        name = Guard(int(out[BLOCKED])).name
        db.execute(schema.ADD_TO_TALLY, (symbol, "blocked", name, open_time_ms))
    if closed:
        trade = (
            symbol,
            open_time_ms,
            int(out[TRADE_SIDE]),
            out[TRADE_QUANTITY],
            int(out[TRADE_ENTRY_MS]),
            out[TRADE_ENTRY_PRICE],
            out[EXIT_PRICE],
            int(out[EXIT_REASON]),
            out[TRADE_FEES],
            out[TRADE_FUNDING],
            out[PNL],
        )
        db.execute(schema.ADD_TRADE, trade)
