"""The page of tuning is typed: its search, its study and its ledger, on a small market."""

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from orchestration.cli.main import app
from orchestration.resources.tracking import EXPERIMENT
from research.strict import read
from research.tuning.studies import Variant
from tests.installation import ROOT, SYMBOL, WEEK, Installation

PAGE = (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_what_the_page_says_can_be_typed(
    copied: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search proposes, the proposal is adopted, the study answers in its folder, and the ledger
    counts all of it.
    """
    monkeypatch.chdir(tmp_path)
    validation = copied.environment.config_dir / "validation.yaml"
    few = yaml.safe_load(validation.read_text()) | {"gate_folds": 1}  # four weeks before the gates
    (tmp_path / "mine.yaml").write_text(blocks("yaml")[0])
    tune, adopt, study, trials = (block.split()[1:] for block in blocks("sh"))
    assert tune[1:4] == [SYMBOL, "--week", WEEK]
    tune[tune.index("20")] = "2"
    typed(copied, *tune)
    (proposal,) = (copied.home / "trials" / SYMBOL / "proposals").iterdir()
    typed(copied, *(str(proposal) if "<search>" in word else word for word in adopt))
    validation.write_text(yaml.safe_dump(few))
    said = typed(copied, *study)
    assert "variants survive in the 90% confidence set" in said.replace("\n", " ")
    (folder,) = (copied.home / "studies").iterdir()
    report = (folder / "report.md").read_text()
    assert report.startswith("# mine")
    assert "timetable" in report
    assert (folder / "comparison.png").exists()
    assert f"{SYMBOL}: 8 trials: 3 search, 4 study, 1 weekly" in typed(copied, *trials)
    assert tracked(copied) == {"study mine", "today", "timetable", "forest", "bolder"}
    again = typed(copied, *study)
    assert f"week {WEEK}" not in again
    assert f"{SYMBOL}: 8 trials" in typed(copied, *trials)


def tracked(installation: Installation) -> set[str]:
    """Return the names of the study's run in MLflow and of those in it."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{installation.home / 'mlflow' / 'mlflow.db'}")
    (experiment,) = [one for one in client.search_experiments() if one.name == EXPERIMENT]
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if run.info.run_name == "study mine"]
    within = {"mlflow.parentRunId": parent.info.run_id}.items()
    return {parent.info.run_name} | {
        run.info.run_name for run in runs if within <= run.data.tags.items()
    }


def typed(installation: Installation, *words: str) -> str:
    """Return what the command says in the installation; it must exit with 0."""
    environ = {
        "TIDEGATE_HOME": str(installation.home),
        "TIDEGATE_CONFIGS": str(installation.environment.config_dir),
    }
    done = CliRunner().invoke(app, words, env=environ)
    assert done.exit_code == 0, done.stdout
    return done.stdout


def test_the_page_names_every_key_of_a_variant() -> None:
    """Whoever writes a study finds what may differ."""
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert set(rows) == set(Variant.__dataclass_fields__)


def test_the_pages_study_reads_as_one(tmp_path: Path) -> None:
    """Its YAML is a study to the letter."""
    from research.tuning.studies import Study

    path = tmp_path / "mine.yaml"
    path.write_text(blocks("yaml")[0])
    assert read(Study, path).benchmark == "today"
