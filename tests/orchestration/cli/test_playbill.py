"""How a stage is set: the market goes on, and a service that is lost beneath it is named."""

import os
import sys
from pathlib import Path

import httpx
import pytest

from orchestration.cli.playbill import explained, set_going
from orchestration.local.processes import Service, ServiceError, Supervisor, free_port
from tests.live_runner.stage import venue


def supervisor(home: Path) -> tuple[Supervisor, Service]:
    port = free_port()
    command = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1")
    service = Service("web", command, port, "/")
    one = Supervisor(home, os.environ)
    one.claim(lambda _: None)
    one.start([service], lambda _: None)
    return one, service


def test_a_lost_connection_names_the_service_that_ended(tmp_path: Path) -> None:
    """Connection refused becomes which service, which exit code and which log."""
    one, service = supervisor(tmp_path)
    process = one.running[0].process
    process.kill()
    process.wait()
    ended = pytest.raises(ServiceError, match=r"web: found it ended with exit code -9")
    with ended, explained(one):
        httpx.get(service.url)
    one.stop()


def test_a_lost_connection_stays_one_where_every_service_runs(tmp_path: Path) -> None:
    """Nobody is blamed who is alive."""
    one, _ = supervisor(tmp_path)
    with pytest.raises(httpx.ConnectError), explained(one):
        httpx.get(f"http://127.0.0.1:{free_port()}")
    one.stop()


def test_a_market_that_stood_still_goes_on_and_its_pace_is_said() -> None:
    """What a demo left paused moves again at the speed it had, or at the one that is asked for."""
    with venue(speed=60.0) as market, httpx.Client(base_url=market.url) as client:
        market.clock(pause=True)
        assert set_going(client, None).endswith("runs 60 times as fast as ours")
        assert client.get("/control/clock").json()["paused"] is False
        assert set_going(client, 1.0).endswith("runs at the pace of ours")
        assert client.get("/control/clock").json()["speed"] == 1.0
