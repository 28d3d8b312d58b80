"""The supervisor: real child processes, started, killed and found again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from orchestration.local.processes import (
    RECORD,
    Service,
    ServiceError,
    Supervisor,
    answers,
    free_port,
    read_record,
    urls_of_services,
)

ROOT = Path(__file__).resolve().parents[3]


def web_server(name: str = "web", port: int | None = None) -> Service:
    port = port or free_port()
    command = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1")
    return Service(name, command, port, "/")


def quiet(_: str) -> None:
    """Take a line and show it to nobody."""


def supervisor(home: Path, tell: Callable[[str], None] = quiet) -> Supervisor:
    """Return a supervisor that has claimed `home`."""
    one = Supervisor(home, os.environ)
    one.claim(tell)
    return one


def test_start_waits_until_a_service_answers_and_stop_ends_it(tmp_path: Path) -> None:
    """A started service answers at once; after stop its port is free and the record is gone."""
    service = web_server()
    lines = []
    one = supervisor(tmp_path)
    one.start([service], lines.append)
    assert answers(service.url + "/")
    assert service.url in lines[0]
    assert urls_of_services(one.record) == {"web": service.url}  # whoever asks finds its port
    one.stop()
    assert not answers(service.url + "/")
    assert not one.record.exists()
    assert urls_of_services(one.record) == {}


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    """The error names service and port, and no process is left."""
    first = supervisor(tmp_path / "a")
    second = supervisor(tmp_path / "b")
    service = web_server()
    first.start([service], quiet)
    with pytest.raises(ServiceError, match=rf"rival: found port {service.port} taken"):
        second.start([web_server(), web_server("rival", service.port)], quiet)
    assert second.running == []
    first.stop()


def test_a_service_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """The error carries exit code, log path and the end of the log."""
    dying = Service(
        "dying", (sys.executable, "-c", "raise SystemExit('no disk')"), free_port(), "/"
    )
    one = supervisor(tmp_path)
    with pytest.raises(ServiceError, match=r"dying: found it ended with exit code 1(.|\n)*no disk"):
        one.start([dying], quiet)
    one.stop()


def test_a_service_that_works_in_vain_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    """It never answers but burns CPU: after as much of it as it was given, not after seconds."""
    code = "print('still thinking', flush=True)\nwhile True: pass"
    vain = Service("vain", (sys.executable, "-c", code), free_port(), "/", ready_cpu_seconds=0.5)
    one = supervisor(tmp_path)
    with pytest.raises(ServiceError, match=r"vain, an answer(.|\n)*CPU time(.|\n)*thinking"):
        one.start([vain], quiet)
    assert one.cpu_seconds() >= 0.5
    one.stop()
    assert one.cpu_seconds() == 0.0


def test_a_second_supervisor_on_the_same_home_is_refused(tmp_path: Path) -> None:
    """Two supervisors never share a home."""
    first = supervisor(tmp_path)
    first.start([web_server()], quiet)
    with pytest.raises(ServiceError, match=f"in use by process {os.getpid()}"):
        supervisor(tmp_path)
    first.stop()


def test_the_next_start_ends_what_a_killed_supervisor_left(tmp_path: Path) -> None:
    """After SIGKILL the child lives on; the next start ends it and takes its port."""
    service = web_server()
    killed = subprocess.Popen(
        [sys.executable, __file__, str(tmp_path), str(service.port)], cwd=ROOT
    )
    assert killed.wait() == -signal.SIGKILL
    _, orphans = read_record(tmp_path / RECORD)
    assert [answers(service.url + "/"), len(orphans)] == [True, 1]
    lines: list[str] = []
    one = supervisor(tmp_path, lines.append)
    one.start([service], quiet)
    assert f"ending process {orphans[0].pid}" in lines[0]
    assert not psutil.pid_exists(orphans[0].pid)
    assert answers(service.url + "/")
    one.stop()


def test_a_stranger_with_a_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    """A pid counts only with the start time that was recorded for it."""
    stranger = {"pid": os.getpid(), "created": psutil.Process().create_time() - 5.0}
    record = tmp_path / RECORD
    record.write_text(json.dumps({"supervisor": stranger, "services": [stranger]}))
    assert read_record(record) == (None, [])


def kill_yourself_after_starting(home: Path, port: int) -> None:
    supervisor(home).start([web_server(port=port)], quiet)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    kill_yourself_after_starting(Path(sys.argv[1]), int(sys.argv[2]))
