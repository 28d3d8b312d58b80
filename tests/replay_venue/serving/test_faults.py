"""Faults strike what they fit, as often as asked, the same way each time."""

import copy
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_venue.serving.faults.faults import (
    KINDS,
    MAX_ARMED,
    ROW_KINDS,
    Fault,
    Faults,
    Kind,
    RowKind,
    Sequencer,
)
from replay_venue.serving.faults.spoiled import possible, rows_of, spoil


def test_faults_by_count_strike_the_next_events_that_fit() -> None:
    """Two slow answers to klines leave other paths and the third request alone."""
    faults = Faults(1)
    faults.arm(Fault("slow", count=2, match="klines"))
    paths = ["/fapi/v1/time", "/fapi/v1/klines", "/fapi/v1/klines", "/fapi/v1/klines"]
    struck = [faults.strike("rest", path) is not None for path in paths]
    assert struck == [False, True, True, False]
    assert faults.report()["armed"] == []
    assert faults.report()["injected"]["slow"] == 2


@given(seed=st.integers(0, 1_000), rate=st.floats(0.05, 0.95))
def test_faults_by_rate_repeat_for_a_seed(seed: int, rate: float) -> None:
    """The same seed and the same events meet the same faults, at about the rate asked."""
    drawn = []
    for _ in range(2):
        faults = Faults(seed)
        faults.arm(Fault("http429", rate=rate))
        drawn.append([faults.strike("rest", "/x") is not None for _ in range(400)])
    assert drawn[0] == drawn[1]
    assert abs(sum(drawn[0]) / 400 - rate) < 0.15


def test_faults_keep_to_their_channel() -> None:
    """A skip never hits REST, a 429 never a stream, a drop both unless told."""
    faults = Faults(1)
    faults.arm(Fault("skip", rate=1.0))
    assert faults.strike("rest", "x") is None
    faults.clear()
    faults.arm(Fault("http429", rate=1.0))
    assert faults.strike("stream", "x") is None
    faults.clear()
    faults.arm(Fault("drop", rate=1.0, channel="stream"))
    assert faults.strike("rest", "x") is None
    assert faults.strike("stream", "x") is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "fire", "count": 1},
        {"kind": "drop"},
        {"kind": "drop", "count": 1, "rate": 0.5},
        {"kind": "drop", "count": 0},
        {"kind": "drop", "rate": 1.5},
        {"kind": "skip", "count": 1, "channel": "rest"},
        {"kind": "slow", "count": 1, "delay_ms": 10**6},
        {"kind": "http418", "count": 1, "retry_after_s": -1.0},
        {"kind": "skip_rows", "count": 1, "rows": 0},
        {"kind": "cut", "count": 1, "channel": "rest"},
    ],
)
def test_fault_refuses_what_makes_no_sense(wrong: dict) -> None:
    """Each wrong field is named with what was expected."""
    with pytest.raises(ValueError, match=r"found .* expected"):
        Fault(**wrong)


def test_faults_are_bounded() -> None:
    """Only so many faults can be armed at a time."""
    faults = Faults(1)
    for _ in range(MAX_ARMED):
        faults.arm(Fault("skip", count=1))
    with pytest.raises(ValueError, match="clear them first"):
        faults.arm(Fault("skip", count=1))


class Stopwatch:
    """Real seconds that pass when told."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def test_faults_ban_a_service_until_the_ban_ends() -> None:
    """After one 418 every request to that service is 418 with the seconds left; others are not."""
    watch = Stopwatch()
    faults = Faults(1, real=watch)
    faults.arm(Fault("http418", count=1, match="klines", retry_after_s=30.0))
    assert faults.strike("rest", "/fapi/v1/time") is None
    assert faults.strike("rest", "/fapi/v1/klines") is not None
    watch.seconds += 10.0
    banned = faults.strike("rest", "/fapi/v1/time")
    assert banned is not None
    assert (banned.kind, banned.retry_after_s) == ("http418", 20.0)
    assert faults.strike("rest", "/coinmetrics/v4/timeseries/asset-metrics") is None
    assert faults.report()["banned_s"] == {"binance": 20.0}
    watch.seconds += 20.0
    assert faults.strike("rest", "/fapi/v1/klines") is None
    assert faults.report()["banned_s"] == {}
    assert faults.report()["injected"]["http418"] == 2


def test_faults_clear_lifts_bans() -> None:
    """A clear ends every ban at once; what was counted stays counted."""
    faults = Faults(1)
    faults.arm(Fault("http418", count=1, retry_after_s=3_600.0))
    faults.strike("rest", "/hyperliquid/info/meta")
    faults.clear()
    assert faults.strike("rest", "/hyperliquid/info/meta") is None
    assert faults.report()["injected"]["http418"] == 1


PAGES = {
    "klines": [[900_000 * n, "1.5", "2.0", "1.0", "1.8", "3.0", 900_000 * n + 1] for n in range(9)],
    "objects": [{"timestamp": n, "sumOpenInterest": f"{n}.5"} for n in range(9)],
    "daily": {"data": [{"time": f"2025-01-0{n}", "CapMVRVCur": "1.5"} for n in range(1, 9)]},
}


@given(
    page=st.sampled_from(sorted(PAGES)),
    kind=st.sampled_from(ROW_KINDS),
    rows=st.integers(1, 20),
    seed=st.integers(0, 1_000),
)
def test_spoiled_rows_are_what_was_ordered(page: str, kind: RowKind, rows: int, seed: int) -> None:
    """Rows are doubled, moved, gone or ruined, as many as asked, and nothing else is touched."""
    body = copy.deepcopy(PAGES[page])
    before = rows_of(copy.deepcopy(body))
    after = rows_of(body)
    assert kind in possible(after)
    spoil(after, Fault(kind, count=1, rows=rows), random.Random(seed))
    again = rows_of(copy.deepcopy(PAGES[page]))
    spoil(again, Fault(kind, count=1, rows=rows), random.Random(seed))
    assert again == after
    hit = min(rows, len(before))
    lost = [row for row in before if row not in after]
    made = [row for row in after if row not in before]
    assert len(after) - len(before) == {"duplicate_rows": hit, "skip_rows": -hit}.get(kind, 0)
    assert len(lost) == (hit if kind in {"skip_rows", "garbage_rows"} else 0)
    assert len(made) == (hit if kind == "garbage_rows" else 0)
    assert after != before


@pytest.mark.parametrize("body", [{}, [], {"serverTime": 1}, "null", [{"a": 1}, [2]]])
def test_spoiled_finds_no_rows_where_there_are_none(body: object) -> None:
    """An answer that is no list of like rows cannot be hit."""
    assert possible(rows_of(body)) == ()


def passed(kinds: list[Kind], messages: int) -> list[list[bytes] | None]:
    faults = Faults(1)
    for kind in kinds:
        faults.arm(Fault(kind, count=1))
    sequencer = Sequencer(faults, "s")
    sent = [sequencer.passed_on(b"%d" % number) for number in range(messages)]
    return [None if each is None else list(each) for each in sent]


def test_sequencer_duplicates_skips_and_breaks() -> None:
    """A duplicate is sent twice, a skipped one never, a drop breaks the connection."""
    assert passed(["duplicate"], 2) == [[b"0", b"0"], [b"1"]]
    assert passed(["skip"], 2) == [[], [b"1"]]
    assert passed(["drop"], 2) == [None, [b"1"]]
    faults = Faults(1)
    faults.arm(Fault("cut", count=1))
    assert Sequencer(faults, "s").passed_on(b"message") == (b"mes",)


@given(st.lists(st.sampled_from(["reorder", "duplicate"]), max_size=6))
def test_sequencer_reorders_without_losing(kinds: list[Kind]) -> None:
    """Reordered and duplicated messages all arrive, a reordered one after its follower."""
    sent = passed(kinds, len(kinds) + 1)
    flat = [message for each in sent if each is not None for message in each]
    assert set(flat) == {b"%d" % number for number in range(len(kinds) + 1)}
    assert len(flat) == len(kinds) + 1 + kinds.count("duplicate")
    assert passed(["reorder"], 3) == [[], [b"1", b"0"], [b"2"]]


def test_every_fault_is_in_the_runbook() -> None:
    """Whoever practises finds each kind in docs/runbooks/a-broken-feed.md."""
    page = Path(__file__).parents[3] / "docs" / "runbooks" / "a-broken-feed.md"
    text = page.read_text(encoding="utf-8")
    assert [kind for kind in (*KINDS, "skew") if f"`{kind}`" not in text] == []
