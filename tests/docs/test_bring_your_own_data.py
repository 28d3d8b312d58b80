"""The page of one's own data is typed: from files on disk to a judged candidate."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.installation import (
    CUTOFF_MS,
    HISTORY_WEEKS,
    ROOT,
    SMALL,
    SYMBOL,
    WEEK_MS,
    generated_tables,
)
from tests.market_data.sources.layouts import FUNDING_HEADER, KLINE_HEADER, kline_lines, zipped

PAGE = ROOT / "docs" / "bring-your-own-data.md"
Tables = dict[str, pd.DataFrame]


def as_csv(folder: Path, tables: Tables) -> None:
    """Lay candles out as one plain file."""
    rows = tables["candles"].rename(columns={"event_time_ms": "time"})
    rows[["time", "open", "high", "low", "close", "volume"]].to_csv(
        folder / f"{SYMBOL}.csv", index=False
    )


def as_freqtrade(folder: Path, tables: Tables) -> None:
    """Lay candles and funding out as freqtrade's download does."""
    futures = folder / "futures"
    futures.mkdir()
    names = ["date", "open", "high", "low", "close", "volume"]
    candles = tables["candles"].assign(date=_dates(tables["candles"]))[names]
    candles.reset_index(drop=True).to_feather(futures / "BTC_USDT_USDT-15m-futures.feather")
    rates = tables["funding"]
    rest = dict.fromkeys(("high", "low", "close", "volume"), 0.0)
    funding = pd.DataFrame({"date": _dates(rates), "open": rates["funding_rate"]}).assign(**rest)
    path = futures / "BTC_USDT_USDT-8h-funding_rate.feather"
    funding[names].reset_index(drop=True).to_feather(path)


def as_archive(folder: Path, tables: Tables) -> None:
    """Lay candles and funding out as the months of the exchange's public dump."""
    monthly = folder / "data/futures/um/monthly"
    for month, rows in tables["candles"].groupby(_months(tables["candles"])):
        path = monthly / f"klines/{SYMBOL}/15m/{SYMBOL}-15m-{month}.zip"
        zipped(path, kline_lines(rows), KLINE_HEADER)
    for month, rows in tables["funding"].groupby(_months(tables["funding"])):
        lines = [f"{row.event_time_ms},8,{row.funding_rate!r}" for row in rows.itertuples()]
        path = monthly / f"fundingRate/{SYMBOL}/{SYMBOL}-fundingRate-{month}.zip"
        zipped(path, lines, FUNDING_HEADER)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lay_out"), [("mine", as_csv), ("freqtrade", as_freqtrade), ("archive", as_archive)]
)
def test_three_commands_lead_from_files_to_a_judged_candidate(
    name: str, lay_out: Callable[[Path, Tables], None], tmp_path: Path
):
    """The page's universe, then `tidegate ingest` and `tidegate retrain`, without a service."""
    configs = tmp_path / "configs"
    data = tmp_path / "data"
    data.mkdir()
    lay_out(data, generated_tables(CUTOFF_MS - HISTORY_WEEKS * WEEK_MS, seed=7, edge=0.3))
    shutil.copytree(ROOT / "configs", configs)
    for file, changes in SMALL.items():
        path = configs / f"{file}.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | dict(changes)))
    (configs / "universe.yaml").write_text(universe_of_the_page(name))
    ingested = typed(tmp_path, "ingest")
    assert f"{SYMBOL}: {HISTORY_WEEKS * 7 * 96:,} candles" in ingested
    assert "nothing red" in ingested
    judged = typed(tmp_path, "retrain", SYMBOL)
    assert f"Gates of {SYMBOL}, week 2025-12-07" in judged
    assert re.search(rf"{SYMBOL} \d{{4}}-\d\d-\d\d (accepted|refused): ", judged)


def typed(folder: Path, *words: str) -> str:
    """Return what the command says in an installation of the folder; it must exit with 0."""
    environ = {
        **os.environ,
        "TIDEGATE_HOME": str(folder / "home"),
        "TIDEGATE_CONFIGS": str(folder / "configs"),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli.main", *words],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2_000:]
    return done.stdout


def universe_of_the_page(name: str) -> str:
    """Return the universe.yaml that the page shows under a name."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return next(block for block in blocks if block.startswith(f"# {name}\n"))


def _dates(rows: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(rows["event_time_ms"], unit="ms", utc=True)


def _months(rows: pd.DataFrame) -> pd.Series:
    return _dates(rows).dt.strftime("%Y-%m")
