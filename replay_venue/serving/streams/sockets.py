"""The WebSocket endpoints /ws and /stream, with the exchange's subscription messages.

The same streams are behind the roots /public and /market. The server pings every `PING_S` and drops
a client that has not answered for `PONG_WITHIN_S`; it drops one that sends more than `MAX_RATE`
messages a second, and every connection after `LIFE_S`. All of these are real seconds. Source:
developers.binance.com, "USDⓈ-M Futures / WebSocket Market Streams", Connect and Live Subscribing.
"""

import asyncio
import json
import time
from collections import deque

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from replay_venue.serving.streams.feeds import Subscriber
from replay_venue.serving.streams.publisher import Publisher
from replay_venue.serving.wire import JsonObject

MAX_STREAMS = 200
MAX_MESSAGE = 16_384
MAX_RATE = 10
PING_S = 180.0
PONG_WITHIN_S = 600.0
LIFE_S = 86_400.0
ROOTS = ("", "/public", "/market")


def router(publisher: Publisher) -> APIRouter:
    """Return the endpoints fed by `publisher`."""
    routes = APIRouter()

    async def raw(socket: WebSocket, names: str = "") -> None:
        # ccxt numbers its connections: what is no stream's name is the connection's own
        wanted = [name for name in names.split("/") if "@" in name]
        await _serve(socket, publisher, Subscriber(combined=False), wanted)

    async def combined(socket: WebSocket) -> None:
        names = [name for name in socket.query_params.get("streams", "").split("/") if name]
        await _serve(socket, publisher, Subscriber(combined=True), names)

    for root in ROOTS:
        routes.add_api_websocket_route(f"{root}/ws", raw)
        routes.add_api_websocket_route(f"{root}/ws/{{names:path}}", raw)
        routes.add_api_websocket_route(f"{root}/stream", combined)
    return routes


async def _serve(
    socket: WebSocket, publisher: Publisher, subscriber: Subscriber, names: list[str]
) -> None:
    await socket.accept()
    try:
        _subscribe(publisher, subscriber, names)
    except ValueError as error:
        publisher.unsubscribe(subscriber)
        await socket.close(1008, str(error)[:120])
        return
    sender = asyncio.create_task(_send(socket, subscriber))
    try:
        async with asyncio.timeout(LIFE_S):
            await _receive(socket, publisher, subscriber)
    except TimeoutError:
        await socket.close(1001, "a day is over")
    finally:
        publisher.unsubscribe(subscriber)
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)


async def _send(socket: WebSocket, subscriber: Subscriber) -> None:
    while (message := await subscriber.queue.get()) is not None:
        await socket.send_text(message.decode())
    await socket.close(1012, "connection dropped by the venue")


async def _receive(socket: WebSocket, publisher: Publisher, subscriber: Subscriber) -> None:
    recent: deque[float] = deque(maxlen=MAX_RATE + 1)
    while True:
        try:
            text = await socket.receive_text()
        except (WebSocketDisconnect, RuntimeError):
            return  # starlette says RuntimeError when our own side has closed
        except KeyError:
            continue  # a binary frame carries no text
        recent.append(time.monotonic())
        if len(recent) > MAX_RATE and recent[-1] - recent[0] < 1.0:
            await socket.close(1008, "Too many requests")
            return
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
) -> list[str] | bool | None:
    names = params if isinstance(params, list) else []
    if method in ("SET_PROPERTY", "GET_PROPERTY"):
        return _property(subscriber, names)
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


def _property(subscriber: Subscriber, params: list[object]) -> bool | None:
    """Return whether messages are combined, or make them so: the one property there is."""
    if params == ["combined"]:
        return subscriber.combined
    if params not in (["combined", True], ["combined", False]):
        raise ValueError("expected the property combined, to be set to true or false")
    subscriber.combined = bool(params[1])
    return None


def _subscribe(publisher: Publisher, subscriber: Subscriber, names: list[str]) -> None:
    if len(names) + len(publisher.subscriptions(subscriber)) > MAX_STREAMS:
        raise ValueError(f"found more than {MAX_STREAMS} streams, expected fewer")
    for name in names:
        publisher.subscribe(subscriber, name)
