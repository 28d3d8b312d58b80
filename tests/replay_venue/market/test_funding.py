"""Settlements follow each symbol's own interval, which changes with time and at the cap."""

import numpy as np
import pytest

from replay_venue.market.climate import Climate
from replay_venue.market.funding import HOUR_MS, FundingSchedule
from replay_venue.market.generator import EndlessHistory
from replay_venue.market.weather import DAY_MS, GENESIS_MS

END_MS = GENESIS_MS + 40 * DAY_MS


def history(schedule: FundingSchedule) -> EndlessHistory:
    return EndlessHistory(Climate(7), "BTCUSDT", 0.1, schedule=schedule)


def hours_of(schedule: FundingSchedule, days: int) -> list[int]:
    times = history(schedule).funding(GENESIS_MS, GENESIS_MS + days * DAY_MS).time_ms
    return ((times - GENESIS_MS) // HOUR_MS).tolist()


def test_an_interval_holds_from_its_change_on() -> None:
    """Two days of eight hours, one of single hours, then four; nothing else of the market moves."""
    changes = ((0, 8), (GENESIS_MS + 2 * DAY_MS, 1), (GENESIS_MS + 3 * DAY_MS, 4))
    schedule = FundingSchedule(changes)
    expected = [*range(0, 48, 8), *range(48, 72), *range(72, 96, 4)]
    assert hours_of(schedule, 4) == expected
    assert [history(schedule).funding_hours(at) for at, _ in changes[1:]] == [1, 4]
    plain = history(FundingSchedule())
    assert history(schedule).bars(GENESIS_MS, END_MS, "1h").close.tobytes() == (
        plain.bars(GENESIS_MS, END_MS, "1h").close.tobytes()
    )


def test_a_rate_at_its_cap_settles_every_hour_of_the_next_eight() -> None:
    """After each settlement at the cap, and only then, the seven hours in between settle too."""
    cap = 0.00025
    eight = history(FundingSchedule()).funding(GENESIS_MS, END_MS)
    capped = eight.time_ms[np.abs(eight.value) >= cap]
    extra = {int(at) + k * HOUR_MS for at in capped for k in range(1, 8)}
    found = history(FundingSchedule(cap=cap))
    times = found.funding(GENESIS_MS, END_MS).time_ms.tolist()
    within = {at for at in extra if at < END_MS}
    assert 0 < len(capped) < len(eight.time_ms)
    assert times == sorted({*eight.time_ms.tolist(), *within})
    assert found.funding_hours(int(capped[0])) == 1


@pytest.mark.parametrize("hours", [1, 4])
def test_a_window_of_settlements_is_the_slice_of_any_longer_one(hours: int) -> None:
    """Where a window begins and ends changes no rate in it."""
    market = history(FundingSchedule(((0, hours),)))
    whole = market.funding(GENESIS_MS, END_MS)
    start_ms = GENESIS_MS + 29 * DAY_MS + 5 * HOUR_MS + 1
    part = market.funding(start_ms, start_ms + 3 * DAY_MS)
    inside = (whole.time_ms >= start_ms) & (whole.time_ms < start_ms + 3 * DAY_MS)
    assert part.time_ms.tolist() == whole.time_ms[inside].tolist()
    assert part.value.tobytes() == whole.value[inside].tobytes()


def test_a_schedule_that_cannot_be_is_refused() -> None:
    """Intervals that no exchange has, or changes out of order, say what was expected."""
    for changes in (((0, 3),), ((5, 8),), ((0, 8), (9, 4), (3, 1))):
        with pytest.raises(ValueError, match="funding schedule: found changes"):
            FundingSchedule(changes)
