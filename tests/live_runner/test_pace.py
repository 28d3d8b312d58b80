"""Beside a replay no bar is barred for being late: its clock says nothing of our machine."""

import asyncio
from dataclasses import replace
from pathlib import Path

from kernel.decision import Abstain
from kernel.trading import ABSTAIN
from live_runner.health import HealthLimits
from tests.hung import HUNG_S
from tests.live_runner.inside import desk, desk_settings
from tests.live_runner.stage import SYMBOLS, VenueProcess, venue

SYMBOL = SYMBOLS[0]
NEVER_QUICK_ENOUGH = HealthLimits(api_errors_a_minute=1, latency_ms=1, slow_bars=1)


def test_no_bar_is_late_in_a_replay(tmp_path: Path) -> None:
    """Every bar breaks the limits, a request fails too, and none is barred."""

    async def scenario(market: VenueProcess) -> list[float]:
        settings = replace(desk_settings(tmp_path, market.url), health=NEVER_QUICK_ENOUGH)
        async with desk(settings) as one, asyncio.timeout(HUNG_S):
            queue = one.subscribe()
            market.clock(speed=3_600.0)
            while not one.clock.other_pace:
                await queue.get()
            one.health.failed(asyncio.get_running_loop().time())
            while not one.health.slow_bars(SYMBOL):
                await queue.get()
            while not queue.empty():
                queue.get_nowait()
            return [(await queue.get()).row[ABSTAIN] for _ in range(6)]

    with venue(speed=1.0) as market:
        assert asyncio.run(scenario(market)) == [Abstain.NONE] * 6
