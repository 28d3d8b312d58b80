"""One symbol's loop without a venue: bars are handed to it, everything behind it is real."""

import random
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import numpy as np

from kernel.features.engine import Stream
from kernel.trading import Trader
from live_runner.candles import Arrival, Candle
from live_runner.entries import Entries
from live_runner.health import Health, HealthLimits
from live_runner.journal.journal import Decision, Journal, SymbolState
from live_runner.loop import SymbolLoop
from live_runner.market.feed import Lane
from live_runner.market.series import SeriesBook
from live_runner.market.venue import Pauses, Venue
from live_runner.metrics import RunnerMetrics
from live_runner.models.inference import LoadedBundle
from live_runner.models.model import Model
from tests.live_runner.bundles import TRADING
from tests.live_runner.inside import desk_settings
from tests.live_runner.stage import BAR_MS, START_MS

SYMBOL = "BTCUSDT"
LIMITS = HealthLimits(api_errors_a_minute=10, latency_ms=500, slow_bars=3)


class Scene:
    """A loop that decides the bars of a plain market, one by one, as often as it is asked."""

    def __init__(
        self,
        home: Path,
        stream: Stream | None = None,
        lost: str = "",
        exits_only: bool = False,
        bundle: LoadedBundle | None = None,
    ) -> None:
        settings = desk_settings(home, "http://venue.test")
        self.journal = Journal(settings.journal)
        self.metrics = RunnerMetrics()
        self.health = Health(LIMITS, lambda: False)
        self.killed = False
        self._bars = stream.bars_seen if stream else 0  # it goes on where the stream stands
        rng = random.Random(1)
        patience = Pauses(base_s=0.0, cap_s=0.0, attempts=1)
        client = httpx.AsyncClient(base_url=settings.venue_rest)
        venue = Venue(client, patience, rng, lambda _: None)
        trading = bundle.manifest.trading if bundle else TRADING
        model = Model(
            bundle=bundle,
            settings=trading,
            settings_digest=self.journal.settings_digest(trading),
            stream=stream or Stream(),
            trader=Trader(trading),
            lost=lost,
        )
        self.loop = SymbolLoop(
            lane=Lane(
                symbol=SYMBOL,
                settings=settings,
                venue=venue,
                backoff=patience,
                rng=rng,
                on_hole=lambda at_ms, reason: None,
                on_duplicate=lambda: None,
            ),
            series=SeriesBook(SYMBOL, settings, venue),
            entries=Entries(
                symbol=SYMBOL,
                bar_ms=BAR_MS,
                silent_bars=0,
                health=self.health,
                killed=lambda: self.killed,
                exits_only=exits_only,
            ),
            journal=self.journal,
            metrics=self.metrics,
            health=self.health,
            bar_ms=BAR_MS,
            model=model,
            state=SymbolState(
                symbol=SYMBOL,
                open_time_ms=START_MS + (self._bars - 1) * BAR_MS,
                trader=model.trader.snapshot(),
                stream=model.stream.snapshot(),
                epoch=0,
                digest="",
                pending_order="",
            ),
            publish=lambda decision: None,
        )

    def bar(self, stale: Mapping[str, str] | None = None) -> Decision:
        """Decide the next bar and return what was decided."""
        middle = 100.0 + np.sin(self._bars / 7.0)
        candle = Candle(
            open_time_ms=START_MS + self._bars * BAR_MS,
            open=middle,
            high=middle + 0.5,
            low=middle - 0.5,
            close=middle + 0.1,
            volume=10.0,
        )
        self._bars += 1
        self.loop.decide(Arrival(candle, time.perf_counter_ns(), repaired=False), stale or {})
        assert self.loop.last is not None
        return self.loop.last
