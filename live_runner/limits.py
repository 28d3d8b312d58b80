"""Refuse request bodies that are larger than anything the runner needs."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 2**20


class BodyTooLargeError(Exception):
    """A body went past its limit while it was being read."""


class BodyLimit:
    """ASGI middleware: answer 413 to a body above MAX_BODY_BYTES, announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting the bytes of its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _announced(scope) > MAX_BODY_BYTES:
            await _refuse(send)
            return
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY_BYTES:
                raise BodyTooLargeError
            return message

        try:
            await self._app(scope, bounded, send)
        except BodyTooLargeError:
            await _refuse(send)


def _announced(scope: Scope) -> int:
    value = dict(scope["headers"]).get(b"content-length", b"0")
    return int(value) if value.isdigit() else 0


async def _refuse(send: Send) -> None:
    body = f'{{"detail":"body: found too much, expected at most {MAX_BODY_BYTES} bytes"}}'.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
