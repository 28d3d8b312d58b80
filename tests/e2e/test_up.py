"""`tidegate up`: everything starts, everything stops, and the next start goes on."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from orchestration.local.processes import answers, read_record
from orchestration.local.services import Ports
from tests.hung import HUNG_S

ROOT = Path(__file__).resolve().parents[2]
PATHS = {
    "dagster": "/server_info",
    "mlflow": "/health",
    "runner": "/docs",
    "venue": "/fapi/v1/ping",
}


def start(home: Path, ports: Ports) -> subprocess.Popen[str]:
    """Start `tidegate up` and return it once all four services answer."""
    options = [f"--{name}-port={getattr(ports, name)}" for name in PATHS]
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli.main", "up", *options],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "TIDEGATE_HOME": str(home / "state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + HUNG_S
    while not all(answers(url) for url in urls(ports)):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "expected four services at last"
        time.sleep(0.2)
    return process


def urls(ports: Ports) -> list[str]:
    return [f"http://127.0.0.1:{getattr(ports, name)}{path}" for name, path in PATHS.items()]


@pytest.mark.e2e
def test_up_stops_cleanly_and_goes_on_where_it_stood(tmp_path: Path) -> None:
    """After Ctrl-C nothing is left, also if it is pressed again; the next start has the journal;
    SIGTERM ends it as well.
    """
    ports = Ports.free()
    state = tmp_path / "state"
    for number in (signal.SIGINT, signal.SIGTERM):
        up = start(tmp_path, ports)
        health = httpx.get(f"http://127.0.0.1:{ports.runner}/health").json()
        assert set(health["symbols"]) == {"BTCUSDT", "ETHUSDT"}
        up.send_signal(number)
        assert up.stdout is not None
        assert any(line.startswith("stopping") for line in up.stdout)
        up.send_signal(number)
        said = up.communicate(timeout=HUNG_S)[0]
        assert up.returncode == 0, said
        assert not any(answers(url) for url in urls(ports))
        assert read_record(state / "processes.json") == (None, [])
        assert (state / "runner" / "journal.sqlite").exists()
