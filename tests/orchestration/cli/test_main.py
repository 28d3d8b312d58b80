"""The command line as a newcomer meets it."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration.cli.main import app
from orchestration.resources.promotion_store import ensure_keys

COMMANDS = (
    "demo", "up", "status", "show", "approve", "decline", "rollback", "keys", "doctor", "trials",
    "tune", "study",
)  # fmt: skip


@pytest.fixture
def invoke(tmp_path: Path):
    ensure_keys(tmp_path / "home")
    environ = {"TIDEGATE_HOME": str(tmp_path / "home"), "TIDEGATE_RUNNER_URL": "http://127.0.0.1:9"}
    return lambda *words: CliRunner().invoke(app, words, env=environ)


def test_help_says_what_each_command_does(invoke) -> None:
    """Every command stands in the overview, and each has a help of its own."""
    overview = invoke("--help")
    assert all(command in overview.stdout for command in COMMANDS)
    assert all(invoke(command, "--help").exit_code == 0 for command in COMMANDS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("approve", "none", "--as", "Ada"), "request: found 'none', expected one of []"),
        (("decline", "none", "--as", "Ada", "--note", "no"), "found 'none'"),
        (
            ("rollback", "BTCUSDT", "--as", "Ada", "--reason", "drill"),
            "expected a champion before the present one",
        ),
        (
            ("rollback", "BTCUSDT", "--as", "Ada", "--reason", "drill", "--to", "../../etc"),
            "expected the first 8 digits or more of one earlier version",
        ),
        (("approve", "../x", "--as", "Ada"), "found the id '../x', expected a plain name"),
        (("ingest", "--symbol", "NOPE"), "found 'NOPE', expected one of BTCUSDT, ETHUSDT"),
        (("retrain", "NOPE"), "found 'NOPE', expected one of BTCUSDT, ETHUSDT"),
        (("retrain", "BTCUSDT", "--week", "yesterday"), "expected a Sunday from 20"),
        (("retrain", "BTCUSDT", "--week", "2025-12-13"), "found '2025-12-13', expected a Sunday"),
        (("data", "--symbol", "NOPE"), "found 'NOPE', expected one of BTCUSDT, ETHUSDT"),
        (("data", "at", "BTCUSDT", "1e99"), "found '1e99', expected ISO 8601"),
        (("demo", "--home", "README.md"), "README.md"),
        (("demo", "--recorded", "README.md"), "found no folder README.md"),
        (("demo", "--recorded", "nowhere"), "found no folder nowhere"),
        (("demo", "--recorded", "docs"), "found candles of BTCUSDT until None"),
    ],
)
def test_wrong_input_gets_a_sentence_and_exit_1(invoke, words: tuple[str, ...], said: str) -> None:
    """What was found and expected is printed; no traceback."""
    result = invoke(*words)
    assert result.exit_code == 1
    assert said in result.stdout.replace("\n", " ")
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (("TIDEGATE_CONFIGS", "nowhere"), "nowhere/universe.yaml: found no such file"),
        (("TIDEGATE_HOME", "README.md"), "Not a directory"),
        (("TIDEGATE_LAKE_URL", "gs://b/l"), "expected a folder or s3://"),
        (("TIDEGATE_DATABASE_URL", "nonsense"), "expected postgresql://"),
    ],
)
@pytest.mark.parametrize("words", [("data",), ("status",), ("doctor",)])
def test_wrong_settings_get_a_sentence_wherever_they_are_met(
    tmp_path: Path, words: tuple[str, ...], setting: tuple[str, str], said: str
) -> None:
    """A command either needs no such setting and does its work, or names what is wrong with it."""
    ensure_keys(tmp_path / "home")
    environ = {"TIDEGATE_HOME": str(tmp_path / "home"), "TIDEGATE_RUNNER_URL": "http://127.0.0.1:9"}
    result = CliRunner().invoke(app, words, env=environ | dict([setting]))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    told = said in result.stdout.replace("\n", " ")
    assert told or "tidegate:" not in result.stdout


def test_a_demo_never_empties_a_folder_that_no_demo_made(invoke, tmp_path: Path) -> None:
    """Files of somebody else in --home are left, and named."""
    precious = tmp_path / "mine" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("years of work")
    result = invoke("demo", "--home", str(tmp_path / "mine"))
    assert [result.exit_code, precious.read_text()] == [1, "years of work"]
    assert "that no demo made" in result.stdout.replace("\n", " ")


def test_status_of_an_empty_home_makes_nothing(tmp_path: Path) -> None:
    """Who only looks leaves no key behind, nor a lock, nor a folder for one."""
    home = tmp_path / "home"
    environ = {"TIDEGATE_HOME": str(home), "TIDEGATE_RUNNER_URL": "http://127.0.0.1:9"}
    result = CliRunner().invoke(app, ("status",), env=environ)
    assert result.exit_code == 0
    assert not home.exists()


def test_keys_are_listed_rotated_and_revoked(invoke) -> None:
    """The three commands end in what the list shows; the key that signs is not revoked."""
    old = re.findall(r"[0-9a-f]{16}", invoke("keys", "list").stdout)[0]
    assert invoke("keys", "rotate", "--as", "Ada", "--reason", "drill").exit_code == 0
    assert invoke("keys", "revoke", old, "--as", "Ada", "--reason", "drill").exit_code == 0
    listed = invoke("keys", "list").stdout
    (new,) = set(re.findall(r"[0-9a-f]{16}", listed)) - {old}
    assert "revoked" in listed
    refused = invoke("keys", "revoke", new, "--as", "Ada", "--reason", "drill")
    assert refused.exit_code == 1
    assert "found the key that signs" in refused.stdout.replace("\n", " ")


def test_status_without_services_says_so(invoke) -> None:
    """A stopped installation still shows requests and symbols."""
    shown = " ".join(invoke("status").stdout.split())
    assert "services stopped" in shown
    assert "BTCUSDT" in shown


@pytest.mark.parametrize("speed", ["0", "-3", "nan", "2000000", "fast"])
def test_up_refuses_a_speed_at_which_no_market_runs(invoke, speed: str) -> None:
    """Before anything is started, and by the name of the option."""
    result = invoke("up", "--speed", speed)
    assert result.exit_code == 2
    assert "--speed" in result.output
