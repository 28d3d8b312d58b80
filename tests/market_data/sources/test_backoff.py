"""How often a source is asked, how long it is left alone, and what is said when it stays away."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import TidegateError
from market_data.sources.backoff import Backoff, SourceUnavailableError, retry_after_s

NOON = datetime(2025, 12, 1, 12, tzinfo=UTC)


def throttled(*waits_s: float) -> Callable[[], str]:
    """Return a source that is unavailable once per wait, and then answers."""
    answers = iter(waits_s)

    def ask() -> str:
        wait_s = next(answers, None)
        if wait_s is not None:
            raise SourceUnavailableError("HTTP 418", retry_after_s=wait_s)
        return "here"

    return ask


@given(st.integers(2, 12), st.floats(0.01, 2.0), st.floats(2.0, 30.0), st.integers(0, 2**32))
def test_pauses_grow_within_their_bounds_and_end(
    attempts: int, first_s: float, longest_s: float, seed: int
):
    """Each pause is half to all of its step, never above the longest, none at the end."""
    pauses: list[float] = []
    ask = throttled(*[0.0] * attempts)
    with pytest.raises(TidegateError):
        Backoff(attempts, first_s, longest_s).call(ask, "it", random.Random(seed), pauses.append)
    steps = [min(longest_s, first_s * 2**k) for k in range(attempts - 1)]
    assert len(pauses) == attempts - 1
    assert all(step / 2 <= pause <= step for pause, step in zip(pauses, steps, strict=True))
    assert all(earlier <= later * 2 for earlier, later in pairwise(pauses))


def test_source_is_never_asked_before_it_allows_it():
    """What a Retry-After asks for is waited in full, also beyond the longest pause of our own."""
    pauses: list[float] = []
    backoff = Backoff(5, first_delay_s=0.1, longest_delay_s=10.0, patience_s=60.0)
    assert backoff.call(throttled(3.0, 50.0), "it", random.Random(1), pauses.append) == "here"
    assert pauses == [3.0, 50.0]


def test_long_ban_ends_the_run_at_once_and_says_how_long():
    """A ban beyond our patience is neither waited for nor broken."""
    pauses: list[float] = []
    with pytest.raises(TidegateError, match="left alone for 7200 s"):
        Backoff(5, 0.1, 10.0).call(throttled(7_200.0), "klines", random.Random(1), pauses.append)
    assert pauses == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        (format_datetime(datetime(2025, 12, 1, 12, 2, tzinfo=UTC), usegmt=True), 120.0),
        (format_datetime(datetime(2025, 12, 1, 11, tzinfo=UTC), usegmt=True), 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float):
    """Both forms of the header are understood; anything else asks for nothing."""
    assert retry_after_s(header, NOON) == seconds
