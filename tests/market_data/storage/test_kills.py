"""Writers that are killed with SIGKILL in the middle of their work."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from market_data.storage.lake import FOREVER_MS, Lake
from tests.forked import FORKED
from tests.market_data.storage.endless_writer import SYMBOL, settlements, write_until_killed

KILLS = 100


def killed(lake: Lake, first: int, strike: Callable[[], None]) -> int:
    """Start a writer, kill it when `strike` returns, some time after its first append; return what
    it said was stored.
    """
    receiving, sending = FORKED.Pipe(duplex=False)
    writer = FORKED.Process(target=write_until_killed, args=(lake.root, first, sending))
    writer.start()
    sending.close()
    stored = receiving.recv()
    strike()
    writer.kill()
    writer.join()
    while True:
        try:
            stored = receiving.recv()
        except EOFError:
            return stored


def test_a_hundred_kills_lose_no_row_and_leave_no_half_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """After each kill every file is whole and has every row that an append had returned for."""
    lake = Lake(root=str(tmp_path))
    folder = tmp_path / "market" / "funding" / f"symbol={SYMBOL}"
    rng = random.Random(20261121)
    stored = halves = 0

    def some_time() -> None:
        time.sleep(rng.uniform(0.0, 0.03))

    def during_a_write() -> None:
        while not any(folder.glob(".*.tmp")):
            pass

    for number in range(KILLS):
        stored = killed(lake, stored, during_a_write if number % 2 else some_time)
        halves += len(list(folder.glob(".*.tmp")))
        assert all(pq.ParquetFile(path).read().num_rows for path in folder.glob("*.parquet"))
        rows = lake.as_of("funding", SYMBOL, FOREVER_MS)
        assert rows["funding_rate"].tolist()[:stored] == list(range(stored))
    lake.append("funding", SYMBOL, settlements(stored, 3), FOREVER_MS)
    assert list(folder.glob(".*.tmp")) == []
    with capsys.disabled():
        print(f"\nkilled {KILLS} writers: {stored} rows, {halves} files were left half written")
    assert halves > 0, "no kill struck during a write: the test has shown nothing"
