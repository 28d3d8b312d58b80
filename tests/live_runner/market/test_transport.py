"""The venue over real connections: whole answers, or an error that names what was found."""

import asyncio
import gzip
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx
import pytest
from httpx_aiohttp import AiohttpTransport

from live_runner.market.venue import Pauses, Venue, VenueError

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"
TIME = b'{"serverTime": 5}'


async def _asked(answer: Answer, requests: int = 1) -> list[int]:
    """Return the times told by a server that treats each connection as the test says."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        return await _times(server.sockets[0].getsockname()[1], requests)


async def _times(port: int, requests: int = 1) -> list[int]:
    async with httpx.AsyncClient(
        transport=AiohttpTransport(), base_url=f"http://127.0.0.1:{port}", timeout=5.0
    ) as client:
        backoff = Pauses(base_s=0.0, cap_s=0.0, attempts=1)
        venue = Venue(client, backoff, random.Random(0), lambda _: None)
        return [await venue.time_ms() for _ in range(requests)]


def _saying(*parts: bytes) -> Answer:
    """Return a server that answers each connection's first request and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.writelines(parts)
        writer.close()

    return answer


def test_a_compressed_answer_comes_whole() -> None:
    """A compressed body is unpacked."""
    body = gzip.compress(TIME)
    head = f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert asyncio.run(_asked(_saying(OK, head, body))) == [5]


def test_connections_are_kept() -> None:
    """Ten requests, one after the other, open one connection."""
    opened: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(b"")
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                opened[-1] = head.splitlines()[0]
                writer.write(OK + b"Content-Length: 17\r\n\r\n" + TIME)

    assert asyncio.run(_asked(answer, requests=10)) == [5] * 10
    assert opened == [b"GET /fapi/v1/time HTTP/1.1"]


def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    """A server that hangs up after each answer costs no request."""
    answer = _saying(OK, b"Content-Length: 17\r\n\r\n", TIME)
    assert asyncio.run(_asked(answer, requests=3)) == [5, 5, 5]


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest.mark.parametrize(
    "answer", [_saying(OK, b"Content-Length: 9\r\n\r\nhalf"), _saying(b"nonsense\r\n\r\n"), _silent]
)
def test_half_an_answer_and_none_at_all_are_refused_by_name(answer: Answer) -> None:
    """A body cut off, bytes that are no HTTP and silence are a VenueError, and nothing else."""
    with pytest.raises(VenueError, match="GET /fapi/v1/time: found"):
        asyncio.run(_asked(answer))


def test_a_closed_port_is_refused_by_name() -> None:
    """Nobody listens: the same kind of error."""
    with pytest.raises(VenueError, match="is the venue up"):
        asyncio.run(_times(1))
