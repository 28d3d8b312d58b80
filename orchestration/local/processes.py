"""Start, watch and stop the local services, and clean up after a supervisor that was killed."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from kernel.errors import TidegateError
from market_data.storage.locks import only_one
from orchestration.local.patience import Patience

STOP_SECONDS = 20.0
ANSWER_SECONDS = 30.0  # asked again after that: a service on a busy machine answers late
START_CPU_SECONDS = 300.0  # the dearest, Dagster, starts on a fraction of it
RECORD = "processes.json"


class ServiceError(TidegateError):
    """Say which service is in the way, what was found and what to do."""


@dataclass(frozen=True, slots=True)
class Service:
    """One process: how to start it, and the address that answers once it is ready."""

    name: str
    command: tuple[str, ...]
    port: int
    ready_path: str
    ready_cpu_seconds: float = START_CPU_SECONDS

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class StartedService:
    """A started service."""

    service: Service
    process: subprocess.Popen[bytes]
    log: Path


class Supervisor:
    """Run services as children in sessions of their own, recorded in `<home>/processes.json`.

    The record names pid and start time of each child, so that the next start can end what a killed
    supervisor left behind without touching a stranger that got the same pid.
    """

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.environment = dict(environment)
        self.running: list[StartedService] = []

    @property
    def record(self) -> Path:
        return self.home / RECORD

    def claim(self, report: Callable[[str], None]) -> None:
        """Take the home for this process, and end what a killed supervisor left running in it.

        Raises ServiceError while another supervisor is alive there.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        with only_one(self.home):  # of two that start at once, one sees the other's record
            supervisor, children = read_record(self.record)
            if supervisor is not None:
                raise ServiceError(
                    f"{self.home}: found it in use by process {supervisor.pid}, expected it free; "
                    "stop that one (Ctrl-C in its terminal) or set TIDEGATE_HOME to another folder"
                )
            for child in children:
                report(f"ending process {child.pid}, left by a run that was killed")
                _stop_group(child.pid)
            self._write_record()

    def start(self, services: Sequence[Service], report: Callable[[str], None]) -> None:
        """Start each service in turn and wait until it answers; the home must be claimed.

        Raises ServiceError when a port is taken, or a service dies or works in vain; how long it
        takes does not matter.
        """
        for service in services:
            require_free_port(service)
        for service in services:
            began = time.monotonic()
            self._launch(service)
            self._await_ready(self.running[-1])
            report(f"{service.name:8} {service.url}  ready in {time.monotonic() - began:.1f} s")

    def watch(self, each_second: Callable[[], None] = lambda: None) -> None:
        """Block until a service ends; raises ServiceError naming it and its log."""
        while True:
            self.require_alive()
            each_second()
            time.sleep(1.0)

    def require_alive(self) -> None:
        """Raise ServiceError if a service has ended."""
        for one in self.running:
            if (code := one.process.poll()) is not None:
                raise ServiceError(
                    f"{one.service.name}: found it ended with exit code {code}, expected it "
                    f"running; read {one.log}:\n{_tail(one.log)}"
                )

    def cpu_seconds(self) -> float:
        """Return the CPU time that all services and what they started have used."""
        return sum(_cpu_seconds(one.process.pid) for one in self.running)

    def stop(self) -> None:
        """Stop every service, last started first, politely and then by force."""
        for one in reversed(self.running):
            _stop_group(one.process.pid)
            one.process.wait()
        self.running.clear()
        self.record.unlink(missing_ok=True)

    def _launch(self, service: Service) -> None:
        logs = self.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        path = logs / f"{service.name}.log"
        with path.open("ab") as log:
            process = _spawn(service.command, self.environment, log)
        self.running.append(StartedService(service, process, path))
        self._write_record()

    def _await_ready(self, one: StartedService) -> None:
        patience = Patience(
            lambda: _cpu_seconds(one.process.pid), limit_s=one.service.ready_cpu_seconds
        )
        while not answers(one.service.url + one.service.ready_path):
            self.require_alive()
            if why := patience.spent():
                raise ServiceError(
                    f"{one.service.name}, an answer at {one.service.url}: {why}; "
                    f"read {one.log}:\n{_tail(one.log)}"
                )
            time.sleep(0.1)

    def _write_record(self) -> None:
        services = [
            {**_entry(one.process.pid), "name": one.service.name, "url": one.service.url}
            for one in self.running
        ]
        body = json.dumps({"supervisor": _entry(os.getpid()), "services": services})
        temporary = self.record.with_suffix(".tmp")
        temporary.write_text(body)
        temporary.replace(self.record)


def read_record(record: Path) -> tuple[psutil.Process | None, list[psutil.Process]]:
    """Return the supervisor and the services of a record that are still the same live processes."""
    if not record.exists():
        return None, []
    body = json.loads(record.read_text())
    services = [process for entry in body["services"] if (process := _same_process(entry))]
    return _same_process(body["supervisor"]), services


def urls_of_services(record: Path) -> dict[str, str]:
    """Return the URLs of a record's services by name, empty where no supervisor runs them."""
    supervisor, _ = read_record(record)
    if supervisor is None:
        return {}
    entries = json.loads(record.read_text())["services"]
    return {entry["name"]: entry["url"] for entry in entries if "name" in entry}


def require_free_port(service: Service) -> None:
    """Raise ServiceError if something listens on the service's port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", service.port))
        except OSError as error:
            raise ServiceError(
                f"{service.name}: found port {service.port} taken ({error.strerror}), expected it "
                f"free; stop what listens there, or pass --{service.name}-port"
            ) from error


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Return whether `url` answers with a success status."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as response:  # noqa: S310 - loopback
            return 200 <= response.status < 300
    except (urllib.error.URLError, OSError):
        return False


def _spawn(
    command: Sequence[str], environment: Mapping[str, str], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _entry(pid: int) -> dict[str, float]:
    return {"pid": pid, "created": psutil.Process(pid).create_time()}


def _same_process(entry: Mapping[str, float]) -> psutil.Process | None:
    try:
        process = psutil.Process(int(entry["pid"]))
        alive = process.status() != psutil.STATUS_ZOMBIE
        return process if alive and process.create_time() == entry["created"] else None
    except psutil.NoSuchProcess:
        return None


def _stop_group(pid: int) -> None:
    """End a service and everything in the session that it leads."""
    leader = [process for process in _session(pid) if process.pid == pid]
    members = _session(pid)
    _signal(leader, signal.SIGINT)
    _, alive = psutil.wait_procs(members, timeout=STOP_SECONDS / 2)
    _signal(alive, signal.SIGTERM)
    _, alive = psutil.wait_procs(alive, timeout=STOP_SECONDS / 2)
    _signal(alive, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=STOP_SECONDS)


def _session(leader: int) -> list[psutil.Process]:
    members: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader:
                members.append(process)
        except (ProcessLookupError, PermissionError):
            continue
    return members


def _cpu_seconds(leader: int) -> float:
    """Return the CPU time that a session and the children it collected have used."""
    used = 0.0
    for process in _session(leader):
        try:
            used += sum(process.cpu_times()[:4])  # user and system, its own and its children's
        except psutil.NoSuchProcess:
            continue
    return used


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
