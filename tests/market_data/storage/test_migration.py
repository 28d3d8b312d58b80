"""A lake of older code becomes one of today: every event once, nothing lost, however often."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from market_data.storage.lake import FOREVER_MS, Lake, LakeError
from market_data.storage.migration import VERSION, migrate
from market_data.storage.objects import Change, FolderStorage
from market_data.storage.parquet import parquet_bytes
from market_data.storage.revisions import month_of
from tests.forked import FORKED

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
NEW_YEAR_MS = 1_767_225_600_000  # 2026-01-01T00:00Z
START_MS = NEW_YEAR_MS - 24 * HOUR_MS
OLD = ("event_time_ms", "known_at_ms", "source", "revision")


def old_lake(
    root: Path, rows: list[tuple[int, int, str, int, float]], table: str = "funding"
) -> Path:
    """Write month files of the first form: a stamp, when it was known, by whom, a value."""
    value = "funding_rate" if table == "funding" else "open_interest"
    frame = pd.DataFrame(rows, columns=[*OLD, value]).sort_values(["event_time_ms", "revision"])
    kinds = [("event_time_ms", pa.int64()), ("known_at_ms", pa.int64()), ("source", pa.string())]
    schema = pa.schema([*kinds, ("revision", pa.int32()), (value, pa.float64())])
    folder = root / f"market/{table}/symbol=BTCUSDT"
    folder.mkdir(parents=True, exist_ok=True)
    for month, part in frame.groupby(month_of(frame["event_time_ms"])):
        content = pa.Table.from_pandas(part, schema=schema, preserve_index=False)
        content = parquet_bytes(content.replace_schema_metadata(None))
        (folder / f"{month}.parquet").write_bytes(content)
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Return every visible file of a lake."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name[0] != ".")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def doubled(count: int = 6) -> list[tuple[int, int, str, int, float]]:
    """Return settlements by two roads: rounded to the hour, and as the exchange stamped them."""
    rounded = [START_MS + 8 * HOUR_MS * k for k in range(count)]
    by_file = [(t, t + MINUTE_MS, "file", 0, 1e-4 * k) for k, t in enumerate(rounded)]
    by_api = [(t + 11, t + 11 + MINUTE_MS, "api", 0, 1e-4 * k) for k, t in enumerate(rounded)]
    return by_file + by_api


def test_settlements_of_two_roads_become_one_event_each(tmp_path: Path):
    """At its hour, with the first road's stamp and source, and known when it first was."""
    lake = Lake(root=str(old_lake(tmp_path, doubled())))
    history = lake.history("funding", "BTCUSDT", FOREVER_MS)
    hours = [START_MS + 8 * HOUR_MS * k for k in range(6)]
    assert history["event_time_ms"].tolist() == hours
    assert history["stamp_ms"].tolist() == hours
    assert history["known_at_ms"].tolist() == [at + MINUTE_MS for at in hours]
    assert set(history["source"]) == {"file"}
    assert set(history["revision"]) == {0}


def test_values_that_differ_are_all_kept_as_revisions(tmp_path: Path):
    """In the order in which they became known; a reader of any moment sees what was known then."""
    rows = [
        (START_MS + 11, START_MS + 60_000, "api", 0, 0.3),
        (START_MS + 11, START_MS + 90_000, "api", 1, 0.1),
        (START_MS, START_MS + 70_000, "file", 0, 0.2),
    ]
    lake = Lake(root=str(old_lake(tmp_path, rows)))
    seen = [
        lake.as_of("funding", "BTCUSDT", START_MS + after)["funding_rate"].tolist()
        for after in (59_999, 60_000, 70_000, 90_000)
    ]
    assert seen == [[], [0.3], [0.2], [0.1]]
    assert lake.history("funding", "BTCUSDT", FOREVER_MS)["revision"].tolist() == [0, 1, 2]


def test_event_moves_to_the_month_of_its_grid_point(tmp_path: Path):
    """A stamp just before New Year is the settlement of New Year, also as a month's only row."""
    stamp_ms = NEW_YEAR_MS - 20
    rows = [(stamp_ms, stamp_ms + MINUTE_MS, "api", 0, 0.1), *doubled(1)]
    lake = Lake(root=str(old_lake(tmp_path, rows)))
    moved = lake.as_of("funding", "BTCUSDT", FOREVER_MS, NEW_YEAR_MS)
    assert moved[["event_time_ms", "stamp_ms"]].to_numpy().tolist() == [[NEW_YEAR_MS, stamp_ms]]
    assert len(lake.as_of("funding", "BTCUSDT", FOREVER_MS)) == 2
    alone = Lake(root=str(old_lake(tmp_path / "alone", rows[:1])))
    assert alone.first_event_ms("funding", "BTCUSDT") == NEW_YEAR_MS


@pytest.mark.parametrize("bar_minutes", [3, 5, 15, 60])
def test_open_interest_is_brought_to_its_bars(tmp_path: Path, bar_minutes: int):
    """The length of the bars is not in the lake; the stamps say enough."""
    bar_ms = bar_minutes * MINUTE_MS
    points = [START_MS + k * bar_ms for k in range(9)]
    rows = [(t + k, t + MINUTE_MS, "api", 0, 1.0 + k) for k, t in enumerate(points)]
    rows += [(t - 30, t + 2 * MINUTE_MS, "file", 0, 1.0 + k) for k, t in enumerate(points)]
    lake = Lake(root=str(old_lake(tmp_path, rows, "open_interest")))
    found = lake.history("open_interest", "BTCUSDT", FOREVER_MS)
    assert found["event_time_ms"].tolist() == points
    assert found["stamp_ms"].tolist() == [t + k for k, t in enumerate(points)]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 30),
            st.integers(-60_000, 60_000),
            st.integers(0, 600_000),
            st.sampled_from(["a", "b"]),
            st.sampled_from([0.1, 0.2, 0.3]),
        ),
        min_size=1,
        max_size=20,
        unique_by=lambda row: (row[0], row[1]),
    )
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_every_value_that_was_known_is_still_known(tmp_path_factory, rows):
    """Of each settlement, the sequence of values in the order they were known, repeats apart."""
    stored = []
    for hour, off_ms, late_ms, source, value in rows:
        stamp_ms = START_MS + hour * HOUR_MS + off_ms
        stored.append((stamp_ms, stamp_ms + late_ms, source, 0, value))
    root = old_lake(tmp_path_factory.mktemp("lake"), stored)
    history = Lake(root=str(root)).history("funding", "BTCUSDT", FOREVER_MS)
    for hour in {row[0] for row in rows}:
        point_ms = START_MS + hour * HOUR_MS
        known = sorted(
            (max(known_ms, point_ms), stamp_ms, source, value)
            for stamp_ms, known_ms, source, _, value in stored
            if abs(stamp_ms - point_ms) <= 60_000
        )
        values = [row[-1] for row in known]
        expected = [v for k, v in enumerate(values) if k == 0 or v != values[k - 1]]
        found = history[history["event_time_ms"] == point_ms]
        assert found["funding_rate"].tolist() == expected
        assert found["known_at_ms"].is_monotonic_increasing
        assert found["known_at_ms"].is_unique


def test_migration_again_changes_no_byte(tmp_path: Path):
    """A second pass, with and without the note of the version, leaves every file as it is."""
    old_lake(tmp_path, doubled())
    migrate(FolderStorage(str(tmp_path)))
    first = contents(tmp_path)
    migrate(FolderStorage(str(tmp_path)))
    (tmp_path / "market/schema.json").unlink()
    migrate(FolderStorage(str(tmp_path)))
    assert contents(tmp_path) == first


class KilledError(Exception):
    """What a kill is to the code that it hits."""


class Interrupting(FolderStorage):
    """A folder whose writer is killed at a given write."""

    def __init__(self, root: str, at: int) -> None:
        super().__init__(root)
        self.left = at

    def update(self, name: str, change: Change) -> bool:
        """Write, unless the time has come."""
        if self.left == 0:
            raise KilledError
        self.left -= 1
        return super().update(name, change)


def test_migration_goes_on_after_a_kill_at_any_write(tmp_path: Path):
    """Whenever it is stopped: no row is lost on the way, and the next one ends as one in peace."""
    stamp_ms = NEW_YEAR_MS - 20
    rows = [*doubled(), (stamp_ms, stamp_ms + MINUTE_MS, "api", 0, 0.1)]
    peaceful = old_lake(tmp_path / "peaceful", rows)
    migrate(FolderStorage(str(peaceful)))
    for at in range(10):
        root = old_lake(tmp_path / str(at), rows)
        try:
            migrate(Interrupting(str(root), at))
        except KilledError:
            migrate(FolderStorage(str(root)))
        assert contents(root) == contents(peaceful), at


def test_two_processes_migrate_one_lake(tmp_path: Path):
    """Both end well, and the lake is as if one had done it alone."""
    alone = old_lake(tmp_path / "alone", doubled(60))
    migrate(FolderStorage(str(alone)))
    both = old_lake(tmp_path / "both", doubled(60))
    storage = FolderStorage(str(both))
    workers = [FORKED.Process(target=migrate, args=(storage,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert contents(both) == contents(alone)


def test_lake_of_newer_code_is_left_alone(tmp_path: Path):
    """Whatever it means by it, it is not ours to rewrite."""
    (tmp_path / "market").mkdir()
    (tmp_path / "market/schema.json").write_text(f'{{"version": {VERSION + 1}}}\n')
    with pytest.raises(LakeError, match=f"found version {VERSION + 1}, expected at most {VERSION}"):
        Lake(root=str(tmp_path)).months("funding", "BTCUSDT")


def test_new_lake_is_not_written_by_a_look_at_it(tmp_path: Path):
    """Nothing to migrate is nothing to write."""
    assert Lake(root=str(tmp_path / "new")).symbols("funding") == ()
    assert not (tmp_path / "new").exists()
