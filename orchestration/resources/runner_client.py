"""The live runner's admin side over HTTP: what it trades by, and moving it to a publication."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx

from kernel.errors import TidegateError

Outcome = Literal["confirmed", "scheduled", "starting", "refused", "unwatched", "unreachable"]


class RunnerUnreachableError(TidegateError):
    """Say that the runner does not answer, or answers what it should not."""

    passing = True


class SymbolUnwatchedError(TidegateError):
    """Say that the runner does not trade a symbol of which something stands published."""


@dataclass(frozen=True, slots=True)
class Running:
    """What a runner trades one symbol by: '' and epoch 0 are its rules.

    `lost` says that it runs nothing because it could not take up what is in force, as after a start
    that met an unreadable bundle. `starting` says that it reads its history, and runs nothing yet.
    """

    digest: str
    epoch: int
    lost: bool = False
    starting: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt to move the runner to a publication ended, and why."""

    symbol: str
    epoch: int
    outcome: Outcome
    detail: str

    def __str__(self) -> str:
        return f"{self.symbol} epoch {self.epoch} {self.outcome}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerClient:
    """Talk to the runner at `url`; `token_file` holds the bearer token of its admin verbs."""

    url: str
    token_file: str
    timeout_s: float

    def running(self, symbol: str) -> Running:
        """Return what the runner trades `symbol` by.

        Raises RunnerUnreachableError, or SymbolUnwatchedError for a symbol that it does not know.
        """
        answer = self._send("GET", "/model/info", params={"symbol": symbol})
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise SymbolUnwatchedError(
                f"{symbol}: found that the runner does not watch it, expected it among its "
                "symbols; name it in universe.yaml and start Tidegate anew, or let it be"
            )
        if answer.status_code != httpx.codes.OK:
            raise self._unexpected("GET /model/info", answer)
        try:
            body = answer.json()
            running = _running(body)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._unexpected("GET /model/info", answer) from error
        return running

    def settle(self, head: Mapping[str, Any]) -> Settlement:
        """Move the runner to a publication where it is behind; report what it runs then.

        A runner that lost the bundle of this very epoch is asked to take it up again.
        """
        symbol, epoch = str(head["symbol"]), int(head["epoch"])
        try:
            before = self.running(symbol)
            if before.starting:
                return Settlement(symbol, epoch, "starting", "the runner reads its history")
            if before.epoch > epoch or (before.epoch == epoch and not before.lost):
                return _judged(symbol, head, before)
            return self._moved(symbol, head)
        except SymbolUnwatchedError as error:
            return Settlement(symbol, epoch, "unwatched", str(error))
        except RunnerUnreachableError as error:
            return Settlement(symbol, epoch, "unreachable", str(error))

    def _moved(self, symbol: str, head: Mapping[str, Any]) -> Settlement:
        """Order the swap; return what the runner says of it. Raises RunnerUnreachableError."""
        digest, epoch = str(head["digest"]), int(head["epoch"])
        order = {"symbol": symbol, "digest": digest, "epoch": epoch}
        answer = self._admin("/admin/swap", order)
        if answer.status_code not in (httpx.codes.OK, httpx.codes.CONFLICT):
            raise self._unexpected("POST /admin/swap", answer)
        after = self.running(symbol)
        if answer.status_code == httpx.codes.CONFLICT:
            # An earlier order may have timed out here and gone on there: then what was asked is
            # in force, and this one is stale.
            if after == Running(digest, epoch):
                return _judged(symbol, head, after)
            return Settlement(symbol, epoch, "refused", self._refusal(answer))
        if after.epoch >= epoch and not after.lost:
            return _judged(symbol, head, after)
        return Settlement(symbol, epoch, "scheduled", "swaps at the next bar")

    def _admin(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        try:
            token = Path(self.token_file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise RunnerUnreachableError(
                f"runner at {self.url}: found {error} at the admin token, expected it in "
                f"{self.token_file}; restore keys/ from a copy, or make the file readable"
            ) from error
        return self._send("POST", path, json=body, headers={"Authorization": f"Bearer {token}"})

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return httpx.request(method, f"{self.url}{path}", timeout=self.timeout_s, **options)
        except httpx.HTTPError as error:
            raise RunnerUnreachableError(
                f"runner at {self.url}: found {error!r} on {method} {path}, expected an answer"
            ) from error

    def _refusal(self, answer: httpx.Response) -> str:
        try:
            body = dict(answer.json())
        except (ValueError, TypeError) as error:
            raise self._unexpected("POST /admin/swap", answer) from error
        return f"{body.get('reason')}: found {body.get('found')}, expected {body.get('expected')}"

    def _unexpected(self, call: str, answer: httpx.Response) -> RunnerUnreachableError:
        return RunnerUnreachableError(
            f"runner at {self.url}: found {answer.status_code} {answer.text[:200]!r} on {call}, "
            "expected 200"
        )


def _running(body: Mapping[str, Any]) -> Running:
    digest = str(body["digest"])
    epoch = int(body["epoch"])
    return Running(
        digest=digest,
        epoch=epoch,
        # An older runner does not tell: one without a bundle at a published epoch is asked.
        lost=bool(body.get("lost", epoch > 0 and not digest)),
        starting=body.get("status") == "starting",
    )


def _judged(symbol: str, head: Mapping[str, Any], running: Running) -> Settlement:
    epoch = int(head["epoch"])
    if running == Running(head["digest"], epoch):
        return Settlement(symbol, epoch, "confirmed", f"trades by {running.digest}")
    found = f"the runner is at epoch {running.epoch} with {running.digest or 'its rules'}"
    return Settlement(symbol, epoch, "refused", f"{found}, expected {head['digest']}")
