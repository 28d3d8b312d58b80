"""docs/live-runner.md names every endpoint, setting, metric and reason, and no others."""

import dataclasses
import random
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import Route, WebSocketRoute

from kernel.decision import Abstain
from kernel.risk import Guard
from live_runner.api.http import build_app
from live_runner.desk import Desk
from live_runner.health import HealthLimits
from live_runner.journal.journal import Journal
from live_runner.metrics import RunnerMetrics
from live_runner.settings import RunnerSettings
from tests.live_runner.inside import desk_settings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "live-runner.md").read_text()
FRAMEWORK = {"/openapi.json", "/docs/oauth2-redirect"}


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def first_column(title: str) -> set[str]:
    """Return what stands in backticks in the first column of a section's table."""
    rows = [line.split("|")[1] for line in section(title).splitlines() if line.startswith("|")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


@pytest.fixture
def served(tmp_path: Path) -> set[str]:
    """Return `METHOD /path` of everything that the runner's application answers."""
    settings = desk_settings(tmp_path, "http://venue.test")
    client = httpx.AsyncClient(base_url=settings.venue_rest)
    app: Any = build_app(Desk(settings, Journal(settings.journal), client, random.Random(1)))
    found: set[str] = set()
    for route in app.routes:
        if isinstance(route, WebSocketRoute):
            found.add(f"WS {route.path}")
        elif isinstance(route, Route) and route.path not in FRAMEWORK:
            found.update(f"{method} {route.path}" for method in (route.methods or set()) - {"HEAD"})
    return found


def test_the_page_names_the_endpoints_that_there_are(served: set[str]) -> None:
    """Nothing is served in silence, and nothing is promised."""
    assert first_column("Endpoints") == served


def test_the_page_names_every_setting() -> None:
    """A settings file can be written from the page."""
    names = {field.name for field in dataclasses.fields(RunnerSettings)}
    assert first_column("Settings") == names
    limits = [field.name for field in dataclasses.fields(HealthLimits)]
    assert [name for name in limits if f"`{name}`" not in section("Settings")] == []


def test_the_page_names_every_reason_to_stay_out() -> None:
    """Abstentions and guards stand in the section on what keeps a bar from opening."""
    title = "What keeps a bar from opening a position"
    assert first_column(title) == {one.name for one in Abstain if one is not Abstain.NONE}
    guards = [one.name for one in Guard if one is not Guard.NONE]
    assert [name for name in guards if f"`{name}`" not in section(title)] == []


def test_the_page_names_every_metric() -> None:
    """What Prometheus can collect is listed, without what the process collector brings."""
    text = RunnerMetrics().render().decode()
    families = text_string_to_metric_families(text)
    exported = {one.name for one in families if not one.name.endswith("_created")}
    assert first_column("Metrics") == {name for name in exported if name.startswith("tidegate_")}
