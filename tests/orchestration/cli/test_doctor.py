"""The doctor: each thing that can be wrong is named with what to do about it."""

import dataclasses
import json
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import pytest

from orchestration.cli.doctor import Finding, examine, require_able, running
from orchestration.environments import Environment
from orchestration.local.instance import write_instance
from orchestration.local.processes import Service, ServiceError, free_port
from orchestration.local.recovery import recover
from orchestration.local.services import Ports
from orchestration.resources.key_cycle import KeyCycle
from orchestration.resources.promotion_store import PromotionStore, ensure_keys
from tests.live_runner.holding import leave_open


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    environment = Environment.from_environ({"TIDEGATE_HOME": str(tmp_path / "home")})
    ensure_keys(environment.home)
    write_instance(environment)
    return environment


def sick(environment: Environment, ports: Ports | None = None) -> dict[str, Finding]:
    found = examine(environment, ports or Ports.free())
    return {finding.subject: finding for finding in found if not finding.well}


def test_a_fresh_home_is_well(environment: Environment) -> None:
    """Keys, ports, disk and an empty log give nothing to do."""
    assert sick(environment) == {}


def test_a_taken_port_is_named_with_its_service(environment: Environment) -> None:
    """The finding says which service wants the port."""
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        found = sick(environment, dataclasses.replace(Ports.free(), runner=port))
    assert list(found) == [f"port {port} (runner)"]
    assert "--runner-port" in found[f"port {port} (runner)"].remedy


HEALTH = {
    "status": "halted",
    "symbols": {
        "BTCUSDT": {"status": "trading", "abstain": "none", "reason": ""},
        "ETHUSDT": {"status": "halted", "abstain": "silent", "reason": "no bar for 42 min"},
    },
}


class Halted(BaseHTTPRequestHandler):
    """A runner that may not trade one of its symbols."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()
        self.wfile.write(json.dumps(HEALTH).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_feed_that_fell_silent_needs_somebody() -> None:
    """A running runner is asked what it may do; it and a Dagster that do not answer are named."""
    with HTTPServer(("127.0.0.1", 0), Halted) as server:
        threading.Thread(target=server.handle_request).start()
        found = list(running({"runner": f"http://127.0.0.1:{server.server_port}"}))
    away = f"http://127.0.0.1:{free_port()}"
    found += running({"runner": away, "dagster": away})
    assert [(one.subject, one.well, one.found) for one in found] == [
        ("runner, BTCUSDT", True, "trading"),
        ("runner, ETHUSDT", False, "no bar for 42 min"),
        ("runner", False, "it does not answer"),
        ("Dagster", False, "it does not answer"),
    ]


def test_everything_in_the_way_of_a_start_is_named_at_once(environment: Environment) -> None:
    """Two taken ports are one message, each with the option that avoids it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        wanted = [
            Service("venue", (), one.getsockname()[1], "/"),
            Service("runner", (), other.getsockname()[1], "/"),
        ]
        with pytest.raises(ServiceError) as stopped:
            require_able(environment, wanted)
    told = str(stopped.value)
    assert ["--venue-port" in told, "--runner-port" in told] == [True, True]
    require_able(environment, wanted)


def test_a_key_that_others_can_read_is_named(environment: Environment) -> None:
    """A signing key must be 0600."""
    (environment.home / "keys" / "signing.key").chmod(0o644)
    assert sick(environment)["keys/signing.key"].found == "mode 0644"


def test_a_lost_signing_key_is_named_with_what_helps(environment: Environment) -> None:
    """The log is well, for its public key is there; only signing waits, and the command helps."""
    PromotionStore(home=str(environment.home), approval_valid_hours=1).note("drill", {"n": 1}, 5)
    (environment.home / "keys" / "signing.key").unlink()
    found = sick(environment)
    assert list(found) == ["keys/signing.key"]
    assert "tidegate keys rotate" in found["keys/signing.key"].remedy
    KeyCycle(environment.home).rotate("Ada", "lost", 6)
    assert sick(environment) == {}


def test_missing_public_keys_are_named_as_such(environment: Environment) -> None:
    """A whole log whose keys were not restored needs the keys, not another log."""
    PromotionStore(home=str(environment.home), approval_valid_hours=1).note("drill", {"n": 1}, 5)
    shutil.rmtree(environment.home / "keys")
    assert "keys/public" in sick(environment)["audit log"].remedy


def test_an_edited_audit_log_is_named(environment: Environment) -> None:
    """One changed character in the log is found, and said where."""
    PromotionStore(home=str(environment.home), approval_valid_hours=1).note("drill", {"n": 1}, 5)
    log = environment.home / "promotion" / "audit.jsonl"
    log.write_text(log.read_text().replace('"n":1', '"n":2'))
    assert "audit" in sick(environment)["audit log"].found


def test_a_broken_journal_is_named(environment: Environment) -> None:
    """A journal that is no database is reported, not raised."""
    path = environment.journal_file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database" * 100)
    assert not sick(environment)["runner journal"].well


def test_a_position_of_a_symbol_without_a_setting_is_named(environment: Environment) -> None:
    """Taken out of the universe with a position open: the doctor names it and what to do."""
    leave_open(environment.journal_file, "SOLUSDT")
    found = sick(environment)["symbols of before"]
    assert "SOLUSDT" in found.found
    assert "tidegate up" in found.remedy


def test_an_unreachable_database_is_named_without_its_password(environment: Environment) -> None:
    """The finding never shows the URL's password."""
    url = f"postgresql://me:secret@127.0.0.1:{Ports.free().dagster}/tidegate"
    found = sick(dataclasses.replace(environment, database_url=url))["database"]
    assert "secret" not in found.found + found.remedy


def test_recovery_closes_what_a_kill_left_open(environment: Environment) -> None:
    """A half-written file goes, an open run fails with what to do, and the doctor is content."""
    half = environment.home / "lake" / "market" / "candles" / "symbol=BTCUSDT" / "2025-12.tmp"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    with dg.DagsterInstance.from_config(str(environment.home / "dagster")) as instance:
        run = instance.create_run_for_job(_empty_job(), status=dg.DagsterRunStatus.STARTED)
    assert "half-written files" in sick(environment)
    done = recover(environment)
    assert [len(done), run.run_id in done[0], "2025-12.tmp" in done[1]] == [2, True, True]
    with dg.DagsterInstance.from_config(str(environment.home / "dagster")) as instance:
        assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    assert sick(environment) == {}


def _empty_job() -> dg.JobDefinition:
    @dg.op
    def nothing() -> None:
        """Do nothing."""

    @dg.job
    def idle() -> None:
        nothing()

    return idle
