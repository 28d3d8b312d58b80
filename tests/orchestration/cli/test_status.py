"""`tidegate status` and `tidegate show`: what waits, what stands, and each thing by its name."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration.cli.main import app
from orchestration.cli.status import age
from orchestration.resources.clock import now_ms
from research.promotion.records import PromotionRequest
from tests.trust.scene import Scene, staged


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Return a home where Y is champion after X was, went back to X, and one request waits."""
    home = tmp_path_factory.mktemp("home")
    older, newer, newest = staged(home)
    one = Scene(home)
    one.roll_back("loses at night", to=older)
    first = one.store.requests()[0]
    asked = replace(
        first,
        bundle_digest=newest,
        week="2025-12-21",
        champion_digest=newer,
        created_at_ms=now_ms() - 3 * 3_600_000,
        thresholds={"min_shared_bars": 0.4, "believable_sharpe": 5.0},
        figures={"score": 27.5, "champion_score": 26.87, "sharpe": 28.0},
    )
    one.store.submit(asked, now_ms())
    return one


def said(scene: Scene, *words: str) -> str:
    environ = {"TIDEGATE_HOME": str(scene.home), "TIDEGATE_RUNNER_URL": "http://127.0.0.1:9"}
    result = CliRunner().invoke(app, words, env=environ)
    return " ".join(result.stdout.split())


def waiting(scene: Scene) -> PromotionRequest:
    (one,) = scene.store.pending()
    return one


def test_status_says_what_waits_and_what_to_type(scene: Scene) -> None:
    """Age, verdict, difference to the champion, what is too good, and the exact command."""
    shown = said(scene, "status")
    assert (
        "BTCUSDT 2025-12-21 waits for 3 h: every gate passed, score 27.5, champion 26.87" in shown
    )
    assert "Δ +0.63" in shown
    assert "too good: Sharpe 28 > 5" in shown
    assert f'tidegate approve {waiting(scene).id} --as "<your name>"' in shown


def test_status_says_what_stands_since_when_and_who_went_back(scene: Scene) -> None:
    """The champion with its epoch, and the last rollback with person and reason."""
    shown = said(scene, "status")
    champion = scene.store.standing("BTCUSDT").champion
    assert f"last rollback: BTCUSDT to {champion[:12]} as epoch 3" in shown
    assert "by Ada: loses at night" in shown
    assert re.search(rf"BTCUSDT \S {champion[:12]} \S 3 \S \d{{4}}-\d\d-\d\d \d\d:\d\d UTC", shown)


def test_show_knows_a_request_by_its_id(scene: Scene) -> None:
    """Figures, what it binds, and what to type."""
    shown = said(scene, "show", waiting(scene).id)
    assert "verdict" in shown
    assert "Δ +0.63" in shown
    assert waiting(scene).thresholds_digest[:12] in shown
    assert "tidegate approve" in shown


def test_show_knows_a_bundle_and_a_decision_by_their_first_digits(scene: Scene) -> None:
    """A bundle with its publications, a decision with who gave it and until when it holds."""
    champion = scene.store.standing("BTCUSDT").champion
    shown = said(scene, "show", champion[:12])
    assert "BTCUSDT 15m" in shown
    assert "epoch 3" in shown
    answered = next(one for one in scene.store.requests() if scene.store.approval(one.id))
    answer = scene.store.approval(answered.id)
    assert answer is not None
    shown = said(scene, "show", answer.digest[:10])
    assert answered.id in shown
    assert "approved by Ada" in shown


@pytest.mark.parametrize("name", ["nothing", "../../etc/passwd", "*", "abcdef012345"])
def test_show_says_what_there_is_where_it_knows_nothing(scene: Scene, name: str) -> None:
    """A name that is none gets a sentence with the requests on file."""
    shown = said(scene, "show", name)
    assert f"found nothing called '{name}'" in shown
    assert waiting(scene).id in shown


@pytest.mark.parametrize(
    ("seconds", "told"), [(5, "5 s"), (119, "119 s"), (121, "2 min"), (7_300, "2 h"), (3e5, "3 d")]
)
def test_an_age_is_said_in_the_largest_unit_that_says_something(seconds: float, told: str) -> None:
    """A person reads hours as hours."""
    assert age(0.0, seconds) == told


def test_status_speaks_before_the_heavy_libraries_load() -> None:
    """Its module brings neither numpy nor an HTTP client: each part loads what it needs."""
    code = (
        "import sys, orchestration.cli.status; "
        "print(sorted({'numpy', 'httpx', 'pandas', 'dagster'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert done.stdout.strip() == "[]"
