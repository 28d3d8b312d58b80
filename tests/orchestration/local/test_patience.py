"""Waiting ends by what was worked in vain, never by how long it took."""

from orchestration.local.patience import IDLE_S, LOOK_EVERY_S, Patience


class Hands:
    """A process and a wall clock that a test moves by hand."""

    def __init__(self) -> None:
        self.cpu_s = 50.0
        self.real_s = 1_000.0

    def patience(self, limit_s: float = 10.0) -> Patience:
        return Patience(lambda: self.cpu_s, limit_s, lambda: self.real_s)

    def work(self, cpu_s: float, real_s: float) -> None:
        self.cpu_s += cpu_s
        self.real_s += real_s


def test_hours_on_a_busy_machine_are_waited_for() -> None:
    """A process that gets a thousandth of a core is slow and not broken."""
    hands = Hands()
    patience = hands.patience()
    for _ in range(99):
        hands.work(cpu_s=0.1, real_s=100.0)
        assert patience.spent() == ""


def test_work_in_vain_ends_the_wait_by_its_own_measure() -> None:
    """Ten CPU seconds are ten, however long they took; what was used before does not count."""
    hands = Hands()
    patience = hands.patience()
    hands.work(cpu_s=9.9, real_s=LOOK_EVERY_S)
    assert patience.spent() == ""
    hands.work(cpu_s=0.1, real_s=LOOK_EVERY_S)
    assert patience.spent() == "found it not there after 10 s of CPU time"


def test_nothing_at_work_ends_the_wait() -> None:
    """A process that waits for what never comes uses no CPU at all."""
    hands = Hands()
    patience = hands.patience()
    hands.work(cpu_s=1.0, real_s=IDLE_S)
    assert patience.spent() == ""
    hands.work(cpu_s=0.0, real_s=IDLE_S - 1.0)
    assert patience.spent() == ""
    hands.work(cpu_s=0.0, real_s=LOOK_EVERY_S)
    assert "nothing at work for 121 s" in patience.spent()


def test_a_child_that_ended_takes_no_work_back() -> None:
    """Its CPU time is gone from the sum; that is neither idleness made up nor patience renewed."""
    hands = Hands()
    patience = hands.patience()
    hands.work(cpu_s=6.0, real_s=LOOK_EVERY_S)
    assert patience.spent() == ""
    hands.work(cpu_s=-5.0, real_s=LOOK_EVERY_S)
    assert patience.spent() == ""
    hands.work(cpu_s=9.0, real_s=LOOK_EVERY_S)
    assert "10 s of CPU time" in patience.spent()
