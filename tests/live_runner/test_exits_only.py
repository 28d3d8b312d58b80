"""A symbol that no setting names any more is not forgotten while a position of it is open."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from kernel.decision import Abstain
from kernel.errors import SettingsError
from kernel.fills import ExitReason
from kernel.trading import ABSTAIN, EXIT_REASON, POSITION_SIDE
from live_runner.entries import EXITS_ONLY
from live_runner.settings import load_settings
from live_runner.watch.condition import condition
from live_runner.watch.page import cards
from tests.live_runner.holding import leave_open
from tests.live_runner.inside import bars_step, desk, desk_settings
from tests.live_runner.stage import ROOT, RunnerProcess, venue


def test_a_symbol_kept_for_exits_leaves_its_position_and_opens_none(tmp_path: Path) -> None:
    """Its bars are decided and its exits are kept; page, health and journal say what it is."""
    leave_open(tmp_path / "journal.sqlite", "ETHUSDT", take_profit=1.0)

    async def scenario() -> None:
        with venue(speed=1.0) as market:
            settings = replace(desk_settings(tmp_path, market.url), exits_only=("ETHUSDT",))
            async with desk(settings) as one:
                await bars_step(one, market, 1)
                loop = one.loops["ETHUSDT"]
                assert loop.last is not None
                found = condition(one, one.journal)
                assert (found.status, found.symbols["BTCUSDT"].status) == ("halted", "trading")
                assert found.symbols["ETHUSDT"].reason == EXITS_ONLY
                assert "exits only" in cards(one, one.journal)
                outs = one.journal.all(
                    "SELECT row, out FROM decisions WHERE symbol = 'ETHUSDT' ORDER BY open_time_ms"
                )
                first = memoryview(outs[0][1]).cast("d")
                assert first[EXIT_REASON] == ExitReason.TAKE_PROFIT
                assert first[POSITION_SIDE] == 0.0
                rows = [memoryview(row).cast("d")[ABSTAIN] for row, _ in outs]
                assert set(rows) == {float(Abstain.EXITS_ONLY)}
                events = one.journal.all("SELECT detail FROM events WHERE kind = 'exits_only'")
                assert [detail.startswith("ETHUSDT") for (detail,) in events] == [True]
                assert one.journal.held() == []

    asyncio.run(scenario())


def test_a_start_that_would_leave_a_position_unwatched_is_refused(tmp_path: Path) -> None:
    """The runner says which symbol, and what to write: with that it starts."""
    live = RunnerProcess(tmp_path, "http://127.0.0.1:9")
    leave_open(live.journal, "ETHUSDT")
    config = tmp_path / "runner.yaml"
    settings = live.settings(0) | {"symbols": ["BTCUSDT"]}
    config.write_text(yaml.safe_dump(settings))
    done = subprocess.run(
        [sys.executable, "-m", "live_runner", "--config", str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "found none of ETHUSDT" in done.stderr
    assert "exits_only" in done.stderr


def test_only_a_watched_symbol_can_be_kept_for_exits(tmp_path: Path) -> None:
    """A name that is not among the symbols would be watched by nobody."""
    config = tmp_path / "runner.yaml"
    settings = RunnerProcess(tmp_path, "http://127.0.0.1:9").settings(0)
    config.write_text(yaml.safe_dump(settings | {"exits_only": ["SOLUSDT"]}))
    with pytest.raises(SettingsError, match="exits_only: found SOLUSDT"):
        load_settings(config)
