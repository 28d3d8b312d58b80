"""The operator's endpoints change the clock and the faults, for this machine only."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from replay_venue.serving.app import application
from replay_venue.settings import build, parse
from tests.hung import HUNG_S
from tests.replay_venue.served import BAR_MS, Served, at, serving


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("clock", {"speed": 0}),
        ("clock", {"speed": -3}),
        ("clock", {"step_bars": 0}),
        ("clock", {"step_bars": 1, "advance_to_ms": at("2026-01-01")}),
        ("clock", {"advance_to_ms": at("2024-01-01")}),
        ("clock", {"hurry": True}),
        ("faults", {"kind": "fire", "count": 1}),
        ("faults", {"kind": "drop"}),
        ("faults", {"kind": "skip", "count": 1, "channel": "rest"}),
    ],
)
def test_control_refuses_what_makes_no_sense(
    still: Served, what: str, body: dict[str, Any]
) -> None:
    """A wrong order is HTTP 422 and changes neither clock nor faults."""
    before = still.get("/control/clock"), still.get("/control/faults")
    assert still.http.post(f"/control/{what}", json=body).status_code == 422
    assert (still.get("/control/clock"), still.get("/control/faults")) == before


def test_control_moves_the_clock() -> None:
    """Steps land on bar boundaries, jumps where told, and speed sets it running."""
    with serving("--start", "2025-03-31T00:07:00") as served:
        served.control("clock", pause=True)
        assert served.control("clock", step_bars=2)["now_ms"] == at("2025-03-31 00:30")
        target = at("2025-04-01 01:02:03")
        assert served.control("clock", advance_to_ms=target)["now_ms"] == target
        served.control("clock", speed=10_000.0, pause=False)
        deadline = time.monotonic() + HUNG_S
        while served.get("/fapi/v1/time")["serverTime"] < target + BAR_MS:
            assert time.monotonic() < deadline


def test_control_arms_and_clears_faults(still: Served) -> None:
    """What is armed is shown, hits outside requests only, and is gone after a clear."""
    still.control("faults", kind="http429", rate=1.0, match="ping")
    assert still.get("/control/faults")["armed"][0]["kind"] == "http429"
    answer = still.http.get("/fapi/v1/ping")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert still.http.delete("/control/faults").json()["armed"] == []
    assert still.get("/fapi/v1/ping") == {}


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1", 200), ("127.8.8.8", 200), ("::1", 200), ("192.0.2.7", 403), ("somewhere", 403)],
)
def test_control_is_for_this_machine_only(host: str, status: int) -> None:
    """A client that is not on loopback may read the market but not touch the venue."""

    async def statuses() -> tuple[int, int]:
        venue = build(parse(["--start", "2023-01-02"]))
        transport = httpx.ASGITransport(application(venue), client=(host, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://venue") as http:
            order = await http.post("/control/clock", json={"speed": 2.0})
            return order.status_code, (await http.get("/fapi/v1/ping")).status_code

    assert asyncio.run(statuses()) == (status, 200)


def running(*arguments: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start the module as a process and return it with its address, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "replay_venue", "--port", str(port), *arguments]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + HUNG_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"found exit {process.returncode}, expected a server"
        try:
            httpx.get(f"{url}/fapi/v1/ping", timeout=HUNG_S).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return process, url
    process.kill()
    raise AssertionError(f"found no answer at {url} in 30 s, expected one")


def clock_of(url: str) -> dict[str, Any]:
    return httpx.get(f"{url}/control/clock", timeout=HUNG_S).json()


def test_venue_continues_its_clock_after_a_restart(tmp_path: Path) -> None:
    """A venue ended by a signal goes on where it stood, not at --start."""
    state = tmp_path / "venue" / "clock.json"
    arguments = ("--start", "2025-03-31", "--speed", "1", "--state", str(state))
    process, url = running(*arguments)
    change = {"pause": True, "speed": 60.0, "step_bars": 7}
    httpx.post(f"{url}/control/clock", json=change, timeout=HUNG_S)
    stood = clock_of(url)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=HUNG_S)
    assert json.loads(state.read_text()) == stood
    process, url = running(*arguments)
    try:
        assert clock_of(url) == stood
        assert stood["now_ms"] == at("2025-03-31 01:45")
    finally:
        process.terminate()
        process.wait(timeout=HUNG_S)


def test_venue_follows_real_time_by_default() -> None:
    """Started at now and speed 1, its clock is this machine's."""
    venue = build(parse([]))
    assert abs(venue.clock.now_ms() - time.time() * 1_000) < 5_000
    assert venue.clock.state().real_time


@pytest.mark.parametrize(
    "arguments",
    [
        ["--market", "recorded"],
        ["--data", "somewhere"],
        ["--start", "yesterday"],
        ["--market", "imagined"],
        ["--symbols", "BTCUSDT", "--speed", "fast"],
    ],
)
def test_venue_refuses_a_wrong_command_line(arguments: list[str]) -> None:
    """A command line that makes no sense ends with usage and status 2."""
    with pytest.raises(SystemExit) as stopped:
        parse(arguments)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["--start", "2023-01-02", "--history-start", "2024-01-01"],
        ["--symbols", ""],
        ["--symbols", "btcusdt"],
        ["--seed", "-4"],
        ["--speed", "0"],
    ],
)
def test_venue_refuses_settings_it_cannot_serve(arguments: list[str]) -> None:
    """Settings without a market or a possible clock are errors that name them."""
    with pytest.raises(ValueError, match=r"found .* expected"):
        build(parse(arguments))
