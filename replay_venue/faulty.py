"""REST faults as a layer around the whole application; /control is spared."""

import asyncio
import json
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from replay_venue.faults import Faults

_BODIES = {
    "http429": (
        429,
        {"code": -1003, "msg": "Too many requests; current limit is 2400 per minute."},
    ),
    "http5xx": (503, {"code": -1001, "msg": "Internal error; unable to process your request."}),
}
RETRY_AFTER_S = 1


@dataclass(frozen=True, slots=True)
class FaultyRest:
    """An ASGI layer that answers some requests badly, as `faults` says."""

    app: ASGIApp
    faults: Faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/control"):
            await self.app(scope, receive, send)
            return
        fault = self.faults.strike("rest", scope["path"])
        kind = fault.kind if fault else None
        if fault is not None and kind == "slow":
            await asyncio.sleep(fault.delay_ms / 1_000.0)
        if kind == "drop":
            await _drop(send)
        elif kind in _BODIES:
            await _refuse(send, *_BODIES[kind])
        elif kind == "truncate":
            await self.app(scope, receive, _Truncated(send))
        else:
            await self.app(scope, receive, send)


class _Truncated:
    """Passes on a response with the second half of its body cut off, its length made to fit."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message = {}
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            return
        body = bytes(self._body[: len(self._body) // 2])
        headers = [pair for pair in self._start["headers"] if pair[0].lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


async def _drop(send: Send) -> None:
    """Announce a body that never comes: the server closes the connection."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"4096")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"[", "more_body": True})


async def _refuse(send: Send, status: int, body: dict[str, object]) -> None:
    content = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    if status == 429:
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
