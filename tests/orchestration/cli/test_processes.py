"""The supervisor: real child processes, started, killed and found again."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from orchestration.cli.processes import (
    Service,
    ServiceError,
    Supervisor,
    answers,
    free_port,
    read_record,
)

ROOT = Path(__file__).resolve().parents[3]


def web_server(name: str = "web", port: int | None = None) -> Service:
    port = port or free_port()
    command = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1")
    return Service(name, command, port, "/", ready_seconds=30.0)


def test_start_waits_until_a_service_answers_and_stop_ends_it(tmp_path: Path) -> None:
    """A started service answers at once; after stop its port is free and the record is gone."""
    service, lines = web_server(), []
    supervisor = Supervisor(tmp_path, os.environ)
    supervisor.start([service], lines.append)
    assert answers(service.url + "/")
    assert service.url in lines[0]
    supervisor.stop()
    assert not answers(service.url + "/")
    assert not supervisor.record.exists()


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    """The error names service and port, and no process is left."""
    first, second = Supervisor(tmp_path / "a", os.environ), Supervisor(tmp_path / "b", os.environ)
    service = web_server()
    first.start([service], lambda _: None)
    with pytest.raises(ServiceError, match=rf"rival: found port {service.port} taken"):
        second.start([web_server(), web_server("rival", service.port)], lambda _: None)
    assert second.running == []
    first.stop()


def test_a_service_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """The error carries exit code, log path and the end of the log."""
    dying = Service(
        "dying", (sys.executable, "-c", "raise SystemExit('no disk')"), free_port(), "/"
    )
    supervisor = Supervisor(tmp_path, os.environ)
    with pytest.raises(ServiceError, match=r"dying: found it ended with exit code 1(.|\n)*no disk"):
        supervisor.start([dying], lambda _: None)
    supervisor.stop()


def test_a_second_supervisor_on_the_same_home_is_refused(tmp_path: Path) -> None:
    """Two supervisors never share a home."""
    first = Supervisor(tmp_path, os.environ)
    first.start([web_server()], lambda _: None)
    with pytest.raises(ServiceError, match=f"in use by process {os.getpid()}"):
        Supervisor(tmp_path, os.environ).start([web_server()], lambda _: None)
    first.stop()


def test_the_next_start_ends_what_a_killed_supervisor_left(tmp_path: Path) -> None:
    """After SIGKILL the child lives on; the next start ends it and takes its port."""
    service = web_server()
    killed = subprocess.Popen(
        [sys.executable, __file__, str(tmp_path), str(service.port)], cwd=ROOT
    )
    assert killed.wait() == -signal.SIGKILL
    _, orphans = read_record(tmp_path / "processes.json")
    assert [answers(service.url + "/"), len(orphans)] == [True, 1]
    lines: list[str] = []
    supervisor = Supervisor(tmp_path, os.environ)
    supervisor.start([service], lines.append)
    assert f"ending process {orphans[0].pid}" in lines[0]
    assert not psutil.pid_exists(orphans[0].pid)
    assert answers(service.url + "/")
    supervisor.stop()


def test_a_stranger_with_a_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    """A pid counts only with the start time that was recorded for it."""
    stranger = {"pid": os.getpid(), "created": psutil.Process().create_time() - 5.0}
    record = tmp_path / "processes.json"
    record.write_text(json.dumps({"supervisor": stranger, "services": [stranger]}))
    assert read_record(record) == (None, [])


def kill_yourself_after_starting(home: Path, port: int) -> None:
    Supervisor(home, os.environ).start([web_server(port=port)], lambda _: None)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    kill_yourself_after_starting(Path(sys.argv[1]), int(sys.argv[2]))
