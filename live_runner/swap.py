"""Changing the model of a symbol: load and verify beside the running one, warm up, replace between
two bars.

Whatever fails on the way changes nothing, is written to the journal and is told to the caller.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kernel.bundle import BundleRefused, Refusal
from kernel.features.engine import Stream
from kernel.trading import Trader
from kernel.trading_settings import TradingSettings
from live_runner.journal.journal import Journal, Swap
from live_runner.loop import SymbolLoop
from live_runner.market.history import History
from live_runner.market.venue import VenueError
from live_runner.metrics import RunnerMetrics
from live_runner.models.inference import LoadedBundle, load_bundle
from live_runner.models.model import Model
from live_runner.settings import RunnerSettings

Outcome = Literal["swapped", "rolled_back", "refused"]


@dataclass(frozen=True, slots=True)
class SwapResult:
    """What came of a swap; `reason`, `found` and `expected` are set when it was refused, the rest
    when not.
    """

    outcome: Outcome
    symbol: str
    digest: str
    epoch: int
    previous: str
    pause_us: int = 0
    reason: str = ""
    found: str = ""
    expected: str = ""


class Swapper:
    """Swap and roll back models, one attempt per symbol at a time."""

    def __init__(
        self,
        *,
        settings: RunnerSettings,
        journal: Journal,
        metrics: RunnerMetrics,
        loops: Mapping[str, SymbolLoop],
        history: History,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._metrics = metrics
        self._loops = loops
        self._history = history
        self._locks = {symbol: asyncio.Lock() for symbol in settings.symbols}

    async def swap(self, symbol: str, digest: str, epoch: int) -> SwapResult:
        """Bring a published bundle into force as `epoch` of its symbol, or refuse it.

        A bundle that was in force and could not be taken up at a start may come back as the same
        epoch, whenever it verifies.
        """
        async with self._locks[symbol]:
            try:
                bundle = await self._load(symbol, digest, self._epoch_below(symbol, digest, epoch))
                _check_epoch(bundle, epoch)
                stream, taken_in_ms = await self._warm_up(symbol, bundle)
            except BundleRefused as error:
                return self._refuse(symbol, digest, epoch, error)
            return self._install(
                symbol=symbol,
                outcome="swapped",
                bundle=bundle,
                stream=stream,
                taken_in_ms=taken_in_ms,
            )

    async def roll_back(self, symbol: str) -> SwapResult:
        """Bring what decided before back into force: at once when resident, else through every
        check again.
        """
        async with self._locks[symbol]:
            loop = self._loops[symbol]
            before = loop.previous
            if before is not None and not before.lost:
                taken_in_ms = await self._history.fold(symbol, before.stream, loop.previous_open_ms)
                return self._install(
                    symbol=symbol,
                    outcome="rolled_back",
                    bundle=before.bundle,
                    stream=before.stream,
                    taken_in_ms=taken_in_ms,
                )
            known = self._journal.previous_model(symbol)
            if known is None:
                nothing = BundleRefused(
                    Refusal.MISSING_FILE, "no earlier model", "a swap to go back from"
                )
                return self._refuse(symbol, "", 0, nothing)
            digest, epoch = known
            if digest == "":
                return self._install(
                    symbol=symbol,
                    outcome="rolled_back",
                    bundle=None,
                    stream=Stream(loop.model.stream.snapshot()),
                    taken_in_ms=loop.last_open_ms,
                )
            try:
                bundle = await self._load(symbol, digest, epoch - 1)
                stream, taken_in_ms = await self._warm_up(symbol, bundle)
            except BundleRefused as error:
                return self._refuse(symbol, digest, epoch, error)
            return self._install(
                symbol=symbol,
                outcome="rolled_back",
                bundle=bundle,
                stream=stream,
                taken_in_ms=taken_in_ms,
            )

    def _epoch_below(self, symbol: str, digest: str, epoch: int) -> int:
        """Return the epoch that a publication must be above to be brought into force now.

        It is the highest that ever was. The one thing that may come again under its own epoch is
        what the journal says is in force while this process could not take it up.
        """
        lost = bool(self._loops[symbol].model.lost)
        again = lost and (digest, epoch) == self._journal.in_force(symbol)
        return epoch - 1 if again else self._journal.highest_epoch(symbol)

    def _in_force(self, symbol: str) -> str:
        """Return the digest of what a person brought into force, also while it is not taken up."""
        model = self._loops[symbol].model
        return self._journal.in_force(symbol)[0] if model.lost else model.digest

    async def _load(self, symbol: str, digest: str, above_epoch: int) -> LoadedBundle:
        load = partial(
            load_bundle,
            folder=self._settings.bundles_dir / digest,
            symbol=symbol,
            timeframe=self._settings.timeframe,
            keys_dir=self._settings.public_keys_dir,
            above_epoch=above_epoch,
            now_ms=self._loops[symbol].last_open_ms + self._settings.bar_ms,
        )
        return await asyncio.to_thread(load)

    async def _warm_up(self, symbol: str, bundle: LoadedBundle) -> tuple[Stream, int]:
        """Return the bundle's stream brought up to the present, and the last bar it took in."""
        loop = self._loops[symbol]
        if bundle.state_open_ms > loop.last_open_ms:
            found = f"a feature state after the bar of {bundle.state_open_ms}"
            expected = f"one not after the last decided bar, {loop.last_open_ms}; try again later"
            raise BundleRefused(Refusal.STATE_MISMATCH, found, expected)
        try:
            await self._history.complete(symbol, bundle.state_open_ms, loop.last_open_ms)
        except VenueError as error:
            expected = "the venue's bars since the cutoff; try again later"
            raise BundleRefused(Refusal.STATE_MISMATCH, str(error), expected) from error
        stream = Stream(bundle.state)
        taken_in_ms = await self._history.fold(symbol, stream, bundle.state_open_ms)
        return stream, taken_in_ms

    def _install(
        self,
        *,
        symbol: str,
        outcome: Outcome,
        bundle: LoadedBundle | None,
        stream: Stream,
        taken_in_ms: int,
    ) -> SwapResult:
        loop = self._loops[symbol]
        model = model_of(
            bundle=bundle,
            rules=self._settings.trading,
            stream=stream,
            account=loop.model.trader.snapshot(),
            journal=self._journal,
        )
        previous = self._in_force(symbol)

        def swap(pause_us: int) -> Swap:
            return Swap(
                symbol=symbol,
                at_ms=_now_ms(),
                bar_open_time_ms=loop.last_open_ms,
                epoch=model.epoch,
                digest=model.digest,
                previous=previous,
                outcome=outcome,
                reason="",
                pause_us=pause_us,
            )

        pause_us = loop.install(model, taken_in_ms, swap)
        self._metrics.swapped(symbol, outcome, model.epoch, pause_us)
        return SwapResult(
            outcome=outcome,
            symbol=symbol,
            digest=model.digest,
            epoch=model.epoch,
            previous=previous,
            pause_us=pause_us,
        )

    def _refuse(self, symbol: str, digest: str, epoch: int, error: BundleRefused) -> SwapResult:
        loop = self._loops[symbol]
        previous = self._in_force(symbol)
        self._journal.record_refusal(
            Swap(
                symbol=symbol,
                at_ms=_now_ms(),
                bar_open_time_ms=loop.last_open_ms,
                epoch=epoch,
                digest=digest,
                previous=previous,
                outcome="refused",
                reason=f"{error.reason}: found {error.found}, expected {error.expected}",
                pause_us=0,
            )
        )
        self._metrics.refused(symbol, error.reason)
        return SwapResult(
            outcome="refused",
            symbol=symbol,
            digest=digest,
            epoch=epoch,
            previous=previous,
            reason=str(error.reason),
            found=error.found,
            expected=error.expected,
        )


def _check_epoch(bundle: LoadedBundle, epoch: int) -> None:
    if bundle.epoch != epoch:
        raise BundleRefused(
            Refusal.STALE_EPOCH, f"published as epoch {bundle.epoch}", f"epoch {epoch} as asked for"
        )


def model_of(
    *,
    bundle: LoadedBundle | None,
    rules: TradingSettings,
    stream: Stream,
    account: NDArray[np.float64] | None,
    journal: Journal,
    lost: str = "",
) -> Model:
    """Return the model that a bundle, or the rules, make with a stream and an account to go on
    with; `lost` says why there is no bundle although there was one.
    """
    settings = bundle.manifest.trading if bundle else rules
    return Model(
        bundle=bundle,
        settings=settings,
        settings_digest=journal.settings_digest(settings),
        stream=stream,
        trader=Trader(settings, account),
        lost=lost,
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
