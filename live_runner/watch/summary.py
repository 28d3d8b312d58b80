"""What the journal says of a symbol, for people and for the demo."""

from typing import Any

import numpy as np

from kernel.risk import Guard
from kernel.trading import OUTPUT_FIELDS
from live_runner.desk import Desk
from live_runner.journal import schema
from live_runner.journal.journal import Journal

RECENT = 50
_SWAP = (
    "at_ms",
    "bar_open_time_ms",
    "epoch",
    "digest",
    "previous",
    "outcome",
    "reason",
    "pause_us",
)


def model_info(desk: Desk, symbol: str) -> dict[str, Any]:
    """Say what decides a symbol.

    `epoch` is the highest that was ever installed and never falls; after a local rollback
    `model_epoch` is the lower one of the bundle in force. `lost` says why a bundle that is in force
    could not be taken up, '' where none is missed.
    """
    loop = desk.loops.get(symbol)
    bundle = loop.model.bundle if loop else None
    return {
        "symbol": symbol,
        "status": "trading" if loop else "starting",
        "digest": loop.model.digest if loop else "",
        "epoch": desk.journal.highest_epoch(symbol),
        "model_epoch": loop.model.epoch if loop else 0,
        "lost": loop.model.lost if loop else "",
        "previous": loop.previous.digest if loop and loop.previous else None,
        "features": list(bundle.manifest.features) if bundle else [],
        "cutoff_ms": bundle.manifest.cutoff_ms if bundle else None,
        "inference_cpu_ms": bundle.cost.cpu_ms if bundle else None,
        "inference_wall_p99_ms": bundle.cost.wall_p99_ms if bundle else None,
        "trading": loop.model.settings.to_dict() if loop else None,
        "killed": desk.killed,
    }


def summary(desk: Desk, symbol: str) -> dict[str, Any]:
    """Count what happened to a symbol since its journal began.

    `missed` bars lie between the first and the last decided one without a decision and without a
    hole at the venue.
    """
    journal = desk.journal
    loop = desk.loops.get(symbol)
    decided, first, last, catch_up = journal.one(schema.COUNTS, symbol)
    holes = journal.one(schema.COUNT_HOLES, symbol, first, last)[0]
    expected = (last - first) // desk.settings.bar_ms + 1 if decided else 0
    trades, pnl = journal_trades(journal, symbol)
    swaps = recent_swaps(journal, symbol)
    return {
        "symbol": symbol,
        "decided": decided,
        "missed": expected - decided - holes,
        "holes": holes,
        "catch_up": catch_up,
        "first_open_time_ms": first,
        "last_open_time_ms": last,
        "trades": trades,
        "pnl": pnl,
        "digest": loop.model.digest if loop else "",
        "epoch": journal.highest_epoch(symbol),
        "swaps": [swap for swap in swaps if swap["outcome"] != "refused"],
        "refusals": [swap for swap in swaps if swap["outcome"] == "refused"],
        "blocked": blocked(journal, symbol),
    }


def journal_trades(journal: Journal, symbol: str) -> tuple[int, float]:
    """Return how many trades were closed and their profit after all costs."""
    rows = journal.all(schema.CLOSED_TRADES, symbol, -1)
    at = OUTPUT_FIELDS.index("pnl")
    return len(rows), float(sum(np.frombuffer(out)[at] for _, out in rows))


def recent_swaps(journal: Journal, symbol: str) -> list[dict[str, Any]]:
    """Return the last attempts to change the model, oldest first."""
    rows = journal.all(schema.SWAPS, symbol, RECENT)
    return [dict(zip(_SWAP, row, strict=True)) for row in reversed(rows)]


def blocked(journal: Journal, symbol: str) -> dict[str, int]:
    """Count the entries that each guard stopped."""
    rows = dict(journal.all(schema.REJECTIONS, symbol))
    return {guard.name: int(rows.get(guard.name, 0)) for guard in Guard if guard is not Guard.NONE}
