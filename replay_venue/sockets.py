"""The WebSocket endpoints /ws and /stream, with the exchange's subscription messages.

Source: developers.binance.com, "USDⓈ-M Futures / WebSocket Market Streams / Live Subscribing".
"""

import asyncio
import json

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from replay_venue.streams import Publisher, Subscriber
from replay_venue.wire import JsonObject

MAX_STREAMS = 200
MAX_MESSAGE = 16_384


def router(publisher: Publisher) -> APIRouter:
    """Return the endpoints fed by `publisher`."""
    routes = APIRouter()

    @routes.websocket("/ws")
    async def bare(socket: WebSocket) -> None:
        await _serve(socket, publisher, Subscriber(combined=False), [])

    @routes.websocket("/ws/{names:path}")
    async def single(socket: WebSocket, names: str) -> None:
        await _serve(socket, publisher, Subscriber(combined=False), names.split("/"))

    @routes.websocket("/stream")
    async def combined(socket: WebSocket) -> None:
        names = [name for name in socket.query_params.get("streams", "").split("/") if name]
        await _serve(socket, publisher, Subscriber(combined=True), names)

    return routes


async def _serve(
    socket: WebSocket, publisher: Publisher, subscriber: Subscriber, names: list[str]
) -> None:
    await socket.accept()
    try:
        _subscribe(publisher, subscriber, names)
    except ValueError as error:
        await socket.close(1008, str(error)[:120])
        return
    sender = asyncio.create_task(_send(socket, subscriber))
    try:
        await _receive(socket, publisher, subscriber)
    finally:
        publisher.unsubscribe(subscriber)
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)


async def _send(socket: WebSocket, subscriber: Subscriber) -> None:
    while (message := await subscriber.queue.get()) is not None:
        await socket.send_text(message.decode())
    await socket.close(1012, "connection dropped by the venue")


async def _receive(socket: WebSocket, publisher: Publisher, subscriber: Subscriber) -> None:
    while True:
        try:
            text = await socket.receive_text()
        except (WebSocketDisconnect, RuntimeError):
            return  # starlette says RuntimeError when our own side has closed
        except KeyError:
            continue  # a binary frame carries no text
        await subscriber.queue.put(json.dumps(_answer(publisher, subscriber, text)).encode())


def _answer(publisher: Publisher, subscriber: Subscriber, text: str) -> JsonObject:
    """Return the reply to one subscription message."""
    request = _parsed(text)
    identity = request.get("id")
    try:
        result = _apply(publisher, subscriber, request.get("method"), request.get("params", []))
    except ValueError as error:
        return {"error": {"code": 2, "msg": f"Invalid request: {error}"}, "id": identity}
    return {"result": result, "id": identity}


def _parsed(text: str) -> JsonObject:
    """Return the request, empty if it is none: that has no method, so it is refused."""
    try:
        request = json.loads(text) if len(text) <= MAX_MESSAGE else None
    except (ValueError, RecursionError):
        return {}
    return request if isinstance(request, dict) else {}


def _apply(
    publisher: Publisher, subscriber: Subscriber, method: object, params: object
) -> list[str] | None:
    names = params if isinstance(params, list) else []
    if not all(isinstance(name, str) for name in names):
        raise ValueError("params must be names of streams")
    if method == "LIST_SUBSCRIPTIONS":
        return publisher.subscriptions(subscriber)
    if method == "SUBSCRIBE":
        _subscribe(publisher, subscriber, names)
    elif method == "UNSUBSCRIBE":
        for name in names:
            publisher.unsubscribe(subscriber, name)
    else:
        raise ValueError(f"unknown method {method!r}")
    return None


def _subscribe(publisher: Publisher, subscriber: Subscriber, names: list[str]) -> None:
    if len(names) + len(publisher.subscriptions(subscriber)) > MAX_STREAMS:
        raise ValueError(f"found more than {MAX_STREAMS} streams, expected fewer")
    for name in names:
        publisher.subscribe(subscriber, name)
