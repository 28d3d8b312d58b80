"""A journal that was left with a position open."""

from pathlib import Path

import numpy as np

from kernel.features.engine import Stream, initial_state
from kernel.fills import ENTRY_MS, ENTRY_PRICE, QUANTITY, SIDE, STOP_LOSS, TAKE_PROFIT
from kernel.trading import Trader
from live_runner.journal.journal import Journal, SymbolState
from tests.live_runner.bundles import TRADING
from tests.live_runner.stage import BAR_MS, START_MS

ENTERED_MS = START_MS - BAR_MS


def leave_open(journal: Path, symbol: str, take_profit: float = 1e9) -> None:
    """Write a long position of one unit that was opened on the last bar before the market's start.

    It leaves at `take_profit`, in the quote currency.
    """
    account = np.asarray(Trader(TRADING).snapshot())
    account[SIDE] = 1.0
    account[QUANTITY] = 1.0
    account[ENTRY_PRICE] = 1.0
    account[ENTRY_MS] = float(ENTERED_MS)
    account[TAKE_PROFIT] = take_profit
    account[STOP_LOSS] = 1e-9
    state = SymbolState(
        symbol=symbol,
        open_time_ms=ENTERED_MS,
        trader=account,
        stream=Stream().snapshot(),
        epoch=0,
        digest="",
        pending_order="",
    )
    written = Journal(journal)
    written.record_start(state, initial_state(), ENTERED_MS)
    written.close()
