"""The settings that differ between machines."""

from pathlib import Path

import pytest

from kernel.errors import TidegateError
from orchestration.environments import Environment


def test_environment_has_a_default_for_everything():
    """An empty process environment is a working installation on one machine."""
    environment = Environment.from_environ({})
    assert environment.home == Path(".tidegate")
    assert environment.venue_url == "http://127.0.0.1:8900"
    assert environment.runner_url == "http://127.0.0.1:8800"
    assert environment.mlflow_uri == "http://127.0.0.1:5000"
    assert environment.database_url is None
    assert environment.lake_root == str(Path(".tidegate/lake").resolve())
    assert environment.warehouse_url == ""
    assert (environment.config_dir / "universe.yaml").is_file()


def test_environment_reads_what_is_set():
    """Every variable moves its setting, and a trailing slash of a URL does not count."""
    environment = Environment.from_environ(
        {
            "TIDEGATE_HOME": "/state",
            "TIDEGATE_VENUE_URL": "http://venue:1/",
            "TIDEGATE_DATABASE_URL": "postgresql://u:p@db/x",
            "TIDEGATE_CONFIGS": "/etc/tidegate",
            "TIDEGATE_LAKE_URL": "s3://bucket/lake/",
        }
    )
    assert environment.journal_file == Path("/state/runner/journal.sqlite")
    assert environment.warehouse_file == Path("/state/warehouse/tidegate.duckdb")
    assert environment.venue_url == "http://venue:1"
    assert environment.database_url == "postgresql://u:p@db/x"
    assert environment.config_dir == Path("/etc/tidegate")
    assert environment.lake_root == "s3://bucket/lake"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIDEGATE_VENUE_URL", "localhost:8900"),
        ("TIDEGATE_RUNNER_URL", "ftp://runner"),
        ("TIDEGATE_DATABASE_URL", "mysql://u:p@db/x"),
    ],
)
def test_environment_refuses_what_is_no_url(name: str, value: str):
    """A value of the wrong shape is refused with the variable's name and what would be right."""
    with pytest.raises(TidegateError, match=f"{name}: found .* expected"):
        Environment.from_environ({name: value})


def test_environment_keeps_a_password_out_of_the_error():
    """The refusal of a database URL never repeats its password."""
    with pytest.raises(TidegateError, match="mysql") as refusal:
        Environment.from_environ({"TIDEGATE_DATABASE_URL": "mysql://user:hunter2@db/x"})
    assert "hunter2" not in str(refusal.value)
