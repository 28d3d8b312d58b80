"""A trial is on record before its result, once, in a chain that shows what was changed."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from research.chain import Entry, following
from research.tuning.ledger import (
    BEGUN,
    FINISHED,
    BarReturns,
    LedgerBrokenError,
    LedgerError,
    Result,
    Trial,
    begun_body,
    finished_body,
    read,
    rows,
    settings_digest,
    weekly_trial,
)
from tests.research.worlds import small_settings

TRIAL = Trial(
    symbol="BTCUSDT",
    kind="search",
    name="lightgbm",
    settings_digest="s" * 64,
    data_digest="d" * 64,
    seed=7,
    span_ms=(0, 900_000),
    parent="a search",
)
OF_THE_FIRST_BUILD = Path(__file__).parent / "ledger_schema_1.jsonl"


def entries_of(*steps: tuple[str, dict[str, object]]) -> list[Entry]:
    entries: list[Entry] = []
    for at_ms, (kind, body) in enumerate(steps):
        entries.append(following(entries, at_ms, kind, body))
    return entries


def log(entries: list[Entry]) -> bytes:
    return b"".join(entry.line() for entry in entries)


def result(*scores: float) -> Result:
    stream = BarReturns(np.arange(3) * 900_000, np.array([0.01, -0.02, 0.03]))
    return Result(outcome="complete", objective="log_loss", scores=scores, stream=stream)


def test_a_trial_is_named_by_what_decides_its_outcome() -> None:
    """Another seed, span, setting or row makes another trial; another name or asker does not."""
    same = dataclasses.replace(TRIAL, name="again", parent="")
    assert same.id == TRIAL.id
    others = [
        dataclasses.replace(TRIAL, seed=8),
        dataclasses.replace(TRIAL, span_ms=(0, 1)),
        dataclasses.replace(TRIAL, settings_digest="t" * 64),
        dataclasses.replace(TRIAL, data_digest="e" * 64),
        dataclasses.replace(TRIAL, symbol="ETHUSDT"),
        dataclasses.replace(TRIAL, kind="study"),
    ]
    assert len({TRIAL.id, *(one.id for one in others)}) == 1 + len(others)


def test_an_open_row_counts_and_a_second_result_counts_again() -> None:
    """What was begun and never finished was a look; so was each other result of the same trial."""
    begun = (BEGUN, begun_body(TRIAL))
    opened = rows(entries_of(begun))[TRIAL.id]
    assert opened.open
    assert opened.looks == 1
    once, twice = (finished_body(TRIAL.id, result(score), b"x") for score in (1.0, 0.9))
    row = rows(entries_of(begun, (FINISHED, once), (FINISHED, twice)))[TRIAL.id]
    assert not row.open
    assert row.looks == 2
    assert [one.scores for one in row.records] == [(1.0,), (0.9,)]
    assert row.records[0].total_return == pytest.approx(1.01 * 0.98 * 1.03 - 1.0)


def test_a_result_of_nothing_is_refused() -> None:
    """A chain that holds a result without its beginning was not written by begin and finish."""
    body = finished_body(TRIAL.id, result(1.0), None)
    with pytest.raises(LedgerError, match="was begun"):
        rows(entries_of((FINISHED, body)))


@given(st.integers(2, 6), st.data())
def test_every_change_of_a_ledger_is_found(length: int, data: st.DataObject) -> None:
    """A flipped byte, a line taken out anywhere and an end cut off leave no sound ledger."""
    trials = [dataclasses.replace(TRIAL, seed=seed) for seed in range(length)]
    entries = entries_of(*((BEGUN, begun_body(one)) for one in trials))
    head = (entries[-1].seq, entries[-1].hash)
    assert read("BTCUSDT", log(entries), head) == entries
    lines = [entry.line() for entry in entries]
    at = data.draw(st.integers(0, length - 1))
    without = b"".join(lines[:at] + lines[at + 1 :])
    place = data.draw(st.integers(0, len(lines[at]) - 1))
    flipped = bytearray(lines[at])
    flipped[place] ^= data.draw(st.integers(1, 255))
    changed = b"".join([*lines[:at], bytes(flipped), *lines[at + 1 :]])
    for bad in (without, changed, b"".join(lines[:at])):
        with pytest.raises(LedgerBrokenError):
            read("BTCUSDT", bad, head)


def test_one_entry_may_stand_beyond_the_head() -> None:
    """A writer that died between line and head is read; two lines beyond it were not written so."""
    trials = [dataclasses.replace(TRIAL, seed=seed) for seed in range(3)]
    entries = entries_of(*((BEGUN, begun_body(one)) for one in trials))
    assert read("BTCUSDT", log(entries), (1, entries[1].hash)) == entries
    assert read("BTCUSDT", log(entries[:1]), None) == entries[:1]
    with pytest.raises(LedgerBrokenError, match="beyond the head"):
        read("BTCUSDT", log(entries), (0, entries[0].hash))


def test_a_ledger_of_the_first_schema_reads_to_this_day() -> None:
    """Rows that were written by the build that introduced the ledger have the same meaning."""
    found = list(rows(read("BTCUSDT", OF_THE_FIRST_BUILD.read_bytes(), None)).values())
    assert [(one.trial.kind, one.trial.name, one.open) for one in found] == [
        ("search", "lightgbm", True)
    ]
    assert found[0].trial == TRIAL


def test_a_ledger_of_a_later_build_is_refused() -> None:
    """A schema that this build does not know says so, and is not guessed at."""
    with pytest.raises(LedgerError, match="later build"):
        rows(entries_of((BEGUN, begun_body(TRIAL) | {"schema": 99})))


def test_a_stream_reads_back_to_the_byte() -> None:
    """Times and returns come back as they were, and equal streams are equal bytes."""
    rng = np.random.default_rng(1)
    stream = BarReturns(np.arange(500) * 900_000, rng.normal(size=500))
    again = BarReturns.from_parquet(stream.to_parquet())
    np.testing.assert_array_equal(again.open_time_ms, stream.open_time_ms)
    np.testing.assert_array_equal(again.returns, stream.returns)
    assert again.to_parquet() == stream.to_parquet()


def test_the_stream_of_an_account_is_its_return_bar_by_bar() -> None:
    """Compounded, the stream is what the account came to."""
    equity = np.array([100.0, 110.0, 99.0, 99.0])
    stream = BarReturns.of_equity(np.arange(4) * 900_000, equity)
    assert len(stream.returns) == len(stream.open_time_ms) == 3
    assert np.prod(1.0 + stream.returns) == pytest.approx(0.99)


def test_thresholds_of_the_gates_make_no_other_trial() -> None:
    """What a candidate must reach decides nothing of what it is; costs and models do."""
    chosen = small_settings()
    strict = dataclasses.replace(chosen.gates, min_fold_win_rate=0.99)
    assert settings_digest(dataclasses.replace(chosen, gates=strict)) == settings_digest(chosen)
    dear = dataclasses.replace(chosen.trading, fee_bps=9.0)
    assert settings_digest(dataclasses.replace(chosen, trading=dear)) != settings_digest(chosen)


def test_a_week_is_the_same_trial_however_often_it_is_trained() -> None:
    """Symbol, settings and rows name it; another week's rows are another one."""
    chosen = small_settings()

    def of(digest: str) -> str:
        return weekly_trial(
            symbol="BTCUSDT",
            week="2025-12-07",
            settings=chosen,
            table_digest=digest,
            window_ms=(0, 1),
        ).id

    assert of("a") == of("a") != of("b")
