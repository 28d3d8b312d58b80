"""A desk inside the test's own process, trading against a real venue process."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx

from kernel.clock import bar_open_ms
from live_runner.desk import Desk
from live_runner.health import HealthLimits
from live_runner.journal.journal import Journal
from live_runner.settings import RunnerSettings
from tests.hung import HUNG_S
from tests.live_runner.bundles import TRADING
from tests.live_runner.stage import BAR_MS, COINS, LAGS_MS, SYMBOLS, UNHURRIED, VenueProcess


def desk_settings(home: Path, venue_url: str, history_bars: int = 1_100) -> RunnerSettings:
    """Return settings that keep everything under `home`."""
    return RunnerSettings(
        host="127.0.0.1",
        port=0,
        symbols=SYMBOLS,
        timeframe="15m",
        venue_rest=venue_url,
        venue_ws=venue_url.replace("http", "ws"),
        bundles_dir=home / "bundles",
        journal=home / "journal.sqlite",
        public_keys_dir=home / "keys",
        admin_token_file=home / "admin.token",
        coins=COINS,
        lags_ms=LAGS_MS,
        trading=TRADING,
        history_bars=history_bars,
        health=HealthLimits(**UNHURRIED),
        recordings=None,
    )


@asynccontextmanager
async def desk(settings: RunnerSettings, asked: Counter[str] | None = None) -> AsyncIterator[Desk]:
    """Run a desk until the block ends, and count what it asks for; yields when every symbol
    trades.
    """
    journal = Journal(settings.journal)

    async def count(request: httpx.Request) -> None:
        if asked is not None:
            asked[f"{request.url.path} {request.url.params.get('interval', '')}"] += 1

    async with httpx.AsyncClient(
        base_url=settings.venue_rest, timeout=HUNG_S, event_hooks={"request": [count]}
    ) as client:
        one = Desk(settings, journal, client, random.Random(1))
        running = asyncio.ensure_future(one.run())
        try:
            while len(one.loops) < len(settings.symbols):
                assert not running.done(), running.result()
                await asyncio.sleep(0.01)
            yield one
            assert not running.done(), running.result()
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            journal.close()


async def bars_step(one: Desk, market: VenueProcess, count: int) -> None:
    """Let market time go on bar by bar, each once every symbol has decided the one before.

    A backlog that a busy machine let grow is worked off with the first of them.
    """
    queue = one.subscribe()
    for _ in range(count):
        closed_ms = bar_open_ms(market.clock(step_bars=1), BAR_MS) - BAR_MS
        while any(loop.last_open_ms < closed_ms for loop in one.loops.values()):
            await asyncio.wait_for(queue.get(), HUNG_S)
    one.unsubscribe(queue)
