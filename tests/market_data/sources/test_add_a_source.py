"""The page that says how to add a source works as written, and names all there is."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from market_data.sources.catalogue import ADAPTERS
from market_data.sources.files import Files
from market_data.sources.forms import parse
from market_data.universe import FilesSettings, SourceSettings
from tests.hung import HUNG_S
from tests.market_data.sources.layouts import START_MS, candles

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/add-a-source.md"
_FILE = re.compile(r"^`(?P<path>[\w./]+)`:\n\n```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def followed(tmp_path: Path) -> Path:
    """Return a folder with every file that the page tells a person to write."""
    blocks = {match["path"]: match["text"] for match in _FILE.finditer(PAGE.read_text())}
    assert set(blocks) == {
        "my_sources/harbour.py",
        "configs/universe.yaml",
        "try_harbour.py",
        "test_harbour.py",
    }
    for name, text in blocks.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    """Return what a Python started in the folder says; it sees the project and the folder."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{ROOT}", "PATH": "", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=HUNG_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_page_leads_to_an_ingest(followed: Path):
    """The new source fills the table through universe.yaml alone, and a second run adds nothing."""
    frame = candles(START_MS, 192).round(6)
    for day in range(2):
        lines = [
            f"{k * 900},{row.open!r},{row.high!r},{row.low!r},{row.close!r},{1_000 * row.volume!r}"
            for k, row in enumerate(frame[96 * day : 96 * day + 96].itertuples())
        ]
        path = followed / f"harbour-files/BTCUSDT/2024-01-0{day + 1}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["second,open,high,low,close,lots", *lines, ""]))
    said = run(followed, "try_harbour.py").splitlines()
    assert said[0] == "first 192 added 0 quarantined"
    assert said[1] == "second 0 added 0 quarantined"
    assert said[2] == "192 rows of harbour"


def test_page_has_a_test_that_passes(followed: Path):
    """The tests on the page are green."""
    said = run(followed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_harbour.py")
    assert "2 passed" in said


def test_page_names_every_adapter_and_every_setting():
    """A new adapter or setting that is missing from the page fails here."""
    page = PAGE.read_text()
    settings = [field.name for kind in (SourceSettings, FilesSettings) for field in fields(kind)]
    missing = [name for name in (*ADAPTERS, *settings) if f"`{name}" not in page]
    assert missing == []


def test_page_describes_files_that_can_be_read(tmp_path: Path):
    """The settings shown for files of one's own layout are settings, and their forms are forms."""
    import yaml

    block = re.search(r"```yaml\n(  mine:.*?)```", PAGE.read_text(), re.DOTALL)
    assert block
    described = yaml.safe_load(block[1])["mine"]
    settings = TypeAdapter(SourceSettings).validate_json(json.dumps(described))
    assert Files("mine", settings, settings.path).tables == {"candles", "funding", "trades"}
    for table in settings.tables.values():
        assert all(parse(form).names for form in table.columns.values())
