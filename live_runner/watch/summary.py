"""What the journal says of a symbol, for people and for the demo."""

from collections.abc import Mapping
from typing import Any

from kernel.decision import Abstain
from kernel.risk import Guard
from live_runner.desk import Desk
from live_runner.journal import schema
from live_runner.journal.reading import JournalReader

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
_NEVER = {"bars": 0, "last_open_time_ms": None}


def model_info(desk: Desk, journal: JournalReader, symbol: str) -> dict[str, Any]:
    """Say what decides a symbol.

    `epoch` is the highest that was ever installed and never falls; after a local rollback
    `model_epoch` is the lower one of the bundle in force. `lost` says why a bundle that is in force
    could not be taken up, '' where none is missed.
    """
    loop = desk.loops.get(symbol)
    model = loop.model if loop else None
    previous = loop.previous if loop else None
    bundle = model.bundle if model else None
    return {
        "symbol": symbol,
        "status": "trading" if loop else "starting",
        "digest": model.digest if model else "",
        "epoch": journal.highest_epoch(symbol),
        "model_epoch": model.epoch if model else 0,
        "lost": model.lost if model else "",
        "previous": previous.digest if previous else None,
        "features": list(bundle.manifest.features) if bundle else [],
        "cutoff_ms": bundle.manifest.cutoff_ms if bundle else None,
        "inference_cpu_ms": bundle.cost.cpu_ms if bundle else None,
        "inference_wall_p99_ms": bundle.cost.wall_p99_ms if bundle else None,
        "trading": model.settings.to_dict() if model else None,
        "killed": desk.killed,
    }


def summary(desk: Desk, journal: JournalReader, symbol: str) -> dict[str, Any]:
    """Count what happened to a symbol since its journal began.

    `missed` bars lie between the first and the last decided one without a decision and without a
    hole at the venue. `abstained` and `blocked` hold every reason to stay out and every guard by
    name: how many bars, and which was the last.
    """
    loop = desk.loops.get(symbol)
    rows = journal.all(schema.TOTALS, symbol)
    decided, first, last, catch_up, trades, pnl = rows[0] if rows else (0, 0, 0, 0, 0, 0.0)
    holes = journal.one(schema.COUNT_HOLES, symbol, first, last)[0]
    expected = (last - first) // desk.settings.bar_ms + 1 if decided else 0
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
        **tallies(journal, symbol),
    }


def recent_swaps(journal: JournalReader, symbol: str) -> list[dict[str, Any]]:
    """Return the last attempts to change the model, oldest first."""
    rows = journal.all(schema.SWAPS, symbol, RECENT)
    return [dict(zip(_SWAP, row, strict=True)) for row in reversed(rows)]


def tallies(journal: JournalReader, symbol: str) -> Mapping[str, dict[str, dict[str, int | None]]]:
    """Return of every reason to stay out, and of every guard, how many bars and the last one."""
    found = {
        (what, name): {"bars": bars, "last_open_time_ms": last_ms}
        for what, name, bars, last_ms in journal.all(schema.TALLIES, symbol)
    }
    every = {"abstained": Abstain, "blocked": Guard}
    return {
        what: {
            one.name.lower(): found.get((what, one.name), _NEVER) for one in names if one.value != 0
        }
        for what, names in every.items()
    }
