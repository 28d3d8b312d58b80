"""Features by month: whatever the parts and their order, the store ends with the same bytes."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.features.engine import compute
from kernel.features.registry import FEATURES
from kernel.observation import observe
from market_data.storage.lake import FOREVER_MS, Lake
from market_data.window import Window
from orchestration.resources.feature_store import FeatureStore, FeatureStoreError
from replay_venue.market.generator import generate
from research.features.garch import starting_state
from tests.installation import CUTOFF_MS, SYMBOL, WEEK_MS, generated_tables

BAR_MS = 900_000
DAY_MS = 86_400_000
WEEKS = 20  # from the end of July; parameters are fitted in October
START_MS = CUTOFF_MS - WEEKS * WEEK_MS
MONTHS = ["2025-07", "2025-08", "2025-09", "2025-10", "2025-11", "2025-12"]
WHOLE = Window(SYMBOL, START_MS, CUTOFF_MS)
NOVEMBER_MS = 1_761_955_200_000
NAMES = ("rsi_14", "garch_volatility")


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """Return the raw rows of twenty weeks, minutes included, a day of candles missing."""
    rows = generated_tables(START_MS, seed=5, edge=0.1)
    minutes = generate(
        seed=5, symbol=SYMBOL, edge=0.1, start_ms=START_MS, end_ms=CUTOFF_MS, timeframe="1m"
    ).bars
    names = ("open", "high", "low", "close", "volume")
    rows["minute_candles"] = pd.DataFrame(
        {
            "event_time_ms": minutes.open_time_ms,
            "known_at_ms": minutes.open_time_ms + 60_000,
            "source": "generated",
            **{name: getattr(minutes, name) for name in names},
        }
    )
    gone_ms = NOVEMBER_MS - 3 * DAY_MS
    candles = rows["candles"]
    held = ~candles["event_time_ms"].between(gone_ms, gone_ms + DAY_MS - 1)
    return rows | {"candles": candles[held].reset_index(drop=True)}


def store_on(root: Path) -> FeatureStore:
    return FeatureStore(lake=Lake(root=str(root)))


def feed(store: FeatureStore, tables: dict[str, pd.DataFrame], after_ms: int, to_ms: int) -> None:
    """Bring what became known in (after, to] into the lake."""
    for name, rows in tables.items():
        fresh = rows[(rows["known_at_ms"] > after_ms) & (rows["known_at_ms"] <= to_ms)]
        if len(fresh):
            store.lake.append(name, SYMBOL, fresh.reset_index(drop=True), to_ms)


def features_in(root: Path) -> dict[str, bytes]:
    """Return every file of the store, rows and states, by its name under the lake's root."""
    files = [path for path in (root / "features").rglob("20*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(files)}


@pytest.fixture(scope="module")
def filled(
    tables: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory
) -> FeatureStore:
    """Return the store of the whole history, made in one go; tests only read it."""
    store = store_on(tmp_path_factory.mktemp("lake"))
    feed(store, tables, 0, FOREVER_MS)
    store.write([WHOLE], BAR_MS)
    return store


@pytest.fixture
def changed(filled: FeatureStore, tmp_path: Path) -> FeatureStore:
    """Return a store of one's own."""
    return store_on(Path(shutil.copytree(filled.lake.root, tmp_path / "lake")))


def test_rows_are_the_kernels_features_in_one_pass(filled: FeatureStore) -> None:
    """Every feature of every month, from a state fitted on the first bars, to the byte."""
    observed = observe(filled.lake.market(SYMBOL, CUTOFF_MS), BAR_MS)
    expected, _ = compute(observed, starting_state(observed))
    frame = filled.read(SYMBOL, FEATURES, CUTOFF_MS)
    assert filled.months(SYMBOL, FOREVER_MS) == MONTHS
    assert list(frame.columns) == ["open_time_ms", "close", *FEATURES]
    assert frame["open_time_ms"].tolist() == observed[:, 0].tolist()
    assert frame[list(FEATURES)].to_numpy().tobytes("C") == expected.tobytes()
    assert np.isfinite(frame["garch_volatility"]).sum() > 0


@settings(max_examples=2, deadline=None)
@given(
    days=st.lists(st.integers(1, 7 * WEEKS - 1), min_size=1, max_size=4, unique=True).map(sorted)
)
def test_any_chunking_gives_the_same_bytes(
    filled: FeatureStore, tables: dict[str, pd.DataFrame], days: list[int]
) -> None:
    """A lake that grew by random parts, each followed by its months, ends as the one made in one
    go: rows and states.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = store_on(Path(folder))
        after_ms = 0
        for to_ms in (*(START_MS + day * DAY_MS for day in days), CUTOFF_MS + 30 * DAY_MS):
            feed(store, tables, after_ms, to_ms)
            store.write([Window(SYMBOL, max(after_ms, START_MS), min(to_ms, CUTOFF_MS))], BAR_MS)
            after_ms = to_ms
        assert features_in(Path(folder)) == features_in(Path(filled.lake.root))


@settings(max_examples=2, deadline=None)
@given(order=st.permutations(MONTHS))
def test_months_in_any_order_give_the_same_bytes(
    filled: FeatureStore, tables: dict[str, pd.DataFrame], order: list[str]
) -> None:
    """A month that comes before its predecessors folds the bars between from the lake."""
    with tempfile.TemporaryDirectory() as folder:
        store = store_on(Path(folder))
        feed(store, tables, 0, FOREVER_MS)
        for month in order:
            first_ms = int(np.datetime64(month, "ms").astype(np.int64))
            store.write([Window(SYMBOL, first_ms, first_ms + DAY_MS)], BAR_MS)
        rows = {name: data for name, data in features_in(Path(folder)).items() if "matrix" in name}
        expected = features_in(Path(filled.lake.root))
        assert rows == {name: expected[name] for name in rows}
        assert len(rows) == len(MONTHS)
        store.write([WHOLE], BAR_MS)  # states that an earlier month made void come back
        assert features_in(Path(folder)) == expected


def test_snapshots_begin_once_parameters_are_fitted(filled: FeatureStore) -> None:
    """Before the ninety days that GARCH is fitted on there is no state to go on from."""
    names = [name for name in features_in(Path(filled.lake.root)) if name.endswith(".npz")]
    assert [name[-11:-4] for name in sorted(names)] == ["2025-10", "2025-11", "2025-12"]


def test_writing_again_changes_nothing(changed: FeatureStore) -> None:
    """What comes out as it was leaves every file alone, and says so."""
    before = features_in(Path(changed.lake.root))
    written = changed.write([Window(SYMBOL, NOVEMBER_MS, CUTOFF_MS)], BAR_MS)
    assert [(one.month, one.changed) for one in written] == [("2025-11", False), ("2025-12", False)]
    assert features_in(Path(changed.lake.root)) == before


def test_read_gives_the_named_features_up_to_a_moment(filled: FeatureStore) -> None:
    """Columns in the order asked for, bars that opened before the moment."""
    frame = filled.read(SYMBOL, NAMES, NOVEMBER_MS)
    assert list(frame.columns) == ["open_time_ms", "close", *NAMES]
    assert frame["open_time_ms"].iloc[-1] == NOVEMBER_MS - BAR_MS
    assert frame.index.equals(pd.RangeIndex(len(frame)))


def test_a_correction_changes_labels_and_fills_but_no_feature(changed: FeatureStore) -> None:
    """A candle restated weeks later was not what anybody saw: the store stays as it is."""
    held = changed.lake.as_of("candles", SYMBOL, CUTOFF_MS, NOVEMBER_MS, NOVEMBER_MS + BAR_MS)
    restated = held.drop(columns="revision").assign(volume=777.0)
    assert changed.lake.append("candles", SYMBOL, restated, CUTOFF_MS - DAY_MS).revised == 1
    assert not any(one.changed for one in changed.write([WHOLE], BAR_MS))
    assert changed.difference(SYMBOL, NAMES, CUTOFF_MS, BAR_MS).bytes == 0


def filled_hole(store: FeatureStore) -> None:
    """Bring the missing day of October into the lake."""
    whole = generated_tables(START_MS, seed=5, edge=0.1)["candles"]
    day = whole[whole["event_time_ms"].between(NOVEMBER_MS - 3 * DAY_MS, NOVEMBER_MS - 1)]
    assert store.lake.append("candles", SYMBOL, day.reset_index(drop=True), CUTOFF_MS).added == 96


def test_a_hole_that_was_filled_shows_with_its_month(changed: FeatureStore) -> None:
    """Rows that came later make the stored month, all after it and the state differ from one
    pass.
    """
    assert changed.difference(SYMBOL, NAMES, CUTOFF_MS, BAR_MS).bytes == 0
    filled_hole(changed)
    found = changed.difference(SYMBOL, NAMES, CUTOFF_MS, BAR_MS)
    assert (found.month, found.rows, found.features[0]) == ("2025-10", 96, "rsi_14")
    assert found.bytes > 8 * 2 * 96
    assert found.state


def test_a_month_that_changed_voids_the_states_after_it(changed: FeatureStore) -> None:
    """November's rows still rest on the old October, and are named; made again, all is well."""
    filled_hole(changed)
    october_ms = NOVEMBER_MS - DAY_MS
    (written,) = changed.write([Window(SYMBOL, october_ms, october_ms + 1)], BAR_MS)
    states = [name for name in features_in(Path(changed.lake.root)) if name.endswith(".npz")]
    assert written.changed
    assert [name[-11:-4] for name in states] == ["2025-10"]
    assert changed.difference(SYMBOL, NAMES, CUTOFF_MS, BAR_MS).month == "2025-11"
    changed.write([Window(SYMBOL, NOVEMBER_MS, CUTOFF_MS)], BAR_MS)
    found = changed.difference(SYMBOL, NAMES, CUTOFF_MS, BAR_MS)
    assert (found.bytes, found.rows, found.state, found.month) == (0, 0, False, "")


def test_a_state_that_does_not_follow_its_rows_is_not_gone_on_from(changed: FeatureStore) -> None:
    """Of two writers of a month the slower leaves its state beside the rows of the other: months
    after it rest on the bars, not on that.
    """
    path = Path(changed.lake.root) / f"features/state/symbol={SYMBOL}/2025-10.npz"
    older = path.read_bytes()
    filled_hole(changed)
    changed.write([Window(SYMBOL, NOVEMBER_MS - DAY_MS, CUTOFF_MS)], BAR_MS)
    path.write_bytes(older)
    changed.write([Window(SYMBOL, NOVEMBER_MS, CUTOFF_MS)], BAR_MS)
    found = changed.difference(SYMBOL, NAMES, CUTOFF_MS, BAR_MS)
    assert (found.bytes, found.state) == (0, False)


def test_a_history_that_begins_earlier_starts_anew(
    tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    """Once earlier candles are there, no state of the shorter history is gone on from."""
    store = store_on(tmp_path)
    late = START_MS + 2 * WEEK_MS
    feed(store, tables, late, FOREVER_MS)
    store.write([Window(SYMBOL, late, CUTOFF_MS)], BAR_MS)
    feed(store, tables, 0, late)
    december_ms = NOVEMBER_MS + 30 * DAY_MS
    store.write([Window(SYMBOL, december_ms, CUTOFF_MS)], BAR_MS)
    assert store.difference(SYMBOL, NAMES, CUTOFF_MS, BAR_MS).month == "2025-07"
    store.write([WHOLE], BAR_MS)
    assert store.difference(SYMBOL, NAMES, CUTOFF_MS, BAR_MS).bytes == 0


def test_the_state_at_a_moment_is_that_of_one_pass(filled: FeatureStore) -> None:
    """From the snapshot before it or from the beginning: the state after the last closed bar."""
    for until_ms in (START_MS + DAY_MS, NOVEMBER_MS, NOVEMBER_MS + 5 * DAY_MS + BAR_MS):
        observed = filled.observed(SYMBOL, 0, until_ms, BAR_MS)
        _, state = compute(observed, starting_state(observed))
        found = filled.snapshot(SYMBOL, until_ms, BAR_MS)
        assert found.open_time_ms == until_ms - BAR_MS
        assert found.state.tobytes() == state.tobytes()


def test_recent_bars_come_with_the_state_before_them(filled: FeatureStore) -> None:
    """Together they give the features that the store holds, wherever they begin and end: before,
    across and after the bars that parameters are fitted on.
    """
    fitted_ms = START_MS + 90 * DAY_MS
    for until_ms, bars in ((CUTOFF_MS, 500), (fitted_ms + DAY_MS, 500), (START_MS + DAY_MS, 96)):
        observed, state = filled.recent(SYMBOL, until_ms, BAR_MS, bars)
        values, _ = compute(observed, state)
        stored = filled.read(SYMBOL, FEATURES, until_ms)[list(FEATURES)].to_numpy()[-bars:]
        assert values.tobytes() == stored.tobytes("C")


def test_columns_of_other_code_are_refused(changed: FeatureStore) -> None:
    """A column says by what definition and code it was made; one that is not today's is not read,
    and neither is one that is missing.
    """
    path = Path(changed.lake.root) / f"features/matrix/symbol={SYMBOL}/2025-11.parquet"
    rows = pq.ParquetFile(path).read()
    at = rows.schema.get_field_index("rsi_14")
    pq.write_table(rows.set_column(at, pa.field("rsi_14", pa.float64()), rows["rsi_14"]), path)
    with pytest.raises(FeatureStoreError, match="2025-11: found rsi_14 made by other code"):
        changed.read(SYMBOL, NAMES, CUTOFF_MS)
    pq.write_table(rows.drop_columns("rsi_14"), path)
    with pytest.raises(FeatureStoreError, match="2025-11: found rsi_14 missing"):
        changed.read(SYMBOL, NAMES, CUTOFF_MS)
    assert len(changed.read(SYMBOL, ["garch_volatility"], CUTOFF_MS)) > 0


def test_an_empty_store_says_what_to_make(tmp_path: Path) -> None:
    """Nothing stored, or nothing in the lake: the error names the asset or the ingest."""
    store = store_on(tmp_path)
    assert store.write([WHOLE], BAR_MS) == []
    with pytest.raises(FeatureStoreError, match="materialize features/matrix"):
        store.read(SYMBOL, NAMES, CUTOFF_MS)
    with pytest.raises(FeatureStoreError, match="ingest it"):
        store.snapshot(SYMBOL, CUTOFF_MS, BAR_MS)
