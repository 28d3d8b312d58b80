"""Market time runs, stands, jumps and survives a restart, and never goes back."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_venue.serving.clock import Clock, restore, save


class Stopwatch:
    """Real seconds that pass when told."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def test_clock_runs_at_its_speed() -> None:
    """A real second is speed × 1000 market milliseconds."""
    watch = Stopwatch()
    clock = Clock(5_000, 60.0, real=watch)
    watch.seconds += 2.0
    assert clock.now_ms() == 125_000


def test_clock_change_of_speed_keeps_the_present() -> None:
    """Time does not jump when its speed changes; it passes differently from then on."""
    watch = Stopwatch()
    clock = Clock(0, 10.0, real=watch)
    watch.seconds += 1.0
    clock.set_speed(1_000.0)
    assert clock.now_ms() == 10_000
    watch.seconds += 1.0
    assert clock.now_ms() == 1_010_000


def test_clock_paused_stands_and_resumes() -> None:
    """A paused clock stands, knows no time until anything, and goes on at its old speed."""
    watch = Stopwatch()
    clock = Clock(0, 10.0, real=watch)
    clock.set_paused(True)
    watch.seconds += 60.0
    assert clock.now_ms() == 0
    assert clock.real_seconds_until(10_000) is None
    clock.set_paused(False)
    watch.seconds += 1.0
    assert clock.now_ms() == 10_000
    assert clock.real_seconds_until(30_000) == pytest.approx(2.0)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("wait"), st.floats(0, 100)),
            st.tuples(st.just("speed"), st.floats(0.1, 10_000)),
            st.tuples(st.just("pause"), st.booleans()),
            st.tuples(st.just("advance"), st.integers(0, 10_000_000)),
        ),
        max_size=30,
    )
)
def test_clock_never_goes_back(acts: list[tuple[str, float]]) -> None:
    """Whatever is done to the clock, its time does not decrease."""
    watch = Stopwatch()
    clock = Clock(0, 1.0, real=watch)
    last = 0
    for act, value in acts:
        if act == "wait":
            watch.seconds += value
        elif act == "speed":
            clock.set_speed(value)
        elif act == "pause":
            clock.set_paused(bool(value))
        else:
            clock.advance_to(clock.now_ms() + int(value))
        assert clock.now_ms() >= last
        last = clock.now_ms()


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), 1e9])
def test_clock_refuses_a_speed_out_of_range(speed: float) -> None:
    """Zero, negative, endless and non-numbers are no speeds."""
    with pytest.raises(ValueError, match="expected above 0"):
        Clock(0, speed)


def test_clock_refuses_the_past_and_the_far_future() -> None:
    """A jump leads forward, and not beyond 2100."""
    clock = Clock(1_000_000, 1.0, real=Stopwatch())
    for target in (999_999, 5_000_000_000_000):
        with pytest.raises(ValueError, match=f"found target {target}"):
            clock.advance_to(target)


def test_clock_states_a_wrong_time_while_its_market_goes_on() -> None:
    """A skew is added to what is stated, a drift grows with market time; the market has neither."""
    watch = Stopwatch()
    clock = Clock(1_000_000, 1.0, real=watch)
    clock.set_skew(-5_000, 0.5)
    assert (clock.now_ms(), clock.shown_ms()) == (1_000_000, 995_000)
    watch.seconds += 10.0
    assert (clock.now_ms(), clock.shown_ms()) == (1_010_000, 1_010_000)
    clock.set_skew(0, 0.0)
    assert clock.shown_ms() == clock.now_ms()


@pytest.mark.parametrize(("offset_ms", "drift"), [(10**12, 0.0), (0, 2.0), (0, float("nan"))])
def test_clock_refuses_an_absurd_skew(offset_ms: int, drift: float) -> None:
    """A month and one millisecond a millisecond are the most."""
    clock = Clock(1_000_000, 1.0, real=Stopwatch())
    with pytest.raises(ValueError, match="expected at most"):
        clock.set_skew(offset_ms, drift)
    assert clock.shown_ms() == 1_000_000


def test_clock_state_survives_a_restart(tmp_path: Path) -> None:
    """What was saved is what is restored, and no other file is left beside it."""
    clock = Clock(123_456, 60.0, paused=True, real=Stopwatch())
    save(clock.state(), tmp_path / "clock.json")
    assert restore(tmp_path / "clock.json") == clock.state()
    assert [path.name for path in tmp_path.iterdir()] == ["clock.json"]


def test_clock_that_followed_real_time_is_not_restored(tmp_path: Path) -> None:
    """Real time goes on while the venue is off; only a clock that was touched is kept."""
    path = tmp_path / "clock.json"
    clock = Clock(123_456, 1.0, real_time=True, real=Stopwatch())
    save(clock.state(), path)
    assert restore(path) is None
    clock.set_speed(2.0)
    save(clock.state(), path)
    assert restore(path) == clock.state()


@pytest.mark.parametrize("text", ["", "[]", '{"now_ms": 1}', json.dumps({"a": 1})])
def test_clock_refuses_a_damaged_state(tmp_path: Path, text: str) -> None:
    """A damaged file is an error that says what to do, never a clock at some time."""
    path = tmp_path / "clock.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="delete the file to start over"):
        restore(path)
