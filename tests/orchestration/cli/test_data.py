"""`tidegate data`: what a person asks of the lake in a shell."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from market_data.storage.lake import Lake
from orchestration.cli.main import app, console
from tests.installation import CUTOFF_MS, HISTORY_WEEKS, ROOT, SYMBOL, fill_lake

HOUR_MS = 3_600_000
LATE_MS = CUTOFF_MS + 5 * HOUR_MS


class Shell:
    """The command in an installation with twelve generated weeks."""

    def __init__(self, home: Path) -> None:
        self.configs = home / "configs"
        shutil.copytree(ROOT / "configs", self.configs)
        self.environ = {
            "TIDEGATE_HOME": str(home),
            "TIDEGATE_CONFIGS": str(self.configs),
        }
        self.lake = Lake(root=str(home / "lake"))

    def __call__(self, *words: str) -> str:
        console.width = 300
        result = CliRunner().invoke(app, ("data", *words), env=self.environ)
        assert "Traceback" not in result.stdout
        self.exit_code = result.exit_code
        return result.stdout

    def funding(self, rate: float, event_ms: int, now_ms: int) -> None:
        row = {"event_time_ms": [event_ms], "known_at_ms": [event_ms + 60_000], "source": ["x"]}
        self.lake.append("funding", SYMBOL, pd.DataFrame({**row, "funding_rate": [rate]}), now_ms)

    def arrive(self, series: str, lags_ms: list[int]) -> None:
        times = [CUTOFF_MS + 1_000 * k for k in range(len(lags_ms))]
        known = [time + lag for time, lag in zip(times, lags_ms, strict=True)]
        columns: dict[str, Any] = {"event_time_ms": times, "known_at_ms": known}
        rows = pd.DataFrame({**columns, "source": "recorder", "series": series, "lag_ms": lags_ms})
        self.lake.append("arrivals", SYMBOL, rows, max(known))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("filled") / "home"
    shell = Shell(home)
    fill_lake(shell.lake)
    return home


@pytest.fixture
def shell(filled: Path, tmp_path: Path) -> Shell:
    one = Shell(tmp_path / "home")
    shutil.copytree(filled / "lake", tmp_path / "home" / "lake")
    return one


def test_holdings_show_rows_coverage_and_digest(shell: Shell) -> None:
    """Every table of the universe is a line, and first come those without a single row."""
    lines = [line for line in shell().splitlines() if "USDT" in line]
    assert shell.exit_code == 0
    line = next(line for line in lines if f"{SYMBOL} │ candles" in line)
    assert "100.0000%" in line
    assert f"{HISTORY_WEEKS * 7 * 96:,}" in line
    absent = ["no rows" in line for line in lines]
    assert absent == sorted(absent, reverse=True)
    assert sum(absent) > 0
    assert "no rows of binance" in next(line for line in lines if "ETHUSDT │ candles" in line)


def test_a_person_accepts_a_span_and_takes_it_back(shell: Shell) -> None:
    """Who accepted what, and why, is shown until it is withdrawn by its number."""
    said = shell(
        "accept", "candles", SYMBOL, "2025-12-14T00:07", "--as", "Ada", "--reason", "an outage"
    )
    assert "from 2025-12-14 00:00:00 to 2025-12-14 00:15:00 UTC counts as missing" in said
    shown = shell("accepted")
    assert "Ada" in shown
    assert "an outage" in shown
    assert "judged again" in shell("withdraw", "0", "--as", "Grace", "--reason", "it was filled")
    assert "nothing is accepted" in shell("accepted")
    assert "no acceptance 0" in shell("withdraw", "0", "--as", "Grace", "--reason", "again")
    assert shell.exit_code == 1


def test_a_hole_is_shown(shell: Shell) -> None:
    """Missing bars are counted as holes, with the longest."""
    last = shell.lake.as_of("candles", SYMBOL, LATE_MS).tail(1)
    later = last.assign(
        event_time_ms=last["event_time_ms"] + 5 * 900_000,
        known_at_ms=last["known_at_ms"] + 5 * 900_000,
    ).drop(columns="revision")
    shell.lake.append("candles", SYMBOL, later, LATE_MS)
    assert "1 (longest 4)" in shell("--symbol", SYMBOL)


def test_an_empty_lake_says_what_to_do(tmp_path: Path) -> None:
    """A newcomer reads what fills the lake."""
    assert "ingest_job" in Shell(tmp_path / "home")()


def test_what_was_known_at_a_moment_does_not_change_with_a_correction(shell: Shell) -> None:
    """Before the correction was learned the old rate is shown, after it the new one."""
    event_ms = CUTOFF_MS - 8 * HOUR_MS
    shell.funding(0.00123, event_ms, LATE_MS)
    before = shell("at", SYMBOL, "2025-12-14T04:59")
    after = shell("at", SYMBOL, "2025-12-14T05:01")
    assert "0.00123" not in before
    assert "0.00123" in after
    assert "2025-12-13 16:01:00" in before  # known a minute after its event


def test_a_diff_names_the_rows_that_moved(shell: Shell) -> None:
    """The corrected settlement is named with both values; nothing else moved."""
    event_ms = CUTOFF_MS - 8 * HOUR_MS
    shell.funding(0.00123, event_ms, LATE_MS)
    shown = shell("diff", SYMBOL, "2025-12-14T04:59", "2025-12-14T05:01")
    assert "1 corrected values" in shown
    assert "2025-12-13 16:00:00" in shown
    assert "0.00123" in shown
    assert "0 corrected values" in shell("diff", SYMBOL, "2025-12-14T03:00", "2025-12-14T04:59")


def test_lags_are_compared_and_adopted(shell: Shell) -> None:
    """A measured lag above the setting is written into universe.yaml, and only that."""
    shell.arrive("funding", [90_500] * 50)
    shell.arrive("open_interest", [2_000] * 50)
    shown = shell("lags")
    assert "too short" in next(line for line in shown.splitlines() if "funding" in line)
    assert "kept" in next(line for line in shown.splitlines() if "open_interest" in line)
    before = yaml.safe_load((shell.configs / "universe.yaml").read_text())
    assert "60,000 → 91,000" in shell("lags", "--adopt")
    after = yaml.safe_load((shell.configs / "universe.yaml").read_text())
    assert after["market"]["funding"]["publication_lag_ms"] == 91_000
    after["market"]["funding"]["publication_lag_ms"] = 60_000
    assert after == before
    assert "nothing to adopt" in shell("lags", "--adopt")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("at", "DOGEUSDT", "now"), "found 'DOGEUSDT'"),
        (("at", SYMBOL, "yesterday"), "found 'yesterday'"),
        (
            ("diff", SYMBOL, "2025-12-20", "2025-01-01"),
            "found 2025-12-20 00:00 as the earlier moment",
        ),
        (
            ("accept", "candels", SYMBOL, "2025-12-14", "--as", "Ada", "--reason", "x"),
            "found 'candels'",
        ),
    ],
)
def test_wrong_words_are_named(shell: Shell, words: tuple[str, ...], said: str) -> None:
    """A symbol or time that is none gets a sentence and exit 1."""
    assert said in shell(*words).replace("\n", " ")
    assert shell.exit_code == 1


@pytest.mark.parametrize("words", [(), ("lags",), ("at", SYMBOL, "now")])
def test_lake_on_an_unknown_store_is_one_sentence(shell: Shell, words: tuple[str, ...]) -> None:
    """Whatever is asked of it, and no traceback."""
    shell.environ["TIDEGATE_LAKE_URL"] = "gs://bucket/lake"
    assert "found 'gs://bucket/lake', expected a folder or s3://" in shell(*words)
    assert shell.exit_code == 1
