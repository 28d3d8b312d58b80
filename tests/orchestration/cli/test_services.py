"""What the services of a local Tidegate are started with."""

from dataclasses import replace
from pathlib import Path

from orchestration.cli.services import Ports, child_environment
from orchestration.environments import Environment


def test_services_work_on_the_installation_of_the_command(tmp_path: Path) -> None:
    """The command's choice counts, not what the shell it was typed in happens to name."""
    shell = {"TIDEGATE_HOME": str(tmp_path), "TIDEGATE_LAKE_URL": "s3://team/lake"}
    team = Environment.from_environ(shell)
    assert child_environment(team, Ports())["TIDEGATE_LAKE_URL"] == "s3://team/lake"
    alone = child_environment(replace(team, home=tmp_path / "demo", lake_url=""), Ports())
    assert Environment.from_environ(alone).lake_root == str(tmp_path / "demo" / "lake")
    assert Environment.from_environ(alone).config_dir == team.config_dir.resolve()
