"""The runner over HTTP: what it does, what it thinks of a row, and admin verbs behind a token."""

import asyncio
import hmac
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import (
    Depends,
    FastAPI,
    HTTPException,
    Response,
    WebSocket,
    WebSocketDisconnect,
)
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, Field

from kernel.decision import doubt_of
from live_runner.api.limits import BodyLimit
from live_runner.api.pace import Gate, Pace
from live_runner.desk import Desk, signal_of
from live_runner.journal.reading import JournalReader
from live_runner.loop import SymbolLoop
from live_runner.swap import SwapResult
from live_runner.watch.condition import Condition, condition
from live_runner.watch.page import cards, static
from live_runner.watch.reader import Reader
from live_runner.watch.summary import model_info, summary

MAX_BATCH = 1_000
STATIC = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'",
    "x-content-type-options": "nosniff",
}
DESCRIPTION = """
What the runner does, thinks and remembers, in JSON; the page is at [/](/).

The admin verbs need the token of the runner's admin token file: press *Authorize*.

**`/ws/signal`** is a WebSocket that sends every decision as it is made: `symbol`, `open_time_ms`,
`close`, `digest`, `epoch`, `probabilities` (SELL, HOLD, BUY), `reason`, `order`, `position_side`,
`equity`, `latency_us`. What a client sends is ignored; one that is too slow loses the newest.
"""
Value = float | None


class Features(BaseModel):
    """One row in the order of the bundle's features; null or absent features mean the last decided
    bar.
    """

    symbol: str
    features: list[Value] | None = Field(default=None, max_length=1_000)


class Batch(BaseModel):
    """Rows in the order of the bundle's features."""

    symbol: str
    rows: list[list[Value]] = Field(min_length=1, max_length=MAX_BATCH)


class SwapOrder(BaseModel):
    """Which published bundle to bring into force."""

    symbol: str
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    epoch: int = Field(ge=1)


class OfSymbol(BaseModel):
    """A verb about one symbol."""

    symbol: str


def build_app(desk: Desk) -> FastAPI:
    """Return the HTTP application of a desk.

    Whoever only looks waits for a turn and is answered from the reading thread: the loop that
    decides bars is left to them, however many look.
    """
    gate = Gate()
    reader = Reader(desk)
    app = FastAPIOffline(
        title="Tidegate live runner",
        version="1",
        description=DESCRIPTION,
        redoc_url=None,
        favicon_url="/favicon.svg",
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(Pace, gate=gate)
    _add_page(app, desk, reader)
    _add_views(app, desk, reader)
    _add_predictions(app, desk, reader)
    _add_signal(app, desk, gate)
    _add_verbs(app, desk)
    return app


def _add_verbs(app: FastAPI, desk: Desk) -> None:
    admin = [Depends(_admin(desk.settings.admin_token_file))]

    @app.post("/admin/swap", dependencies=admin, tags=["admin"])
    async def swap(order: SwapOrder) -> JSONResponse:
        """Verify, warm up and install a bundle; 409 names the rule that refuses it."""
        _loop(desk, order.symbol)
        return _answer(await desk.swapper.swap(order.symbol, order.digest, order.epoch))

    @app.post("/admin/rollback", dependencies=admin, tags=["admin"])
    async def rollback(target: OfSymbol) -> JSONResponse:
        """Go back to what decided before."""
        _loop(desk, target.symbol)
        return _answer(await desk.swapper.roll_back(target.symbol))

    @app.post("/admin/kill", dependencies=admin, tags=["admin"])
    async def kill() -> dict[str, bool]:
        """Open no more positions, until resumed; open ones run to their exits."""
        desk.set_killed(killed=True)
        return {"killed": True}

    @app.post("/admin/resume", dependencies=admin, tags=["admin"])
    async def resume() -> dict[str, bool]:
        """Take the kill switch back."""
        desk.set_killed(killed=False)
        return {"killed": False}


def _add_page(app: FastAPI, desk: Desk, reader: Reader) -> None:
    for path, name, kind in (
        ("/", "page.html", "text/html"),
        ("/page.css", "page.css", "text/css"),
        ("/page.js", "page.js", "text/javascript"),
        ("/favicon.svg", "favicon.svg", "image/svg+xml"),
    ):
        answer = Response(static(name), media_type=kind, headers=STATIC)
        app.get(path, include_in_schema=False)(partial(_same, answer))

    @app.get("/cards", response_class=HTMLResponse, include_in_schema=False)
    async def present() -> str:
        return await reader.read("cards", partial(cards, desk))


async def _same(answer: Response) -> Response:
    return answer


def _add_views(app: FastAPI, desk: Desk, reader: Reader) -> None:
    @app.get("/ready", tags=["watch"])
    async def ready() -> dict[str, bool]:
        """Say that the process answers; whether it may trade is another question, `/health`."""
        return {"ready": True}

    @app.get(
        "/health",
        responses={503: {"model": Condition, "description": "entries are halted"}},
        tags=["watch"],
    )
    async def health(response: Response) -> Condition:
        """Say of every symbol whether it may trade, and why not: 200 where all may, else 503."""
        found = await reader.read("condition", partial(condition, desk))
        response.status_code = 200 if found.status == "ok" else 503
        return found

    @app.get("/metrics", tags=["watch"])
    async def metrics() -> Response:
        """Return Prometheus metrics."""
        text = await reader.read("metrics", partial(_metrics, desk))
        return Response(text, media_type="text/plain; version=0.0.4")

    @app.get("/model/info", tags=["watch"])
    async def info(symbol: str | None = None) -> dict[str, Any]:
        """Say what decides a symbol, or every symbol."""

        def told(one: str) -> Callable[[JournalReader], dict[str, Any]]:
            return lambda journal: model_info(desk, journal, one)

        if symbol is not None:
            return await reader.read(f"model {_known(desk, symbol)}", told(symbol))
        every = desk.settings.symbols
        return {"symbols": [await reader.read(f"model {one}", told(one)) for one in every]}

    @app.get("/journal/summary", tags=["watch"])
    async def journal_summary(symbol: str) -> dict[str, Any]:
        """Return what the journal says of a symbol: bars, trades, swaps, refusals."""
        _known(desk, symbol)
        return await reader.read(
            f"summary {symbol}", lambda journal: summary(desk, journal, symbol)
        )


def _metrics(desk: Desk, journal: JournalReader) -> bytes:
    """Return the metrics, with the ages that only a look at the clock can tell."""
    for symbol, one in condition(desk, journal).symbols.items():
        if one.last_bar_age_ms is not None:
            desk.metrics.aged(symbol, one.last_bar_age_ms)
    return desk.metrics.render()


def _add_predictions(app: FastAPI, desk: Desk, reader: Reader) -> None:
    @app.post("/predict", tags=["model"])
    async def predict(body: Features) -> dict[str, Any]:
        """Return the model's view of one row; it decides nothing."""
        loop = _loop(desk, body.symbol)
        features = body.features
        if features is not None:
            return (await reader.compute(lambda: _predictions(loop, [features])))[0]
        last = loop.last
        if last is None:
            raise HTTPException(
                409, f"{body.symbol}: found no decided bar yet, expected one; wait for a bar"
            )
        return await reader.compute(lambda: _named(loop.model.judge(last.features)[0], loop))

    @app.post("/predict/batch", tags=["model"])
    async def predict_batch(body: Batch) -> list[dict[str, Any]]:
        """Return the model's view of each row."""
        loop = _loop(desk, body.symbol)
        return await reader.compute(lambda: _predictions(loop, body.rows))


def _add_signal(app: FastAPI, desk: Desk, gate: Gate) -> None:
    @app.websocket("/ws/signal")
    async def signal(socket: WebSocket) -> None:
        await socket.accept()
        queue = desk.subscribe()
        gone = asyncio.ensure_future(_gone(socket))
        try:
            while not gone.done():
                waiting = asyncio.ensure_future(queue.get())
                done, _ = await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
                if waiting not in done:
                    waiting.cancel()
                    break
                await gate.passed()
                await socket.send_json(_plain(signal_of(waiting.result())))
        except WebSocketDisconnect:
            pass
        finally:
            gone.cancel()
            desk.unsubscribe(queue)


async def _gone(socket: WebSocket) -> None:
    """Return when the client closes; what it sends is ignored."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


def _predictions(loop: SymbolLoop, rows: list[list[Value]]) -> list[dict[str, Any]]:
    bundle = loop.model.bundle
    if bundle is None:
        raise HTTPException(
            409, f"{loop.symbol}: found no bundle, expected one: rules take no feature rows"
        )
    width = len(bundle.manifest.features)
    for row in rows:
        if len(row) != width:
            raise HTTPException(422, f"features: found {len(row)} values, expected {width}")
    numbers = [[math.nan if value is None else value for value in row] for row in rows]
    inputs = np.array(numbers, dtype=np.float32)
    answers = bundle.graph.answers(inputs)
    every = zip(
        answers.probabilities.tolist(),
        answers.abstain.tolist(),
        bundle.graph.votes(inputs).tolist(),
        strict=True,
    )
    return [
        {
            **_named(probabilities, loop),
            "abstain": doubt_of(reason).name.lower(),
            "votes": dict(zip(bundle.manifest.bases, votes, strict=True)),
        }
        for probabilities, reason, votes in every
    ]


def _named(probabilities: list[float], loop: SymbolLoop) -> dict[str, Any]:
    sell, hold, buy = probabilities
    return {
        "symbol": loop.symbol,
        "digest": loop.model.digest,
        "epoch": loop.model.epoch,
        "probabilities": {"SELL": sell, "HOLD": hold, "BUY": buy},
    }


def _admin(token_file: Path) -> Any:
    """Return a dependency that lets only the bearer of the token in the file pass."""
    bearer = HTTPBearer(auto_error=False, description="the token of the admin token file")

    def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        offered = given.credentials.encode("utf-8", "surrogateescape") if given else b""
        if not hmac.compare_digest(offered, _token(token_file)):
            raise HTTPException(
                401, "found no or a wrong admin token, expected Authorization: Bearer …"
            )

    return check


def _token(path: Path) -> bytes:
    if not path.exists():
        raise HTTPException(
            503, "found no admin token file, expected one; the admin verbs are shut"
        )
    if path.stat().st_mode & 0o077:
        raise HTTPException(
            503, "found an admin token file that others may read, expected mode 600"
        )
    token = path.read_bytes().strip()
    if len(token) < 16:
        raise HTTPException(503, "found an admin token of under 16 characters, expected more")
    return token


def _known(desk: Desk, symbol: str) -> str:
    if symbol not in desk.settings.symbols:
        raise HTTPException(
            404,
            f"symbol: found {symbol[:40]!r}, expected one of {', '.join(desk.settings.symbols)}",
        )
    return symbol


def _loop(desk: Desk, symbol: str) -> SymbolLoop:
    loop = desk.loops.get(_known(desk, symbol))
    if loop is None:
        raise HTTPException(
            503, f"{symbol}: found it still starting, expected it trading; try again"
        )
    return loop


def _answer(result: SwapResult) -> JSONResponse:
    body = {name: getattr(result, name) for name in SwapResult.__slots__}
    return JSONResponse(body, 409 if result.outcome == "refused" else 200)


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body with NaN as null: JSON has no NaN."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in body.items()
    }
