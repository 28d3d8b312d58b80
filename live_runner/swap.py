"""Changing the model of a symbol: load and verify beside the running one, warm up, replace between
two bars.

Whatever fails on the way changes nothing, is written to the journal and is told to the caller.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kernel.bundle import BundleRefused, Refusal
from kernel.features.engine import Stream
from kernel.trading import Trader
from kernel.trading_settings import TradingSettings
from live_runner.journal.journal import Journal, Swap
from live_runner.loop import Model, SymbolLoop
from live_runner.market.history import History
from live_runner.market.venue import VenueError
from live_runner.metrics import Metrics
from live_runner.models.inference import LoadedBundle, load_bundle
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
        settings: RunnerSettings,
        journal: Journal,
        metrics: Metrics,
        loops: Mapping[str, SymbolLoop],
        history: History,
    ) -> None:
        self._settings, self._journal, self._metrics = settings, journal, metrics
        self._loops, self._history = loops, history
        self._locks = {symbol: asyncio.Lock() for symbol in settings.symbols}

    async def swap(self, symbol: str, digest: str, epoch: int) -> SwapResult:
        """Bring a published bundle into force as `epoch` of its symbol, or refuse it."""
        async with self._locks[symbol]:
            try:
                bundle = await self._load(symbol, digest, self._journal.highest_epoch(symbol))
                _check_epoch(bundle, epoch)
                stream, taken_in_ms = await self._warm_up(symbol, bundle)
            except BundleRefused as error:
                return self._refuse(symbol, digest, epoch, error)
            return self._install(symbol, "swapped", bundle, stream, taken_in_ms)

    async def roll_back(self, symbol: str) -> SwapResult:
        """Bring what decided before back into force: at once when resident, else through every
        check again.
        """
        async with self._locks[symbol]:
            loop = self._loops[symbol]
            if loop.previous is not None:
                before = loop.previous
                taken_in_ms = await self._history.fold(symbol, before.stream, loop.previous_open_ms)
                return self._install(
                    symbol, "rolled_back", before.bundle, before.stream, taken_in_ms
                )
            known = self._journal.previous_model(symbol)
            if known is None:
                found, expected = "no earlier model", "a swap to go back from"
                return self._refuse(
                    symbol, "", 0, BundleRefused(Refusal.MISSING_FILE, found, expected)
                )
            digest, epoch = known
            if digest == "":
                stream = Stream(loop.model.stream.snapshot())
                return self._install(symbol, "rolled_back", None, stream, loop.last_open_ms)
            try:
                bundle = await self._load(symbol, digest, epoch - 1)
                stream, taken_in_ms = await self._warm_up(symbol, bundle)
            except BundleRefused as error:
                return self._refuse(symbol, digest, epoch, error)
            return self._install(symbol, "rolled_back", bundle, stream, taken_in_ms)

    async def _load(self, symbol: str, digest: str, above_epoch: int) -> LoadedBundle:
        folder: Path = self._settings.bundles_dir / digest
        keys, timeframe = self._settings.public_keys_dir, self._settings.timeframe
        return await asyncio.to_thread(load_bundle, folder, symbol, timeframe, keys, above_epoch)

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
        symbol: str,
        outcome: Outcome,
        bundle: LoadedBundle | None,
        stream: Stream,
        taken_in_ms: int,
    ) -> SwapResult:
        loop = self._loops[symbol]
        account = loop.model.trader.snapshot()
        model = model_of(bundle, self._settings.trading, stream, account, self._journal)
        previous = loop.model.digest

        def swap(pause_us: int) -> Swap:
            at = (_now_ms(), loop.last_open_ms)
            return Swap(symbol, *at, model.epoch, model.digest, previous, outcome, "", pause_us)

        pause_us = loop.install(model, taken_in_ms, swap)
        self._metrics.swapped(symbol, outcome, model.epoch, pause_us)
        return SwapResult(outcome, symbol, model.digest, model.epoch, previous, pause_us)

    def _refuse(self, symbol: str, digest: str, epoch: int, error: BundleRefused) -> SwapResult:
        loop = self._loops[symbol]
        reason = f"{error.reason}: found {error.found}, expected {error.expected}"
        at, previous = (_now_ms(), loop.last_open_ms), loop.model.digest
        self._journal.record_refusal(
            Swap(symbol, *at, epoch, digest, previous, "refused", reason, 0)
        )
        self._metrics.refused(symbol, error.reason)
        rule = (str(error.reason), str(error.found), str(error.expected))
        return SwapResult("refused", symbol, digest, epoch, previous, 0, *rule)


def _check_epoch(bundle: LoadedBundle, epoch: int) -> None:
    if bundle.epoch != epoch:
        raise BundleRefused(
            Refusal.STALE_EPOCH, f"published as epoch {bundle.epoch}", f"epoch {epoch} as asked for"
        )


def model_of(
    bundle: LoadedBundle | None,
    rules: TradingSettings,
    stream: Stream,
    account: NDArray[np.float64] | None,
    journal: Journal,
) -> Model:
    """Return the model that a bundle, or the rules, make with a stream and an account to go on
    with.
    """
    settings = bundle.manifest.trading if bundle else rules
    trader = Trader(settings, account)
    return Model(bundle, settings, journal.settings_digest(settings), stream, trader)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
