"""One bar, from its close to the journal: the whole of what the runner is for, on one page.

`decide` and `install` run on one thread without an await inside, so a bar is decided by one model
from its first line to its last, and a model can only change between two bars.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kernel.decision import Abstain, rules_probabilities
from kernel.features.engine import Stream
from kernel.features.registry import FEATURES, feature, warmup_bars
from kernel.observation import (
    BAR_FIELDS,
    DATED_SERIES,
    DEPTH_FIELDS,
    MINUTE_FIELDS,
    OBSERVATION_FIELDS,
    SERIES,
    TIME_FIELDS,
    TRADE_FIELDS,
)
from kernel.trading import Trader
from kernel.trading_settings import TradingSettings
from live_runner.candles import Arrival
from live_runner.health import Health
from live_runner.journal.journal import Decision, Journal, OrderChange, State, Swap
from live_runner.market.feed import Lane
from live_runner.market.series import SeriesBook
from live_runner.market.venue import DAY_MS
from live_runner.metrics import Metrics
from live_runner.models.inference import LoadedBundle
from live_runner.orders import order_changes

ATR, EMA_STACK, RSI, ADX = (
    FEATURES.index(name) for name in ("atr_14", "ema_stack", "rsi_14", "adx_14")
)
FUNDING = OBSERVATION_FIELDS.index("funding_rate")
NEVER_MISSING = frozenset(i for i, name in enumerate(FEATURES) if feature(name).missing == "never")
RULE_INPUTS = (ATR, EMA_STACK, RSI, ADX)
RULES_WARM_UP = warmup_bars([FEATURES[i] for i in RULE_INPUTS])
FED_BY: Mapping[str, str] = {  # the series that a field of an observation comes from, '' for none
    **dict(zip(SERIES, SERIES, strict=True)),
    **dict(zip(TIME_FIELDS, DATED_SERIES, strict=True)),
    **dict.fromkeys(MINUTE_FIELDS, "minutes"),
    **dict.fromkeys((*BAR_FIELDS, *TRADE_FIELDS, *DEPTH_FIELDS), ""),
}
COST_FIELDS = ("funding_rate",)


@dataclass(frozen=True, slots=True)
class Model:
    """Everything that decides a bar, replaced as one; `bundle` None means that rules decide.

    Stream and trader advance with each bar. A swap brings its own stream and keeps the account of
    the trader.
    """

    bundle: LoadedBundle | None
    settings: TradingSettings
    settings_digest: str
    stream: Stream
    trader: Trader

    @property
    def digest(self) -> str:
        """Return the bundle's digest, '' for the rules."""
        return self.bundle.digest if self.bundle else ""

    @property
    def epoch(self) -> int:
        """Return the epoch under which the bundle was published, 0 for the rules."""
        return self.bundle.epoch if self.bundle else 0

    @property
    def begins_ms(self) -> int:
        """Return after which bar it lives on the runner's own, not on the bundle's history."""
        return self.bundle.state_open_ms if self.bundle else 0

    @property
    def inputs(self) -> Sequence[int]:
        """Return which of FEATURES decide."""
        return self.bundle.columns if self.bundle else RULE_INPUTS

    def reads(self, series: str) -> bool:
        """Say whether a series decides or costs; a series or a field that nobody knows may."""
        inputs = (FEATURES[i] for i in (*self.inputs, ATR))
        read = {*COST_FIELDS, *(name for one in inputs for name in feature(one).inputs)}
        known = series in FED_BY.values()
        return not known or any(FED_BY.get(name, series) == series for name in read)

    @property
    def warmup_bars(self) -> int:
        """Return after how many bars all of them have a value."""
        return self.bundle.warmup_bars if self.bundle else RULES_WARM_UP


class SymbolLoop:
    """Decide one symbol's bars; `last_open_ms` is the last bar that its model has taken in."""

    def __init__(
        self,
        lane: Lane,
        series: SeriesBook,
        journal: Journal,
        metrics: Metrics,
        bar_ms: int,
        model: Model,
        state: State,
        killed: Callable[[], bool],
        health: Health,
        publish: Callable[[Decision], None],
    ) -> None:
        self.symbol = lane.symbol
        self.model = model
        self.previous: Model | None = None
        self.previous_open_ms = 0
        self.last_open_ms = state.open_time_ms
        self.last: Decision | None = None
        self._pending = state.pending_order
        self._lane, self._series, self._journal, self._metrics = lane, series, journal, metrics
        self._bar_ms, self._killed, self._publish = bar_ms, killed, publish
        self._health = health

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
        candle, model = arrival.candle, self.model
        observation = self._series.observe(candle)
        features = model.stream.push(observation)
        abstain, reason = self._abstain(model, candle.open_time_ms, features, stale)
        probabilities = judge(model.bundle, features)
        atr = features[ATR] * candle.close
        row = [*map(float, candle[:5]), atr, observation[FUNDING], *probabilities, float(abstain)]
        out = model.trader.push(row)
        orders, pending = order_changes(
            self.symbol, candle.open_time_ms, self._bar_ms, row, out, self._pending
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
        self._series.observer.forget(self.last_open_ms)
        self._metrics.decided(decision, arrival.received_ns, began_ns)
        self._health.decided(self.symbol, decision.latency_us, decision.catch_up)
        self._publish(decision)

    def _commit(self, decision: Decision, orders: Sequence[OrderChange], pending: str) -> None:
        """Write the bar before anything can act on it, then move on."""
        state = self._state(self.model, decision.candle.open_time_ms, pending)
        self._journal.record(decision, orders, state, time.time_ns() // 1_000_000)
        self._pending = pending
        self.last_open_ms = decision.candle.open_time_ms
        self.last = decision

    def _abstain(
        self,
        model: Model,
        open_time_ms: int,
        features: Sequence[float],
        stale: Mapping[str, str],
    ) -> tuple[Abstain, str]:
        if self._killed():
            return Abstain.KILLED, "kill switch is on"
        if read := {name: why for name, why in stale.items() if model.reads(name)}:
            return Abstain.STALE_DATA, f"stale {_told(read)}"
        trouble = self._health.trouble(self.symbol, time.monotonic())
        if trouble[0]:
            return trouble
        if not_warm := self._not_warm(model, open_time_ms):
            return Abstain.NOT_WARM, not_warm
        for i in model.inputs:
            if i in NEVER_MISSING and math.isnan(features[i]):
                return Abstain.MISSING_FEATURE, f"{FEATURES[i]} is missing"
        rules = "" if model.bundle else "no bundle: rules decide"
        unread = f"does not read the stale {_told(stale)}" if stale else ""
        return Abstain.NONE, "; ".join(filter(None, (rules, unread)))

    def _not_warm(self, model: Model, open_time_ms: int) -> str:
        """Return why the bars so far are not enough to decide on, '' if they are.

        Features count bars as they exist, and no model was trained across a hole: what it distorts
        is let out of them for a day, or for as long as the hole was, up to a whole warm-up.
        """
        needed, bar_ms = model.warmup_bars, self._bar_ms
        if model.stream.bars_seen < needed:
            return f"{model.stream.bars_seen} of {needed} warm-up bars"
        after_ms = max(open_time_ms - 2 * needed * bar_ms, model.begins_ms)
        for last_ms, lost in self._journal.holes(self.symbol, after_ms, open_time_ms, bar_ms):
            since, settled = (open_time_ms - last_ms) // bar_ms, max(lost, DAY_MS // bar_ms)
            if since < min(settled, needed):
                return f"{since} of {min(settled, needed)} bars since a hole"
        return ""

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
        self.previous, self.previous_open_ms = self.model, self.last_open_ms
        self.model = model
        return (time.perf_counter_ns() - began_ns) // 1_000

    def _state(self, model: Model, open_time_ms: int, pending: str) -> State:
        trader, stream = model.trader.snapshot(), model.stream.snapshot()
        return State(self.symbol, open_time_ms, trader, stream, model.epoch, model.digest, pending)


def _told(stale: Mapping[str, str]) -> str:
    """Return which series could not be read, those with one reason together."""
    names: dict[str, list[str]] = {}
    for name, why in stale.items():
        names.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(those)}: {why}" for why, those in names.items())


def judge(bundle: LoadedBundle | None, features: Sequence[float]) -> list[float]:
    """Return (p_sell, p_hold, p_buy) from the bundle, or from the rules where there is none."""
    if bundle:
        return bundle.probabilities(features)
    return list(rules_probabilities(features[EMA_STACK], features[RSI], features[ADX]))
