"""aggTrades and trades: by time, by id, the latest; each trade once, none of the future."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.replay_venue.clockwork import Clockwork
from tests.replay_venue.served import Served, at, clockwork

AGG = "/fapi/v1/aggTrades"
NOW = at("2025-04-10 07:07:31")
START = at("2025-03-31")
ALL = Clockwork().trades("BTCUSDT", START, NOW + 1)
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def venue() -> Iterator[Served]:
    with clockwork("2025-04-10 07:07:31", history="2025-03-31") as served:
        yield served


def ids(served: Served, **query: Any) -> list[int]:
    return [row["a"] for row in served.get(AGG, symbol="BTCUSDT", **query)]


@settings(max_examples=80, deadline=None)
@given(start=st.integers(START - HOUR_MS, NOW), length=st.integers(0, HOUR_MS))
def test_a_window_holds_its_first_trades(venue: Served, start: int, length: int) -> None:
    """startTime to endTime, both inclusive, gives the first `limit` trades of it."""
    inside = ALL.trade_id[(ALL.time_ms >= start) & (ALL.time_ms <= start + length)]
    found = ids(venue, startTime=start, endTime=start + length, limit=100)
    assert found == inside[:100].tolist()


@settings(max_examples=60, deadline=None)
@given(at_row=st.integers(-5, len(ALL.trade_id) + 5), limit=st.integers(1, 1_000))
def test_any_id_leads_on_from_there(venue: Served, at_row: int, limit: int) -> None:
    """fromId gives the trades from that id on, wherever it lies."""
    wanted = int(ALL.trade_id[0]) + at_row
    expected = [one for one in ALL.trade_id.tolist() if one >= wanted][:limit]
    assert ids(venue, fromId=wanted, limit=limit) == expected


def test_pages_by_id_make_up_the_day(venue: Served) -> None:
    """Paging by fromId meets every trade of a day exactly once."""
    found = ids(venue, startTime=at("2025-04-09"), limit=1_000)
    while page := ids(venue, fromId=found[-1] + 1, limit=1_000):
        found += page
    assert found == ALL.trade_id[ALL.time_ms >= at("2025-04-09")].tolist()


def test_without_a_window_the_latest_are_shown(venue: Served) -> None:
    """The default is the last 500 trades; nothing after the clock."""
    assert ids(venue) == ALL.trade_id[-500:].tolist()
    assert ids(venue, endTime=at("2025-04-02"), limit=3) == [
        int(one) for one in ALL.trade_id[ALL.time_ms <= at("2025-04-02")][-3:]
    ]
    recent = venue.get("/fapi/v1/trades", symbol="BTCUSDT", limit=7)
    assert [row["id"] for row in recent] == ALL.trade_id[-7:].tolist()


def test_a_trade_has_the_exchange_s_fields(venue: Served) -> None:
    """Price and quantity are decimals; m says that the taker sold."""
    rows = venue.get(AGG, symbol="BTCUSDT", limit=50)
    assert set(rows[0]) == {"a", "p", "q", "nq", "f", "l", "T", "m"}
    assert [float(row["p"]) for row in rows] == ALL.price[-50:].tolist()
    assert [row["m"] for row in rows] == (ALL.side[-50:] < 0).tolist()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"startTime": START, "endTime": START + HOUR_MS + 1}, -1127),
        ({"startTime": 9, "endTime": 8}, -1023),
        ({"limit": 1_001}, -1130),
        ({"fromId": "x"}, -1100),
        ({"symbol": "NOPEUSDT"}, -1121),
        ({"symbol": ""}, -1102),
    ],
)
def test_bad_questions_are_refused(venue: Served, query: dict[str, Any], code: int) -> None:
    """The exchange's code says what is wrong."""
    answer = venue.http.get(AGG, params={"symbol": "BTCUSDT", **query})
    assert (answer.status_code, answer.json()["code"]) == (400, code)
