"""The recorded sample is what its page says, and the command that makes it still makes it."""

import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest

from replay_venue.market.recorded import RecordedSource
from replay_venue.settings import time_ms

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "examples" / "recorded"
PAGE = (ROOT / "examples" / "README.md").read_text()


@pytest.fixture(scope="module")
def record() -> ModuleType:
    spec = importlib.util.spec_from_file_location("record", ROOT / "examples" / "record.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_those_whose_hashes_are_written_down() -> None:
    """SHA256SUMS names every file of the sample, and each is as it was recorded."""
    lines = (SAMPLE / "SHA256SUMS").read_text().splitlines()
    written = {name: digest for digest, name in (line.split() for line in lines)}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in SAMPLE.glob("*.parquet")
    }
    assert found == written


def test_the_sample_is_made_again_by_its_command(record: ModuleType) -> None:
    """Recording the same seed again gives every value of every file."""
    tables = record.tables()
    assert {path.stem for path in SAMPLE.glob("*.parquet")} == set(tables)
    for name, columns in tables.items():
        stored = pq.read_table(SAMPLE / f"{name}.parquet")
        assert stored.column_names == list(columns)
        for column, values in columns.items():
            assert stored[column].to_pylist() == values.to_pylist(), f"{name}.{column}"


def test_the_page_states_origin_and_every_column(record: ModuleType) -> None:
    """Seed, edge and span stand on the page, and so does each column but the metrics' names."""
    said = (f"seed {record.SEED}", f"edge {record.EDGE}", record.FIRST)
    assert [one for one in said if one not in PAGE] == []
    for path in set(SAMPLE.glob("*.parquet")) - set(SAMPLE.glob("onchain_*")):
        assert [one for one in pq.read_schema(path).names if f"`{one}`" not in PAGE] == []


def test_the_venue_plays_the_sample_whole(record: ModuleType) -> None:
    """Candles without a hole, and a value of every other series in the demo's week."""
    source = RecordedSource(SAMPLE, (record.SYMBOL,))
    bars = source.bars(record.SYMBOL, "15m", time_ms(record.FIRST), time_ms(record.END))
    assert np.unique(np.diff(bars.open_time_ms)).tolist() == [900_000]
    week = (time_ms("2025-12-21"), time_ms("2025-12-28"))
    series = [
        source.funding(record.SYMBOL, *week),
        source.open_interest(record.SYMBOL, *week),
        source.fear_greed(*week),
        source.onchain("BTC", *week),
    ]
    assert [len(one.time_ms) for one in series] == [21, 672, 7, 7]
