"""A walk through the windows that a person opens, on a running installation, with a browser.

`python -m tests.e2e.walk docs/images` takes the pictures of the documentation on the services of
TIDEGATE_HOME; `test_browser.py` asserts what a person looks for.
"""

import io
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from orchestration.environments import Environment
from orchestration.local.processes import RECORD, urls_of_services
from orchestration.presentation.places import approval_page
from orchestration.resources.runs_table import runs_table

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDE = {"width": 1440, "height": 900}
LONGEST_MS = 120_000.0  # says "never shown"; how long it took is printed
COMMANDS = (("status",), ("doctor",), ("data",), ("show", "{request}"))


@dataclass(frozen=True, slots=True)
class Stop:
    """One page: where it is, what a person looks for on it, and the picture of it, if one is kept.

    `seen` are texts that must be there, `unseen` those that must not.
    """

    name: str
    url: str
    seen: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    picture: str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """What a stop came to: seconds until everything was seen, what was not, what should not be."""

    stop: Stop
    seconds: float
    missing: tuple[str, ...]
    unwanted: tuple[str, ...]

    def __str__(self) -> str:
        faults = [*(f"no {one!r}" for one in self.missing), *(f"{one!r}" for one in self.unwanted)]
        return f"{self.seconds:6.2f} s  {self.stop.name}  {'; '.join(faults)}".rstrip()


def browser() -> str:
    """Return the path of Debian's Chromium, '' where there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), "")


def stops(urls: Mapping[str, str], symbol: str, week: str, request_id: str) -> list[Stop]:
    """Return the pages of a demo's home on which a candidate was accepted."""
    dagster = urls["dagster"]
    partition = quote(f"{symbol}|{week}", safe="")
    verdict = f"{symbol} {week} accepted: every gate passed"

    def asset(name: str, *seen: str) -> Stop:
        url = f"{dagster}/assets/{name}?view=overview&partition={partition}"
        return Stop(f"Dagster {name}", url, seen, unseen=("nan",))

    return [
        Stop(
            "Dagster lineage",
            f"{dagster}/asset-groups",
            ("promotion", "market", "datasets"),
            picture="dagster.png",
        ),
        asset(
            "promotion/request",
            verdict,
            "candidate_and_champion",
            "limit",
            "worst fold's profit factor",
            "believing it",
            "tidegate approve",
        ),
        asset("gates/report", verdict, "fold_profit_factor", "min_fold_win_rate"),
        asset("backtest/walk_forward", "accounts", "folds", " … "),
        Stop(
            "Dagster plots of the gate",
            f"{dagster}/assets/gates/report?view=events&asOf=&section=plots",
            ("score",),
        ),
        Stop("Dagster runs", f"{dagster}/runs", ("retrain_job", "tidegate/gate")),
        Stop("Dagster jobs", f"{dagster}/jobs", ("retrain_job", "approve_promotion_job")),
        Stop("Dagster automation", f"{dagster}/automation", ("approval_sensor", "swap_sensor")),
        Stop(
            "Dagster Launchpad, prefilled",
            f"{dagster}{approval_page(request_id)}",
            ("request_id", request_id),
        ),
        Stop(
            "MLflow runs",
            runs_table(urls["mlflow"]),
            ("score", "worst_fold_profit_factor", f"{symbol} {week}"),
            picture="mlflow.png",
        ),
        Stop("the runner's page", urls["runner"], (symbol, "may trade"), picture="runner.png"),
        Stop("the runner's docs", f"{urls['runner']}/docs", ("Authorize", "/model/info")),
    ]


@contextmanager
def pages() -> Iterator[Any]:
    """Yield a page of a new browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser(), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield chromium.new_page(viewport=WIDE)
        finally:
            chromium.close()


def visit(page: Any, stop: Stop, pictures: Path | None) -> Visit:
    """Open a page, wait for each text, and take its picture where one is kept."""
    from playwright.sync_api import Error

    began = time.monotonic()
    page.goto(stop.url, wait_until="domcontentloaded", timeout=LONGEST_MS)
    missing: list[str] = []
    for text in stop.seen:
        try:
            page.wait_for_function(
                "text => document.body.innerText.includes(text)",
                arg=text,
                timeout=LONGEST_MS if not missing else 1_000.0,
            )
        except Error:
            missing.append(text)
    seconds = time.monotonic() - began
    text = page.inner_text("body")
    unwanted = [one for one in stop.unseen if re.search(rf"\b{re.escape(one)}\b", text)]
    if pictures is not None:
        name = stop.picture or f"{stop.name.replace(' ', '_').replace('/', '_')}.png"
        _keep(page.screenshot(), pictures / name)
    return Visit(stop, seconds, tuple(missing), tuple(unwanted))


def _keep(picture: bytes, path: Path) -> None:
    """Write a picture in 128 colours: half the bytes, and no difference to the eye."""
    from PIL import Image

    shot = Image.open(io.BytesIO(picture)).convert("RGB")
    shot.quantize(128).save(path, optimize=True)


def timed(environment: Environment, words: tuple[str, ...]) -> tuple[float, float, str]:
    """Run a command; return seconds to its first output and to its end, and what it said."""
    command = [sys.executable, "-m", "orchestration.cli.main", *words]
    began = time.monotonic()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TIDEGATE_HOME": str(environment.home)},
        cwd=Path(__file__).resolve().parents[2],
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        first_s = time.monotonic() - began
        said = first + process.stdout.read()
    return first_s, time.monotonic() - began, said


def main(pictures: Path) -> None:
    """Walk through the services of TIDEGATE_HOME and keep a picture of every stop."""
    from orchestration.resources.promotion_store import APPROVAL_VALID_HOURS, PromotionStore

    environment = Environment.from_environ()
    store = PromotionStore(home=str(environment.home), approval_valid_hours=APPROVAL_VALID_HOURS)
    request = store.requests()[-1]
    urls = urls_of_services(environment.home / RECORD)
    pictures.mkdir(parents=True, exist_ok=True)
    with pages() as page:
        for stop in stops(urls, request.symbol, request.week, request.id):
            print(visit(page, stop, pictures), flush=True)
    for words in COMMANDS:
        named = tuple(word.format(request=request.id) for word in words)
        first_s, whole_s, _ = timed(environment, named)
        print(f"{first_s:6.2f} s to speak, {whole_s:.2f} s in all  tidegate {' '.join(named)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
