"""The venue as one ASGI application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from replay_venue.serving import (
    clock,
    coinbase,
    control,
    hyperliquid,
    rest,
    sidedata,
    wire,
)
from replay_venue.serving.depth import Books
from replay_venue.serving.faults.faulty import FaultyRest
from replay_venue.serving.parameters import RefusedError
from replay_venue.serving.restated import restatable
from replay_venue.serving.streams import sockets
from replay_venue.serving.streams.publisher import Publisher
from replay_venue.serving.venue import ServedVenue

SAVE_EVERY_S = 1.0


def application(venue: ServedVenue, state_file: Path | None = None) -> ASGIApp:
    """Return the application; it publishes while it runs and keeps the clock in `state_file`."""
    venue = restatable(venue)
    books = Books(venue)
    publisher = Publisher(venue, books)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(publisher.run())]
        if state_file is not None:
            tasks.append(asyncio.create_task(_keep_state(venue, state_file)))
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if state_file is not None:
            clock.save(venue.clock.state(), state_file)

    app = FastAPI(title="Tidegate replay venue", lifespan=lifespan)
    app.include_router(rest.router(venue, books))
    for part in (sidedata, coinbase, hyperliquid, control):
        app.include_router(part.router(venue))
    app.include_router(sockets.router(publisher))
    app.add_exception_handler(RefusedError, _refused)
    return FaultyRest(app, venue.faults)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return wire.response({"code": error.code, "msg": error.message}, error.status)


async def _keep_state(venue: ServedVenue, path: Path) -> None:
    while True:
        clock.save(venue.clock.state(), path)
        await asyncio.sleep(SAVE_EVERY_S)
