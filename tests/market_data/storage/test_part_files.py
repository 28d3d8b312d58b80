"""Ticks are stored as parts: an append adds files, rewrites none, reads only what it touches."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market_data.storage.lake import FOREVER_MS, Lake
from market_data.storage.month_files import file_of
from market_data.storage.objects import storage
from market_data.tables import DAY_MS, TABLES
from tests.market_data.lake_rows import START_MS
from tests.market_data.object_store import contents

FOLDER = "market/trades/symbol=BTCUSDT"
SECOND_MS = 1_000


def ticks(first: int, count: int, price: float = 100.0, step_ms: int = SECOND_MS) -> pd.DataFrame:
    """Return trades number `first` on, one every `step_ms`, two of them at one moment."""
    numbers = np.arange(first, first + count)
    times = START_MS + numbers // 2 * 2 * step_ms
    return pd.DataFrame(
        {
            "event_time_ms": times,
            "known_at_ms": times,
            "source": "a-venue",
            "trade_id": numbers,
            "price": price,
            "quantity": 1.0,
            "side": 1.0,
        }
    )


def parts(lake: Lake) -> list[str]:
    """Return the names of the files of trades."""
    return storage(lake.root).names(FOLDER)


def test_an_append_adds_a_part_a_day_and_rewrites_none(lake: Lake):
    """What is there keeps its name and its bytes; a day begins a file of its own."""
    lake.append("trades", "BTCUSDT", ticks(0, 100), FOREVER_MS)
    before = contents(lake.root)
    report = lake.append("trades", "BTCUSDT", ticks(100, 40, step_ms=DAY_MS // 120), FOREVER_MS)
    after = contents(lake.root)
    assert (report.added, report.files) == (40, 2)
    assert len(parts(lake)) == 3
    assert before.items() <= after.items()
    assert lake.months("trades", "BTCUSDT") == ("2025-12",)
    assert lake.first_event_ms("trades", "BTCUSDT") == START_MS


def test_an_append_of_known_rows_adds_nothing(lake: Lake):
    """Rows that come again, over the border of two parts and in any order, change no byte."""
    for first in range(0, 100, 25):
        lake.append("trades", "BTCUSDT", ticks(first, 25), FOREVER_MS)
    before = contents(lake.root)
    again = ticks(10, 60).sample(frac=1.0, random_state=1)
    report = lake.append("trades", "BTCUSDT", again, FOREVER_MS)
    assert (report.added, report.revised, report.files) == (0, 0, 0)
    assert contents(lake.root) == before


def test_an_append_and_a_window_open_only_the_parts_that_they_touch(local: Lake):
    """A day of a million rows costs no more at its end than at its beginning."""
    local.append("trades", "BTCUSDT", ticks(0, 50), FOREVER_MS)
    (early,) = parts(local)
    (Path(local.root) / FOLDER / early).write_bytes(b"not to be opened")
    assert local.append("trades", "BTCUSDT", ticks(50, 50), FOREVER_MS).added == 50
    start_ms = START_MS + 50 * SECOND_MS
    assert len(local.as_of("trades", "BTCUSDT", FOREVER_MS, start_ms)) == 50


def test_a_file_of_a_month_is_read_beside_the_parts(lake: Lake):
    """What an older version stored stays where it is, counts, and is not stored twice."""
    old = ticks(0, 100).assign(revision=np.int32(0))
    storage(lake.root).replace(f"{FOLDER}/2025-12.parquet", file_of(TABLES["trades"], old))
    report = lake.append("trades", "BTCUSDT", ticks(50, 100), FOREVER_MS)
    assert (report.added, report.revised) == (50, 0)
    lake.append("trades", "BTCUSDT", ticks(0, 1, price=101.0), FOREVER_MS - 1)
    now = lake.as_of("trades", "BTCUSDT", FOREVER_MS)
    assert now["trade_id"].tolist() == list(range(150))
    assert now["price"].tolist() == [101.0] + [100.0] * 149
    assert lake.event_times("trades", "BTCUSDT").tolist() == now["event_time_ms"].tolist()
    assert lake.first_event_ms("trades", "BTCUSDT") == START_MS


def test_rows_that_two_writers_of_a_bucket_added_at_once_are_read_once(lake: Lake):
    """The same rows under two names, and overlapping ones, come out once and in order."""
    lake.append("trades", "BTCUSDT", ticks(0, 60), FOREVER_MS)
    (first,) = parts(lake)
    store = storage(lake.root)
    other = Lake(root=f"{lake.root}-other")
    other.append("trades", "BTCUSDT", ticks(30, 60), FOREVER_MS)
    (second,) = parts(other)
    held = storage(other.root).read(f"{FOLDER}/{second}")
    assert held is not None
    store.replace(f"{FOLDER}/{second}", held)
    store.replace(f"{FOLDER}/{first.replace('.parquet', '0.parquet')}", held)
    whole = Lake(root=f"{lake.root}-whole")
    whole.append("trades", "BTCUSDT", ticks(0, 90), FOREVER_MS)
    digests = [one.table_digest("trades", "BTCUSDT", FOREVER_MS) for one in (lake, whole)]
    assert digests[0] == digests[1]
    found, expected = (one.market("BTCUSDT", FOREVER_MS).trades for one in (lake, whole))
    assert found.price.tobytes() == expected.price.tobytes()


batches = st.lists(
    st.dictionaries(st.integers(0, 40), st.sampled_from([99.0, 100.0]), min_size=1),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batches)
@pytest.mark.parametrize("older", [False, True])
def test_parts_answer_as_a_file_that_is_rewritten_would(
    tmp_path_factory: pytest.TempPathFactory, older: bool, batches: list[dict[int, float]]
):
    """In whatever pieces rows and corrections come, each moment is answered as by a dictionary."""
    lake = Lake(root=str(tmp_path_factory.mktemp("lake")))
    state: dict[int, list[float]] = {}
    if older:
        old = ticks(0, 20).assign(revision=np.int32(0))
        storage(lake.root).replace(f"{FOLDER}/2025-12.parquet", file_of(TABLES["trades"], old))
        state = {number: [100.0] for number in range(20)}
    for at, batch in enumerate(batches):
        rows = pd.concat([ticks(number, 1, price) for number, price in batch.items()])
        lake.append("trades", "BTCUSDT", rows, START_MS + (1 + at) * DAY_MS)
        for number, price in batch.items():
            seen = state.setdefault(number, [])
            if not seen or seen[-1] != price:
                seen.append(price)
    history = lake.history("trades", "BTCUSDT", FOREVER_MS)
    expected = [
        (number, revision, price)
        for number in sorted(state)
        for revision, price in enumerate(state[number])
    ]
    found = history[["trade_id", "revision", "price"]].itertuples(index=False, name=None)
    assert list(found) == expected
