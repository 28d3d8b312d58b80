"""REST faults as a layer around the whole application; /control is spared."""

import asyncio
import json
import math
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from replay_venue.serving.faults import spoiled
from replay_venue.serving.faults.faults import ANSWER_KINDS, ROW_KINDS, Fault, Faults

_BODIES = {
    "http418": (418, {"code": -1003, "msg": "Way too many requests; IP banned."}),
    "http429": (
        429,
        {"code": -1003, "msg": "Too many requests; current limit is 2400 per minute."},
    ),
    "http5xx": (503, {"code": -1001, "msg": "Internal error; unable to process your request."}),
}
PIECES = 10
MAX_REQUEST = 65_536


@dataclass(frozen=True, slots=True)
class FaultyRest:
    """An ASGI layer that answers some requests badly, as `faults` says."""

    app: ASGIApp
    faults: Faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/control"):
            await self.app(scope, receive, send)
            return
        name, receive = await _named(scope, receive)
        fault = self.faults.strike("rest", name, ANSWER_KINDS)
        if fault is not None:
            await self._answer_badly(fault, scope, receive, send)
        elif self.faults.awaits(name, ROW_KINDS):
            await self.app(scope, receive, _Rewritten(send, lambda body: self._spoil(name, body)))
        else:
            await self.app(scope, receive, send)

    async def _answer_badly(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.kind == "drop":
            await _drop(send)
        elif fault.kind in _BODIES:
            await _refuse(send, fault)
        elif fault.kind == "truncate":
            await self.app(scope, receive, _Rewritten(send, lambda body: body[: len(body) // 2]))
        elif fault.kind == "drip":
            await self.app(scope, receive, _Rewritten(send, bytes, fault.delay_ms / 1_000.0))
        else:
            await asyncio.sleep(fault.delay_ms / 1_000.0)
            await self.app(scope, receive, send)

    def _spoil(self, name: str, body: bytes) -> bytes:
        """Return the answer with its rows spoiled; one that cannot be is left and not counted."""
        try:
            content = json.loads(body)
        except ValueError:
            return body
        rows = spoiled.rows_of(content)
        fault = self.faults.strike("rest", name, spoiled.possible(rows))
        if fault is None:
            return body
        spoiled.spoil(rows, fault, self.faults.random)
        return json.dumps(content, separators=(",", ":")).encode()


class _Rewritten:
    """Passes on a response with its body rewritten, its length made to fit.

    With `seconds` above 0 the body drips: it comes in pieces over so long.
    """

    def __init__(self, send: Send, rewrite: Callable[[bytes], bytes], seconds: float = 0.0) -> None:
        self._send = send
        self._rewrite = rewrite
        self._seconds = seconds
        self._start: Message = {}
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            return
        body = self._rewrite(bytes(self._body))
        headers = [pair for pair in self._start["headers"] if pair[0].lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._send({**self._start, "headers": headers})
        await self._drip(body)

    async def _drip(self, body: bytes) -> None:
        size = -(-len(body) // PIECES) if self._seconds else len(body)
        while size and len(body) > size:
            await self._send({"type": "http.response.body", "body": body[:size], "more_body": True})
            body = body[size:]
            await asyncio.sleep(self._seconds / PIECES)
        await self._send({"type": "http.response.body", "body": body})


async def _named(scope: Scope, receive: Receive) -> tuple[str, Receive]:
    """Return what the request asks for, its path and the `type` in its body, and its body again."""
    if scope["method"] != "POST":
        return scope["path"], receive
    body = b""
    more = True
    while more and len(body) <= MAX_REQUEST:
        message = await receive()
        body = body + message.get("body", b"")
        more = message.get("more_body", False)
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return whole.pop() if whole else await receive()

    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    what = asked.get("type") if isinstance(asked, dict) else None
    return f"{scope['path']}/{what}" if isinstance(what, str) else scope["path"], again


async def _drop(send: Send) -> None:
    """Announce a body that never comes: the server closes the connection."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"4096")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"[", "more_body": True})


async def _refuse(send: Send, fault: Fault) -> None:
    status, body = _BODIES[fault.kind]
    content = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    if status in (418, 429):
        headers.append((b"retry-after", str(math.ceil(fault.retry_after_s)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
