"""Requests over kept connections: whole answers, or an error that the venue's client retries."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx
import pytest

from live_runner.transport import PooledTransport

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"


async def _asked(answer: Answer, requests: int = 1) -> list[httpx.Response]:
    """Return the answers of a server that treats each connection as the test says."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        httpx.AsyncClient(
            transport=PooledTransport(), base_url=f"http://127.0.0.1:{port}", timeout=0.5
        ) as client,
    ):
        return [await client.get("/a", params={"q": "BTC USDT"}) for _ in range(requests)]


def _saying(*parts: bytes) -> Answer:
    """Return a server that answers each connection's first request and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.writelines(parts)
        writer.close()

    return answer


def test_an_answer_comes_whole_with_its_status_and_headers() -> None:
    """A compressed body is unpacked as httpx does it, and a refusal is an answer like another."""
    body = gzip.compress(b'{"serverTime": 5}')
    head = f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    (found,) = asyncio.run(_asked(_saying(OK, head, body)))
    assert (found.status_code, found.json()) == (200, {"serverTime": 5})
    refusal = _saying(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 3\r\nContent-Length: 4\r\n\r\nslow")
    (refused,) = asyncio.run(_asked(refusal))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3")
    assert refused.text == "slow"


def test_connections_are_kept() -> None:
    """Ten requests, one after the other, open one connection, and say what was asked."""
    opened: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(b"")
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                opened[-1] = head.splitlines()[0]
                writer.write(OK + b"Content-Length: 2\r\n\r\n{}")

    asyncio.run(_asked(answer, requests=10))
    assert opened == [b"GET /a?q=BTC+USDT HTTP/1.1"]


def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    """A server that hangs up after each answer costs no request."""
    found = asyncio.run(_asked(_saying(OK, b"Content-Length: 2\r\n\r\n{}"), requests=3))
    assert [one.status_code for one in found] == [200, 200, 200]


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest.mark.parametrize(
    "answer", [_saying(OK, b"Content-Length: 9\r\n\r\nhalf"), _saying(b"nonsense\r\n\r\n"), _silent]
)
def test_half_an_answer_and_none_at_all_are_errors_of_the_transport(answer: Answer) -> None:
    """A body cut off, bytes that are no HTTP and silence raise what the venue's client retries."""
    with pytest.raises(httpx.TransportError):
        asyncio.run(_asked(answer))


def test_a_closed_port_is_an_error_of_the_transport() -> None:
    """Nobody listens: the same kind of error."""

    async def ask() -> None:
        async with httpx.AsyncClient(transport=PooledTransport()) as client:
            await client.get("http://127.0.0.1:1/a")

    with pytest.raises(httpx.TransportError):
        asyncio.run(ask())
