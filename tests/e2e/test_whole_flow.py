"""The demo as a person starts it: real venue, runner, MLflow and Dagster with its daemon."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.local.processes import read_record

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 3_600  # hung: on a busy laptop it has taken a quarter of an hour


@pytest.mark.e2e
@pytest.mark.slow  # test_publication.py drives the same from a retrain to a real runner
@pytest.mark.timeout(TIMEOUT_S)
def test_raw_market_data_becomes_a_model_that_trades(tmp_path: Path) -> None:
    """One symbol goes from ingest to a swapped bundle and a traded day; nothing is left running."""
    home = tmp_path / "home"
    out = tmp_path / "demo.json"
    command = [sys.executable, "-m", "orchestration.cli.main", "demo", "--symbols", "BTCUSDT"]
    run = subprocess.run(
        [*command, "--days", "1", "--home", str(home), "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads(out.read_text())
    week = report["runner"]["BTCUSDT"]
    assert report["gates"]["BTCUSDT"]["accepted"], run.stdout
    assert week["digest"] == report["bundles"]["BTCUSDT"]
    assert [week["missed"], week["epoch"], week["refusals"]] == [0, 1, []]
    assert week["decided"] >= 96
    assert report["stages"][-1]["result"] == "0 differing bytes"
    assert read_record(home / "processes.json") == (None, [])
    pause_us = week["swaps"][-1]["pause_us"]
    print(f"{report['seconds']:.0f} s, {week['decided']} bars decided, swap pause {pause_us} µs")
