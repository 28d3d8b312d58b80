"""What a demo says when a service is lost beneath it."""

import os
import sys
from pathlib import Path

import httpx
import pytest

from orchestration.cli.playbill import explained
from orchestration.local.processes import Service, ServiceError, Supervisor, free_port


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
