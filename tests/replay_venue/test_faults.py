"""Faults strike what they fit, as often as asked, the same way each time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_venue.faults import MAX_ARMED, Fault, Faults, Sequencer


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


def passed(kinds: list[str], messages: int) -> list[list[bytes] | None]:
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


@given(st.lists(st.sampled_from(["reorder", "duplicate"]), max_size=6))
def test_sequencer_reorders_without_losing(kinds: list[str]) -> None:
    """Reordered and duplicated messages all arrive, a reordered one after its follower."""
    sent = passed(kinds, len(kinds) + 1)
    flat = [message for each in sent if each is not None for message in each]
    assert set(flat) == {b"%d" % number for number in range(len(kinds) + 1)}
    assert len(flat) == len(kinds) + 1 + kinds.count("duplicate")
    assert passed(["reorder"], 3) == [[], [b"1", b"0"], [b"2"]]
