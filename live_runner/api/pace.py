"""Let those who only look in one at a time, so that no crowd of them can hold up a bar."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

SPACING_S = 0.005  # an answer takes about one millisecond of the loop that also decides bars
VERBS = "/admin/"


class Gate:
    """Let callers through in the order in which they came, `spacing_s` apart."""

    def __init__(self, spacing_s: float = SPACING_S) -> None:
        self._spacing_s = spacing_s
        self._turn = asyncio.Lock()
        self._free_s = 0.0

    async def passed(self) -> None:
        """Return when it is the caller's turn."""
        clock = asyncio.get_running_loop()
        async with self._turn:
            wait_s = self._free_s - clock.time()
            if wait_s > 0.0:
                await asyncio.sleep(wait_s)
            self._free_s = clock.time() + self._spacing_s


class Pace:
    """ASGI middleware: requests pass the gate one by one; what an admin asks for never waits."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for a turn, then pass the request on."""
        if scope["type"] in {"http", "websocket"} and not scope["path"].startswith(VERBS):
            await self._gate.passed()
        await self._app(scope, receive, send)
