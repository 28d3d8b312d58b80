"""One bar, from its close to the journal: the whole of what the runner is for, on one page.

`decide` and `install` run on one thread without an await inside, so a bar is decided by one model
from its first line to its last, and a model can only change between two bars.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from kernel.decision import Abstain
from kernel.observation import FUNDING_FIELDS, OBSERVATION_FIELDS
from live_runner.candles import Arrival
from live_runner.entries import Entries, Permission
from live_runner.health import Health
from live_runner.journal.journal import Decision, Journal, OrderChange, Swap, SymbolState
from live_runner.journal.reading import JournalReader
from live_runner.market.feed import Lane
from live_runner.market.series import SeriesBook
from live_runner.metrics import RunnerMetrics
from live_runner.models.model import ATR, Model
from live_runner.orders import order_changes

FIRST_SETTLED = OBSERVATION_FIELDS.index(FUNDING_FIELDS[0])
SETTLED = slice(FIRST_SETTLED, FIRST_SETTLED + len(FUNDING_FIELDS))


class SymbolLoop:
    """Decide one symbol's bars; `last_open_ms` is the last bar that its model has taken in."""

    def __init__(
        self,
        *,
        lane: Lane,
        series: SeriesBook,
        entries: Entries,
        journal: Journal,
        metrics: RunnerMetrics,
        health: Health,
        bar_ms: int,
        model: Model,
        state: SymbolState,
        publish: Callable[[Decision], None],
    ) -> None:
        self.symbol = lane.symbol
        self.model = model
        self.previous: Model | None = None
        self.previous_open_ms = 0
        self.last_open_ms = state.open_time_ms
        self.last: Decision | None = None
        self.last_decided_s: float | None = None
        self.stale: Mapping[str, str] = {}
        self._pending = state.pending_order
        self._lane = lane
        self._series = series
        self._entries = entries
        self._journal = journal
        self._metrics = metrics
        self._health = health
        self._bar_ms = bar_ms
        self._publish = publish

    async def run(self) -> None:
        """Decide every bar as it comes, for ever."""
        async for batch in self._lane.batches(self.last_open_ms):
            closes = [arrival.candle.open_time_ms + self._bar_ms for arrival in batch]
            stale = await self._series.ensure(closes[0], closes[-1])
            for arrival in batch:
                self.decide(arrival, stale)
                await asyncio.sleep(0)

    def decide(self, arrival: Arrival, stale: Mapping[str, str]) -> None:
        """Decide one closed bar and commit it; `stale` says which series could not be read, and
        why.
        """
        began_ns = time.perf_counter_ns()
        candle = arrival.candle
        model = self.model
        observation = self._series.observe(candle)
        features = model.stream.push(observation)
        probabilities, doubt = model.judge(features)
        abstain, reason = self._entries.permission(
            model=model,
            open_time_ms=candle.open_time_ms,
            features=features,
            doubt=doubt,
            stale=stale,
            journal=self._journal,
        )
        row = [
            float(candle.open_time_ms),
            float(candle.open_time_ms + self._bar_ms),
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            features[ATR] * candle.close,
            *probabilities,
            float(abstain),
            *observation[SETTLED],
        ]
        out = model.trader.push(row)
        orders, pending = order_changes(
            symbol=self.symbol,
            open_time_ms=candle.open_time_ms,
            bar_ms=self._bar_ms,
            row=row,
            out=out,
            pending=self._pending,
        )
        decided_ns = time.perf_counter_ns()
        decision = Decision(
            symbol=self.symbol,
            candle=candle,
            epoch=model.epoch,
            digest=model.digest,
            settings_digest=model.settings_digest,
            observation=observation,
            features=features,
            probabilities=probabilities,
            row=row,
            out=out,
            reason=reason,
            catch_up=arrival.repaired,
            latency_us=(decided_ns - arrival.received_ns) // 1_000,
            compute_us=(decided_ns - began_ns) // 1_000,
        )
        self._commit(decision, orders, pending)
        self.stale = stale
        self._series.observer.forget(self.last_open_ms)
        self._metrics.decided(decision, arrival.received_ns, began_ns)
        self._health.decided(self.symbol, decision.latency_us, decision.catch_up)
        self._publish(decision)

    def permission(self, journal: JournalReader) -> Permission:
        """Say whether the next bar may open a position, as far as is known between two bars.

        Reads only what the loop replaces whole, and `journal`: so another thread may ask, with a
        journal of its own.
        """
        last = self.last
        return self._entries.permission(
            model=self.model,
            open_time_ms=self.last_open_ms,
            features=last.features if last else (),
            doubt=self.model.judge(last.features)[1] if last else Abstain.NONE,
            stale=self.stale,
            journal=journal,
        )

    def _commit(self, decision: Decision, orders: Sequence[OrderChange], pending: str) -> None:
        """Write the bar before anything can act on it, then move on."""
        state = self._state(self.model, decision.candle.open_time_ms, pending)
        self._journal.record(decision, orders, state, time.time_ns() // 1_000_000)
        self._pending = pending
        self.last_open_ms = decision.candle.open_time_ms
        self.last = decision
        self.last_decided_s = time.monotonic()

    def install(self, model: Model, taken_in_ms: int, swap: Callable[[int], Swap]) -> int:
        """Replace the model between two bars and return the pause in µs.

        The new stream has taken in bars up to `taken_in_ms`; it first takes in what was decided
        since. The swap is committed with its state before the model is replaced.
        """
        began_ns = time.perf_counter_ns()
        for _, observation in self._journal.observations(self.symbol, taken_in_ms, 1_000_000):
            model.stream.push(observation.tolist())
        state = self._state(model, self.last_open_ms, self._pending)
        pause_us = (time.perf_counter_ns() - began_ns) // 1_000
        self._journal.record_swap(swap(pause_us), state, self.last_open_ms + self._bar_ms)
        self.previous = self.model
        self.previous_open_ms = self.last_open_ms
        self.model = model
        return (time.perf_counter_ns() - began_ns) // 1_000

    def _state(self, model: Model, open_time_ms: int, pending: str) -> SymbolState:
        return SymbolState(
            symbol=self.symbol,
            open_time_ms=open_time_ms,
            trader=model.trader.snapshot(),
            stream=model.stream.snapshot(),
            epoch=model.epoch,
            digest=model.digest,
            pending_order=pending,
        )
