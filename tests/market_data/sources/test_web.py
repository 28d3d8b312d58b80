"""JSON from a server that does whatever a bad day brings: an answer, another try, or a failure."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kernel.errors import TidegateError
from market_data.sources.backoff import Backoff
from market_data.sources.web import AnswerRefusedError, Limits, get_json
from tests.hung import HUNG_S

IMPATIENT = Backoff(attempts=3, first_delay_s=0.001, longest_delay_s=0.01)
SMALL = Limits(silence_s=60.0, whole_s=1.5, largest_bytes=10_000)
GOOD = b'{"data": [1, 2]}'

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers each request with the next of `answers`, then with good JSON; keeps the paths."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[Answer] = []
        self.paths: list[str] = []
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the name the standard library calls
        server = self.server
        assert isinstance(server, Server)
        server.paths.append(self.path)
        answer = server.answers.pop(0) if server.answers else said(200, GOOD)
        try:
            answer(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


def said(status: int, body: bytes = b"", **headers: str) -> Answer:
    """Answer with these headers (underscores are dashes) and this body."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def dripping(handler: BaseHTTPRequestHandler) -> None:
    """Send a byte now and then, each soon enough for a timeout of one read, and never end."""
    handler.send_response(200)
    handler.end_headers()
    server = handler.server
    assert isinstance(server, Server)
    while not server.ended.wait(0.05):
        handler.wfile.write(b" ")
        handler.wfile.flush()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.ended.set()
        running.shutdown()
        thread.join(timeout=HUNG_S)


def ask(server: Server, limits: Limits = SMALL) -> object:
    return get_json(f"{server.url}/data", {"page": "a b"}, IMPATIENT, limits)


def failure_of(server: Server, limits: Limits = SMALL) -> str:
    with pytest.raises(TidegateError) as failure:
        ask(server, limits)
    return str(str(failure.value))


def test_answer_is_decoded_and_the_question_escaped(server: Server):
    """Parameters arrive as they were meant."""
    assert ask(server) == {"data": [1, 2]}
    assert server.paths == ["/data?page=a+b"]


@pytest.mark.parametrize("status", [408, 418, 425, 429, 500, 502, 503])
def test_server_that_asks_for_later_is_asked_later(server: Server, status: int):
    """Throttled, banned or failing now: asked again, and the answer counts."""
    server.answers = [said(status, Retry_After="0"), said(status)]
    assert ask(server) == {"data": [1, 2]}
    assert len(server.paths) == 3


@pytest.mark.parametrize(
    "bad",
    [
        said(200, GOOD[:-3]),
        said(200, GOOD, Content_Length="999"),
        said(200, b"[" * 100_000, Content_Length="100000"),
        said(200, gzip.compress(GOOD)[:-16], Content_Encoding="gzip"),
        said(204),
        dripping,
    ],
    ids=["half", "cut", "deep", "half a gzip", "empty", "dripping"],
)
def test_broken_answer_is_asked_for_again(server: Server, bad: Answer):
    """Half a payload, no payload, a body that never ends: none of it is data."""
    server.answers = [bad, bad]
    limits = Limits(SMALL.silence_s, SMALL.whole_s, 1_000_000)
    assert get_json(f"{server.url}/data", {}, IMPATIENT, limits) == {"data": [1, 2]}
    assert len(server.paths) == 3


def test_dripping_server_costs_its_time_and_no_more(server: Server):
    """The deadline is that of the whole answer: a byte in time does not earn another wait."""
    server.answers = [dripping] * 3
    text = failure_of(server)
    assert "found no answer in 3 attempts" in text
    assert "in 1.5 s and no end" in text


def test_silent_server_is_left_in_time(server: Server):
    """No byte at all ends at the shorter of the two limits."""
    server.answers = [lambda handler: bool(server.ended.wait(HUNG_S)) and None] * 3
    assert "ReadTimeout" in failure_of(server)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_refusal_is_not_asked_again(server: Server, status: int):
    """What no retry can change fails at once, with the server's words and its code."""
    server.answers = [said(status, b'{"error": "no such metric"}')]
    with pytest.raises(AnswerRefusedError) as failure:
        ask(server)
    assert failure.value.status == status
    assert f'HTTP {status} ({{"error": "no such metric"}})' in str(str(failure.value))
    assert len(server.paths) == 1


def test_body_without_measure_is_refused(server: Server):
    """More bytes than a page has, also unpacked ones, end the reading there."""
    server.answers = [said(200, b" " * 20_000)]
    assert "more than 10000 bytes" in failure_of(server)
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    server.answers = [said(200, bomb, Content_Encoding="gzip")]
    assert "more than 10000 bytes" in failure_of(server)


def test_redirect_within_the_host_is_followed(server: Server):
    """A server may move its pages; the question goes with them."""
    server.answers = [said(301, Location="/data/?page=a+b"), said(302, Location="/again")]
    assert ask(server) == {"data": [1, 2]}
    assert server.paths == ["/data?page=a+b", "/data/?page=a+b", "/again"]


@pytest.mark.parametrize(
    "location", ["http://example.org/data", "http://localhost:{port}/", "http://127.0.0.1:9/x", "ftp://127.0.0.1/"]
)  # fmt: skip
def test_redirect_to_another_host_is_refused(server: Server, location: str):
    """Data come from where the settings say, whatever the server would like."""
    server.answers = [said(302, Location=location.format(port=server.server_port))]
    assert "a redirect to" in failure_of(server)
    assert len(server.paths) == 1


def test_redirects_that_go_round_end(server: Server):
    """A circle is left after a few rounds."""
    server.answers = [said(302, Location="/round")] * 50
    assert "more than 5 redirects" in failure_of(server)
    assert len(server.paths) == 6


def test_ban_is_waited_for_as_long_as_the_server_says(server: Server):
    """A ban longer than a run's patience ends the run at once, and says so."""
    server.answers = [said(418, Retry_After="86400")]
    failure_of(server)
    assert len(server.paths) == 1
    assert json.loads(GOOD) == ask(server)
