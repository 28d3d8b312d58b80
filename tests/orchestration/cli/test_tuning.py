"""A person searches, reads what was found, and adopts it in their own name."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from orchestration.cli.main import app
from orchestration.cli.tuning import ADOPTED, with_values
from research.models.bases import load
from research.tuning.spaces import parameters_of
from tests.installation import SYMBOL, WEEK, Installation


@pytest.fixture
def invoke(copied: Installation):
    environ = {
        "TIDEGATE_HOME": str(copied.home),
        "TIDEGATE_CONFIGS": str(copied.environment.config_dir),
    }
    return lambda *words: CliRunner().invoke(app, words, env=environ)


def entries(installation: Installation) -> list[dict[str, object]]:
    return [dict(one.body) for one in installation.store.entries() if one.kind == ADOPTED]


def test_what_a_search_proposes_is_adopted_by_name(copied: Installation, invoke) -> None:
    """`tune` runs the job and prints the proposal; `--adopt` writes it once, on the log as the act
    of a person; nothing else touches the settings.
    """
    target = copied.environment.config_dir / "models" / "lightgbm.yaml"
    before = target.read_text()
    found = invoke("tune", SYMBOL, "--week", WEEK, "--trials", "3")
    assert found.exit_code == 0, found.stdout
    assert "3 trials" in found.stdout
    assert target.read_text() == before
    listed = invoke("trials", "--symbol", SYMBOL)
    assert f"{SYMBOL}: 5 trials: 4 search, 1 weekly" in listed.stdout
    (path,) = (copied.home / "trials" / SYMBOL / "proposals").iterdir()
    proposal = yaml.safe_load(path.read_text())
    assert proposal["proposed"] != proposal["current"], proposal["verdict"]

    nameless = invoke("tune", "--adopt", str(path))
    assert (nameless.exit_code, entries(copied)) == (1, [])
    assert "--as <name>" in nameless.stdout.replace("\n", " ")
    for _ in range(2):
        assert invoke("tune", "--adopt", str(path), "--as", "Ada").exit_code == 0
    written = yaml.safe_load(target.read_text())
    assert written == {k: v for k, v in proposal["proposed"].items() if k in written}
    (act,) = entries(copied)
    assert (act["actor"], act["from"], act["to"]) == (
        "Ada",
        proposal["current"],
        proposal["proposed"],
    )
    assert (
        copied.resources["settings"].tuned("lightgbm")[0].settings.rounds
        == (proposal["proposed"]["rounds"])
    )


def test_a_proposal_is_not_adopted_over_other_settings(
    copied: Installation, invoke, tmp_path: Path
) -> None:
    """What it was judged against is no more what stands there: it says which setting, and leaves
    the file and the log as they are.
    """
    target = copied.environment.config_dir / "models" / "lightgbm.yaml"
    written = yaml.safe_load(target.read_text())
    today = parameters_of(load("lightgbm", target.parent))
    proposal = tmp_path / "proposal.yaml"
    proposal.write_text(yaml.safe_dump(_proposal(today | {"leaves": 99}, today | {"rounds": 9})))
    result = invoke("tune", "--adopt", str(proposal), "--as", "Ada")
    assert result.exit_code == 1
    assert "found leaves 7, expected 99" in result.stdout.replace("\n", " ")
    assert yaml.safe_load(target.read_text()) == written
    assert entries(copied) == []


def _proposal(current: dict[str, object], proposed: dict[str, object]) -> dict[str, object]:
    return {
        "search": "s",
        "symbol": SYMBOL,
        "week": WEEK,
        "base": "lightgbm",
        "objective": "log_loss",
        "current": current,
        "proposed": proposed,
        "current_score": 1.0,
        "score": 0.9,
        "difference": None,
        "tally": {"complete": 1, "pruned": 0, "failed": 0, "running": 0},
        "folds": 1,
        "rows": 1,
        "until_ms": 1,
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tune", "NOPE"), "found 'NOPE', expected one of BTCUSDT"),
        (("tune", SYMBOL, "--base", "magic"), "found 'magic', expected one of "),
        (("tune", SYMBOL, "--week", "2025-11-30"), "tidegate retrain BTCUSDT --week 2025-11-30"),
        (("tune", "--adopt", "nowhere.yaml", "--as", "Ada"), "found no such file"),
        (("tune", "--adopt", "README.md", "--as", "Ada"), "no proposal"),
    ],
)
def test_what_cannot_be_searched_or_adopted_gets_a_sentence(
    invoke, words: tuple[str, ...], said: str
) -> None:
    """What was found and expected is printed; no traceback."""
    result = invoke(*words)
    assert result.exit_code == 1
    assert said in result.stdout.replace("\n", " ")
    assert "Traceback" not in result.stdout


def test_comments_of_a_settings_file_stay() -> None:
    """Only values change; numbers that YAML would read as text are written with a point."""
    text = "# why\nrounds: 70   # few\nrate: 0.05\nname: gain\n"
    changed = with_values(text, {"rounds": 9, "rate": 1e-05, "name": "split"})
    assert changed == "# why\nrounds: 9   # few\nrate: 1.0e-05\nname: split\n"
