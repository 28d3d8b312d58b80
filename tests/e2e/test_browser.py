"""A person walks through Dagster, MLflow, the runner's page and its docs on a demo's home."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.environments import Environment
from orchestration.local.processes import RECORD, urls_of_services
from orchestration.local.services import Ports
from orchestration.resources.promotion_store import APPROVAL_VALID_HOURS, PromotionStore
from research.promotion.records import PromotionRequest
from tests.e2e.walk import COMMANDS, browser, pages, stops, timed, visit

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ROOT = Path(__file__).resolve().parents[2]
HOME = "TIDEGATE_WALKED_HOME"  # of a demo that was run before; else one is run


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Return a demo's home whose services run."""
    pytest.importorskip("playwright", reason="needs playwright, which make test installs")
    if not browser():
        pytest.skip("needs a browser: apt-get install chromium")
    home = Path(os.environ.get(HOME) or tmp_path_factory.mktemp("walked") / "home")
    tidegate = (sys.executable, "-m", "orchestration.cli.main")
    if HOME not in os.environ:
        demo = ("demo", "--home", str(home), "--symbols", "BTCUSDT", "--days", "1")
        subprocess.run((*tidegate, *demo), cwd=ROOT, check=True, timeout=3_600)
    environment = replace(Environment.from_environ(), home=home)
    ports = [f"--{name}-port={port}" for name, port in vars_of(Ports.free()).items()]
    up = subprocess.Popen(
        (*tidegate, "up", *ports),
        cwd=ROOT,
        env={**os.environ, "TIDEGATE_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert up.stdout is not None
    for line in up.stdout:
        if "Ctrl-C" in line:
            break
    yield environment
    up.send_signal(signal.SIGINT)
    up.communicate(timeout=600)


def vars_of(ports: Ports) -> dict[str, int]:
    return {name: getattr(ports, name) for name in ("dagster", "mlflow", "runner", "venue")}


def request_of(environment: Environment) -> PromotionRequest:
    store = PromotionStore(home=str(environment.home), approval_valid_hours=APPROVAL_VALID_HOURS)
    return store.requests()[-1]


def test_every_window_shows_what_a_person_looks_for(walked: Environment) -> None:
    """Verdict, figures, limits, links and columns are there to be read; how long each page took is
    printed and not judged.
    """
    request = request_of(walked)
    urls = urls_of_services(walked.home / RECORD)
    with pages() as page:
        found = [
            visit(page, stop, None)
            for stop in stops(urls, request.symbol, request.week, request.id)
        ]
    for one in found:
        print(one)
    assert [str(one) for one in found if one.missing or one.unwanted] == []


def test_every_command_speaks(walked: Environment) -> None:
    """Status, doctor, data and show say what there is; how long each took is printed."""
    request = request_of(walked)
    for words in COMMANDS:
        named = tuple(word.format(request=request.id) for word in words)
        first_s, whole_s, said = timed(walked, named)
        print(f"{first_s:6.2f} s to speak, {whole_s:.2f} s in all  tidegate {' '.join(named)}")
        assert request.symbol in said or words == ("doctor",)
        assert "Traceback" not in said
