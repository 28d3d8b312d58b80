"""REST requests are retried while that can help, and fail with a name when it cannot."""

import asyncio
import random
from collections.abc import Callable

import httpx
import pytest

from live_runner.market.venue import Pauses, Venue, VenueError, persist

QUICK = Pauses(base_s=0.0, cap_s=0.0, attempts=4)


def _ask(answers: list[httpx.Response | Exception]) -> tuple[int | str, list[str]]:
    """Return the venue's time or the error's text, and the failures told on the way."""
    told: list[str] = []

    def answer(_: httpx.Request) -> httpx.Response:
        one = answers.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    async def scenario() -> int | str:
        transport = httpx.MockTransport(answer)
        async with httpx.AsyncClient(transport=transport, base_url="http://venue") as client:
            try:
                return await Venue(client, QUICK, random.Random(0), told.append).time_ms()
            except VenueError as error:
                return str(error)

    return asyncio.run(scenario()), told


@pytest.mark.parametrize(
    "fault",
    [
        lambda: httpx.Response(429),
        lambda: httpx.Response(503),
        lambda: httpx.Response(200, text='{"serverTi'),
        lambda: httpx.ConnectError("refused"),
        lambda: httpx.ReadTimeout("slow"),
    ],
)
def test_passing_faults_are_retried(fault: Callable[[], httpx.Response | Exception]) -> None:
    """429, 5xx, half a body, a closed port and a timeout are asked again."""
    found, told = _ask([fault(), fault(), httpx.Response(200, json={"serverTime": 5})])
    assert found == 5
    assert len(told) == 2


def test_retries_end() -> None:
    """After the last attempt the error names the request and what was found."""
    found, told = _ask([httpx.Response(503, text="down")] * 4)
    assert str(found).startswith("GET /fapi/v1/time: found 503 'down', expected 200")
    assert len(told) == 4


def test_what_was_retried_in_vain_is_asked_once_until_it_answers() -> None:
    """An outage is waited out once, not at every bar; after an answer there are retries again."""
    answers = [503] * 6 + [200, 503, 200]
    told: list[str] = []

    async def scenario() -> list[int]:
        transport = httpx.MockTransport(
            lambda _: httpx.Response(answers.pop(0), json={"serverTime": 5})
        )
        times: list[int] = []
        async with httpx.AsyncClient(transport=transport, base_url="http://venue") as client:
            venue = Venue(client, QUICK, random.Random(0), told.append)
            for _ in range(3):
                with pytest.raises(VenueError, match="found 503"):
                    await venue.time_ms()
                times.append(len(told))
            return [*times, await venue.time_ms(), await venue.time_ms()]

    assert asyncio.run(scenario()) == [4, 5, 6, 5, 5]
    assert answers == []


def test_a_refused_request_is_not_repeated() -> None:
    """A 4xx other than 429 will not get better."""
    found, told = _ask([httpx.Response(400, text="Invalid symbol.")])
    assert "400 'Invalid symbol.'" in str(found)
    assert len(told) == 1


def test_backoff_grows_to_its_cap_with_jitter() -> None:
    """Waits double from the base, stay under the cap and never below half of it."""
    backoff = Pauses(base_s=0.1, cap_s=2.0, attempts=9)
    waits = [backoff.seconds(attempt, random.Random(attempt)) for attempt in range(60)]
    for attempt, wait in enumerate(waits):
        whole = min(2.0, 0.1 * 2**attempt)
        assert whole / 2 <= wait <= whole
    assert len({round(wait, 6) for wait in waits[10:]}) > 10


def test_persist_goes_on_until_the_venue_is_back() -> None:
    """An outage is waited out, not given up on."""
    failures = [VenueError("down"), VenueError("down")]

    async def call() -> str:
        if failures:
            raise failures.pop()
        return "back"

    assert asyncio.run(persist(call, QUICK, random.Random(0))) == "back"
