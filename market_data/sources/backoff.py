"""Ask a source again when it cannot answer: bounded, spaced out, and visible when it stays away."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from kernel.errors import TidegateError

if TYPE_CHECKING:
    from tenacity import RetryCallState

Answer = TypeVar("Answer")


class SourceUnavailableError(Exception):
    """Say that a source could not answer now: down, throttled, or broken off in the middle."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class NoAnswerError(TidegateError):
    """A source that did not answer although it was asked again and again; it may do so later."""

    passing = True


class QuestionRefusedError(TidegateError):
    """A request that a source understood and will never answer, or a setting that names none."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Wait `first_delay_s`, then twice as long each time, up to `longest_delay_s`, with jitter.

    A source that says how long to leave it alone is never asked earlier. It is waited for up to
    `patience_s`; a longer ban ends the run, which says until when.
    """

    attempts: int
    first_delay_s: float
    longest_delay_s: float
    patience_s: float = 300.0

    def call(
        self,
        ask: Callable[[], Answer],
        what: str,
        rng: random.Random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Answer:
        """Return the first answer; raise NoAnswerError when `ask` was unavailable every time."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt

        asking = Retrying(
            stop=stop_after_attempt(self.attempts),
            retry=retry_if_exception(self._may_pass),
            wait=partial(self._pause_s, rng=rng),
            sleep=sleep,
            reraise=True,
        )
        try:
            return asking(ask)
        except SourceUnavailableError as error:
            if not self._may_pass(error):
                raise _banned(what, str(error), error.retry_after_s) from error
            raise unavailable(what, self.attempts, str(error)) from error

    def _may_pass(self, error: BaseException) -> bool:
        """Say whether the source may answer before our patience ends."""
        return isinstance(error, SourceUnavailableError) and error.retry_after_s <= self.patience_s

    def _pause_s(self, state: "RetryCallState", rng: random.Random) -> float:
        """Return half to all of the step's delay, and not less than the source asked for."""
        from tenacity import wait_exponential

        step = wait_exponential(multiplier=self.first_delay_s, max=self.longest_delay_s)
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.retry_after_s if isinstance(error, SourceUnavailableError) else 0.0
        return max(step(state) * rng.uniform(0.5, 1.0), asked_s)


PATIENT = Backoff(attempts=7, first_delay_s=0.5, longest_delay_s=20.0)
"""How a run asks: seven times within about a minute, which outlasts a restart of the source."""


def retry_after_s(header: str, now: datetime | None = None) -> float:
    """Return the seconds in a Retry-After header, which holds a number or an HTTP date; 0 if none.

    Source: RFC 9110, 10.2.3.
    """
    if header.strip().isdigit():
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except (TypeError, ValueError):
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


def unavailable(what: str, attempts: int, last: str) -> NoAnswerError:
    """Return the error of a source that never answered, with what a person can do."""
    return NoAnswerError(
        f"{what}: found no answer in {attempts} attempts (last: {last}), "
        "expected one; see whether it is up (`tidegate doctor`), then launch the run again: "
        "what was read is in the lake, and the run goes on from there"
    )


def refused(what: str, found: str, expected: str) -> QuestionRefusedError:
    """Return the error of a request that the source understood and will never answer."""
    return QuestionRefusedError(
        f"{what}: found {found}, expected {expected}; correct it, then launch again"
    )


def _banned(what: str, reason: str, retry_after_s: float) -> NoAnswerError:
    return NoAnswerError(
        f"{what}: found {reason}, which asks to be left alone for {retry_after_s:.0f} s, "
        "expected an answer; launch the run again after that: what was read is in the lake, "
        "and the run goes on from there"
    )
