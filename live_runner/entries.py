"""Whether a symbol may open a position, and if not, why."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from kernel.decision import Abstain
from kernel.holes import bars_let_out
from live_runner.health import Health
from live_runner.journal.reading import JournalReader
from live_runner.models.model import Model

DOUBTS: Mapping[Abstain, str] = {  # what a graph may say of a row
    Abstain.NONE: "",
    Abstain.OUT_OF_HULL: "the market is unlike any that the model was trained on",
    Abstain.UNKNOWN_DOUBT: "the graph abstains for a reason that this runner does not know",
}
EXITS_ONLY = "kept for exits only: the symbol was taken out of the universe"


class Permission(NamedTuple):
    """`abstain` NONE lets positions be opened; `reason` says why not, or what was done without."""

    abstain: Abstain
    reason: str


class Entries:
    """Permit or bar the entries of one symbol; open positions run to their exits all the same."""

    def __init__(
        self,
        *,
        symbol: str,
        bar_ms: int,
        silent_bars: int,
        health: Health,
        killed: Callable[[], bool],
        exits_only: bool = False,
    ) -> None:
        self._symbol = symbol
        self._bar_ms = bar_ms
        self._silent_bars = silent_bars
        self._health = health
        self._killed = killed
        self._exits_only = exits_only

    def permission(
        self,
        *,
        model: Model,
        open_time_ms: int,
        features: Sequence[float],
        doubt: Abstain,
        stale: Mapping[str, str],
        journal: JournalReader,
    ) -> Permission:
        """Return the first reason to stay out after the bar that opened at `open_time_ms`.

        `features` are the model's on that bar, empty before its first, and `doubt` is what its
        graph says of them; `stale` says which series could not be read, and why; `journal` knows
        the holes.
        """
        objections = self._objections(
            model=model,
            open_time_ms=open_time_ms,
            features=features,
            doubt=doubt,
            stale=stale,
            journal=journal,
        )
        for abstain, reason in objections:
            if reason:
                return Permission(abstain, reason)
        rules = "" if model.bundle else "no bundle: rules decide"
        unread = f"does not read the stale {_told(stale)}" if stale else ""
        return Permission(Abstain.NONE, "; ".join(filter(None, (rules, unread))))

    def _objections(
        self,
        *,
        model: Model,
        open_time_ms: int,
        features: Sequence[float],
        doubt: Abstain,
        stale: Mapping[str, str],
        journal: JournalReader,
    ) -> Iterator[tuple[Abstain, str]]:
        """Yield each abstention with its reason, '' where there is none, gravest first."""
        yield Abstain.KILLED, "kill switch is on" if self._killed() else ""
        yield Abstain.EXITS_ONLY, EXITS_ONLY if self._exits_only else ""
        yield Abstain.NO_BUNDLE, model.lost
        read = {name: why for name, why in stale.items() if model.reads(name)}
        yield Abstain.STALE_DATA, f"stale {_told(read)}" if read else ""
        yield self._health.trouble(self._symbol, time.monotonic())
        yield Abstain.NOT_WARM, self._not_warm(model, open_time_ms, journal)
        missing = model.missing(features) if features else ""
        yield Abstain.MISSING_FEATURE, f"{missing} is missing" if missing else ""
        yield doubt, DOUBTS[doubt]

    def _not_warm(self, model: Model, open_time_ms: int, journal: JournalReader) -> str:
        """Return why the bars so far are not enough to decide on, '' if they are.

        Features count bars as they exist, and no model was trained across a hole: what it distorts
        is let out of them for a day, or for as long as the hole was, up to a whole warm-up.
        """
        needed = model.warmup_bars
        bar_ms = self._bar_ms
        if model.stream.bars_seen < needed:
            return f"{model.stream.bars_seen} of {needed} warm-up bars"
        after_ms = max(open_time_ms - 2 * needed * bar_ms, model.begins_ms)
        for last_ms, lost in journal.holes(self._symbol, after_ms, open_time_ms, bar_ms):
            since = (open_time_ms - last_ms) // bar_ms
            wait = bars_let_out(lost, needed, bar_ms, self._silent_bars)
            if since < wait:
                return f"{since} of {wait} bars since a hole"
        return ""


def _told(stale: Mapping[str, str]) -> str:
    """Return which series could not be read, those with one reason together."""
    names: dict[str, list[str]] = {}
    for name, why in stale.items():
        names.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(those)}: {why}" for why, those in names.items())
