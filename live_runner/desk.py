"""The whole runner: every symbol's loop, the feed, the swapper and the people who listen."""

import asyncio
import random
import time
from functools import partial
from typing import Any

import httpx
import numpy as np

from kernel.bundle import BundleRefused
from kernel.clock import bar_open_ms
from kernel.features.engine import Stream, initial_state
from kernel.trading import OUTPUT_FIELDS
from live_runner.candles import Candle
from live_runner.entries import EXITS_ONLY, Entries
from live_runner.health import Health
from live_runner.journal import schema
from live_runner.journal.journal import Decision, Journal, Swap, SymbolState
from live_runner.loop import SymbolLoop
from live_runner.market.feed import Lane, listen
from live_runner.market.history import History
from live_runner.market.recorder import Recorder
from live_runner.market.recordings import RecordingWriter
from live_runner.market.series import SeriesBook
from live_runner.market.venue import Pauses, Venue, persist
from live_runner.market.venue_clock import VenueClock
from live_runner.metrics import RunnerMetrics
from live_runner.models.inference import LoadedBundle, load_bundle
from live_runner.models.model import Model
from live_runner.settings import RunnerSettings
from live_runner.swap import Swapper, SwapResult, model_of

REQUEST_BACKOFF = Pauses(base_s=0.05, cap_s=2.0, attempts=5)
OUTAGE_BACKOFF = Pauses(base_s=0.1, cap_s=5.0, attempts=1)
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
        self.settings = settings
        self.journal = journal
        self.metrics = RunnerMetrics()
        self.loops: dict[str, SymbolLoop] = {}
        self.killed = journal.killed()
        self.health = Health(settings.health, lambda: self.clock.other_pace)
        self._rng = rng
        self._listeners: set[asyncio.Queue[Decision]] = set()
        self._attempts: dict[str, asyncio.Task[SwapResult]] = {}
        self._venue = Venue(client, REQUEST_BACKOFF, rng, self._feed_error)
        self._history = History(settings, self._venue, journal)
        self.swapper = Swapper(
            settings=settings,
            journal=journal,
            metrics=self.metrics,
            loops=self.loops,
            history=self._history,
        )
        self._series = {
            symbol: SeriesBook(symbol, settings, self._venue) for symbol in settings.symbols
        }
        self._lanes = {symbol: self._lane(symbol) for symbol in settings.symbols}
        self._recorder = self._recording(client) if settings.recordings else None
        self.clock = self._recorder.clock if self._recorder else self._looking_clock(client)

    async def run(self) -> None:
        """Trade until cancelled."""
        for symbol in self.settings.exits_only:
            self.journal.record_event("exits_only", f"{symbol}: {EXITS_ONLY}", _now_ms())
        async with asyncio.TaskGroup() as tasks:
            for symbol in self.settings.symbols:
                tasks.create_task(self._trade(symbol), name=symbol)
            tasks.create_task(
                listen(
                    settings=self.settings,
                    lanes=self._lanes,
                    hear=self._hear,
                    backoff=OUTAGE_BACKOFF,
                    rng=self._rng,
                    on_error=self._feed_error,
                )
            )
            recorder = self._recorder  # it looks at its clock itself
            tasks.create_task(recorder.run() if recorder else self.clock.run())

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
            next_open_ms = state.open_time_ms + self.settings.bar_ms
            load = partial(series.load, state.open_time_ms, next_open_ms)
            await persist(load, OUTAGE_BACKOFF, self._rng)
        loop = SymbolLoop(
            lane=self._lanes[symbol],
            series=series,
            entries=Entries(
                symbol=symbol,
                bar_ms=self.settings.bar_ms,
                silent_bars=self.settings.silent_bars,
                health=self.health,
                killed=lambda: self.killed,
                exits_only=symbol in self.settings.exits_only,
            ),
            journal=self.journal,
            metrics=self.metrics,
            health=self.health,
            bar_ms=self.settings.bar_ms,
            model=await self._resume(state),
            state=state,
            publish=self._publish,
        )
        last = self.journal.all(schema.LAST_OUTS, symbol, 1)
        if last:
            self.metrics.resumed(symbol, loop.model.epoch, np.frombuffer(last[0][0]).tolist())
        self.loops[symbol] = loop
        await loop.run()

    async def _first_state(self, symbol: str, series: SeriesBook) -> SymbolState:
        """Warm the rules up on the latest history and commit the start; raises VenueError."""
        bar_ms = self.settings.bar_ms
        end_ms = bar_open_ms(await self._venue.time_ms(), bar_ms)
        start_ms = end_ms - self.settings.history_bars * bar_ms
        await self._history.read(symbol, series, start_ms, end_ms)
        stream = Stream()
        await self._history.fold(symbol, stream, start_ms - bar_ms)
        model = model_of(
            bundle=None,
            rules=self.settings.trading,
            stream=stream,
            account=None,
            journal=self.journal,
        )
        state = SymbolState(
            symbol=symbol,
            open_time_ms=end_ms - bar_ms,
            trader=model.trader.snapshot(),
            stream=stream.snapshot(),
            epoch=model.epoch,
            digest=model.digest,
            pending_order="",
        )
        self.journal.record_start(state, initial_state(), start_ms)
        return state

    async def _resume(self, state: SymbolState) -> Model:
        """Return the model that was last brought into force; if it is a bundle that no longer
        passes, one that opens nothing until a person brings another into force.
        """
        digest, epoch = self.journal.in_force(state.symbol)
        bundle: LoadedBundle | None = None
        lost = ""
        if digest:
            try:
                close_ms = state.open_time_ms + self.settings.bar_ms
                bundle = await self._load(state.symbol, digest, epoch, close_ms)
            except BundleRefused as error:
                rule = f"{error.reason}: found {error.found}, expected {error.expected}"
                lost = f"bundle {digest[:12]} was in force and is refused: {rule}"
                self._refuse_again(state, digest, epoch, rule)
                self.metrics.refused(state.symbol, error.reason)
        return model_of(
            bundle=bundle,
            rules=self.settings.trading,
            stream=Stream(state.stream),
            account=state.trader,
            journal=self.journal,
            lost=lost,
        )

    async def _load(self, symbol: str, digest: str, epoch: int, now_ms: int) -> LoadedBundle:
        load = partial(
            load_bundle,
            folder=self.settings.bundles_dir / digest,
            symbol=symbol,
            timeframe=self.settings.timeframe,
            keys_dir=self.settings.public_keys_dir,
            above_epoch=epoch - 1,
            now_ms=now_ms,
        )
        return await asyncio.to_thread(load)

    def _refuse_again(self, state: SymbolState, digest: str, epoch: int, rule: str) -> None:
        """Write down that what was in force is refused at this start."""
        self.journal.record_refusal(
            Swap(
                symbol=state.symbol,
                at_ms=_now_ms(),
                bar_open_time_ms=state.open_time_ms,
                epoch=epoch,
                digest=digest,
                previous=digest,
                outcome="refused",
                reason=rule,
                pause_us=0,
            )
        )

    def _lane(self, symbol: str) -> Lane:
        def on_hole(open_time_ms: int, reason: str) -> None:
            self.journal.record_hole(symbol, open_time_ms, reason, _now_ms())
            self.metrics.hole(symbol)

        return Lane(
            symbol=symbol,
            settings=self.settings,
            venue=self._venue,
            backoff=OUTAGE_BACKOFF,
            rng=self._rng,
            on_hole=on_hole,
            on_duplicate=partial(self.metrics.duplicate, symbol),
        )

    def _recording(self, client: httpx.AsyncClient) -> Recorder:
        """Return a recorder; its failures are written down, but say nothing of the trading feed."""

        def on_error(text: str) -> None:
            self.journal.record_event("recorder_error", text, _now_ms())

        assert self.settings.recordings is not None
        recordings = RecordingWriter(self.settings.recordings)
        observers = {symbol: series.observer for symbol, series in self._series.items()}
        return Recorder(
            settings=self.settings,
            recordings=recordings,
            client=client,
            rng=self._rng,
            on_error=on_error,
            observers=observers,
        )

    def _looking_clock(self, client: httpx.AsyncClient) -> VenueClock:
        """Return the venue's clock; a failed look is written down, and says nothing of the feed."""

        def on_error(text: str) -> None:
            self.journal.record_event("clock_error", text, _now_ms())

        return VenueClock(Venue(client, REQUEST_BACKOFF, self._rng, on_error))

    def _hear(self, symbol: str, timeframe: str, candle: Candle) -> None:
        for series in self._series.values():
            series.hear(symbol, timeframe, candle)

    def _feed_error(self, text: str) -> None:
        self.metrics.feed_error()
        self.health.failed(time.monotonic())
        self.journal.record_event("feed_error", text, _now_ms())

    def _publish(self, decision: Decision) -> None:
        for queue in self._listeners:
            if not queue.full():
                queue.put_nowait(decision)
        self._take_up_again(decision.symbol)

    def _take_up_again(self, symbol: str) -> None:
        """Try again to take up what a person went back to here, and the start could not read.

        A lost publication is asked for by the platform; for this one nobody else asks.
        """
        loop = self.loops.get(symbol)
        if loop is None or not loop.model.lost or symbol in self._attempts:
            return
        digest, epoch = self.journal.in_force(symbol)
        if epoch == self.journal.highest_epoch(symbol):
            return
        attempt = asyncio.create_task(self.swapper.swap(symbol, digest, epoch))
        self._attempts[symbol] = attempt
        attempt.add_done_callback(lambda _: self._attempts.pop(symbol))


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
