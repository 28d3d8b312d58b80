"""The whole runner: every symbol's loop, the feed, the swapper and the people who listen."""

import asyncio
import random
import time
from functools import partial
from typing import Any

import httpx

from kernel.bundle import BundleRefused
from kernel.clock import bar_open_ms
from kernel.features.engine import Stream, initial_state
from kernel.trading import OUTPUT_FIELDS
from live_runner.candles import Candle
from live_runner.health import Health
from live_runner.journal.journal import Decision, Journal, State, Swap
from live_runner.loop import Model, SymbolLoop
from live_runner.market.feed import Lane, listen
from live_runner.market.history import History
from live_runner.market.recorder import Recorder
from live_runner.market.recordings import Recordings
from live_runner.market.series import SeriesBook
from live_runner.market.venue import Backoff, Venue, persist
from live_runner.metrics import Metrics
from live_runner.models.inference import LoadedBundle, load_bundle
from live_runner.settings import RunnerSettings
from live_runner.swap import Swapper, model_of

REQUEST_BACKOFF = Backoff(base_s=0.05, cap_s=2.0, attempts=5)
OUTAGE_BACKOFF = Backoff(base_s=0.1, cap_s=5.0, attempts=1)
LISTENER_BACKLOG = 256


class Desk:
    """Own what the process shares; `loops` holds a symbol from the moment that its bars can be
    decided.
    """

    def __init__(
        self,
        settings: RunnerSettings,
        journal: Journal,
        client: httpx.AsyncClient,
        rng: random.Random,
    ) -> None:
        self.settings, self.journal, self.metrics = settings, journal, Metrics()
        self.loops: dict[str, SymbolLoop] = {}
        self.killed = journal.killed()
        self._rng, self._health = rng, Health(settings.health)
        self._listeners: set[asyncio.Queue[Decision]] = set()
        venue = Venue(client, REQUEST_BACKOFF, rng, self._feed_error)
        self._venue, self._history = venue, History(settings, venue, journal)
        self.swapper = Swapper(settings, journal, self.metrics, self.loops, self._history)
        self._series = {symbol: SeriesBook(symbol, settings, venue) for symbol in settings.symbols}
        self._lanes = {symbol: self._lane(symbol) for symbol in settings.symbols}
        self._recorder = self._recording(client) if settings.recordings else None

    async def run(self) -> None:
        """Trade until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for symbol in self.settings.symbols:
                tasks.create_task(self._trade(symbol), name=symbol)
            hearing = (self._lanes, self._hear, OUTAGE_BACKOFF, self._rng, self._feed_error)
            tasks.create_task(listen(self.settings, *hearing))
            if self._recorder is not None:
                tasks.create_task(self._recorder.run())

    def set_killed(self, killed: bool) -> None:
        """Throw the kill switch, or take it back; it survives a restart."""
        self.journal.record_event("kill" if killed else "resume", "", _now_ms())
        self.killed = killed

    def subscribe(self) -> asyncio.Queue[Decision]:
        """Return a queue that receives every decision from now on; a full one loses the newest."""
        queue: asyncio.Queue[Decision] = asyncio.Queue(LISTENER_BACKLOG)
        self._listeners.add(queue)
        return queue

    def unsubscribe(self, queue: asyncio.Queue[Decision]) -> None:
        """Stop filling a queue."""
        self._listeners.discard(queue)

    async def _trade(self, symbol: str) -> None:
        series = self._series[symbol]
        state = self.journal.state(symbol)
        if state is None:
            start = partial(self._first_state, symbol, series)
            state = await persist(start, OUTAGE_BACKOFF, self._rng)
        else:
            span = (state.open_time_ms, state.open_time_ms + self.settings.bar_ms)
            await persist(partial(series.load, *span), OUTAGE_BACKOFF, self._rng)
        loop = SymbolLoop(
            lane=self._lanes[symbol],
            series=series,
            journal=self.journal,
            metrics=self.metrics,
            bar_ms=self.settings.bar_ms,
            model=await self._resume(state),
            state=state,
            killed=lambda: self.killed,
            health=self._health,
            publish=self._publish,
        )
        self.loops[symbol] = loop
        await loop.run()

    async def _first_state(self, symbol: str, series: SeriesBook) -> State:
        """Warm the rules up on the latest history and commit the start; raises VenueError."""
        bar_ms = self.settings.bar_ms
        end_ms = bar_open_ms(await self._venue.time_ms(), bar_ms)
        start_ms = end_ms - self.settings.history_bars * bar_ms
        await self._history.read(symbol, series, start_ms, end_ms)
        stream = Stream()
        await self._history.fold(symbol, stream, start_ms - bar_ms)
        trader = model_of(None, self.settings.trading, stream, None, self.journal).trader
        state = State(symbol, end_ms - bar_ms, trader.snapshot(), stream.snapshot(), 0, "", "")
        self.journal.record_start(state, initial_state(), start_ms)
        return state

    async def _resume(self, state: State) -> Model:
        """Return the model that stood when the state was written, or the rules if its bundle no
        longer passes.
        """
        bundle = await self._reload(state) if state.digest else None
        stream = Stream(state.stream)
        return model_of(bundle, self.settings.trading, stream, state.trader, self.journal)

    async def _reload(self, state: State) -> LoadedBundle | None:
        settings, symbol = self.settings, state.symbol
        folder, keys = settings.bundles_dir / state.digest, settings.public_keys_dir
        try:
            return await asyncio.to_thread(
                load_bundle, folder, symbol, settings.timeframe, keys, state.epoch - 1
            )
        except BundleRefused as error:
            reason = f"{error.reason}: found {error.found}, expected {error.expected}"
            at = (_now_ms(), state.open_time_ms)
            rest = (state.epoch, state.digest, state.digest, "refused", reason, 0)
            self.journal.record_refusal(Swap(symbol, *at, *rest))
            self.metrics.refused(symbol, error.reason)
            return None

    def _lane(self, symbol: str) -> Lane:
        def on_hole(open_time_ms: int, reason: str) -> None:
            self.journal.record_hole(symbol, open_time_ms, reason, _now_ms())
            self.metrics.hole(symbol)

        return Lane(
            *(symbol, self.settings, self._venue, OUTAGE_BACKOFF, self._rng, on_hole),
            partial(self.metrics.duplicate, symbol),
        )

    def _recording(self, client: httpx.AsyncClient) -> Recorder:
        """Return a recorder; its failures are written down, but say nothing of the trading feed."""

        def on_error(text: str) -> None:
            self.journal.record_event("recorder_error", text, _now_ms())

        assert self.settings.recordings is not None
        recordings = Recordings(self.settings.recordings)
        observers = {symbol: series.observer for symbol, series in self._series.items()}
        return Recorder(self.settings, recordings, client, self._rng, on_error, observers)

    def _hear(self, symbol: str, timeframe: str, candle: Candle) -> None:
        for series in self._series.values():
            series.hear(symbol, timeframe, candle)

    def _feed_error(self, text: str) -> None:
        self.metrics.feed_error()
        self._health.failed(time.monotonic())
        self.journal.record_event("feed_error", text, _now_ms())

    def _publish(self, decision: Decision) -> None:
        for queue in self._listeners:
            if not queue.full():
                queue.put_nowait(decision)


def signal_of(decision: Decision) -> dict[str, Any]:
    """Return a decision as the JSON object that listeners get."""
    out = dict(zip(OUTPUT_FIELDS, decision.out, strict=True))
    return {
        "symbol": decision.symbol,
        "open_time_ms": decision.candle.open_time_ms,
        "close": decision.candle.close,
        "digest": decision.digest,
        "epoch": decision.epoch,
        "probabilities": list(decision.probabilities),
        "reason": decision.reason,
        "order": out["order"],
        "position_side": out["position_side"],
        "equity": out["equity"],
        "latency_us": decision.latency_us,
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
