"""A runner by hand: it remembers what it was told and answers like the real one."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class FakeRunner:
    """Serve /model/info and /admin/swap on a free port; `refuses` makes it refuse every swap, and
    `meanwhile` is an earlier order that it has carried out by then. `lost` says per symbol why it
    could not take up what is in force.
    """

    token: str
    refuses: str = ""
    meanwhile: dict[str, Any] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    starting: bool = False
    unwatched: frozenset[str] = frozenset()
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def info(self, symbol: str) -> dict[str, Any]:
        return {
            "status": "starting" if self.starting else "trading",
            "digest": self.digests.get(symbol, ""),
            "epoch": self.epochs.get(symbol, 0),
            "lost": self.lost.get(symbol, ""),
        }

    def swap(self, order: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked.append(order)
        if self.refuses:
            if self.meanwhile:
                self._take(self.meanwhile)
            return 409, {"reason": self.refuses, "found": "this", "expected": "that"}
        self._take(order)
        return 200, {"outcome": "swapped"}

    def _take(self, order: dict[str, Any]) -> None:
        self.epochs[order["symbol"]] = order["epoch"]
        self.digests[order["symbol"]] = order["digest"]
        self.lost.pop(order["symbol"], None)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def _handler(runner: FakeRunner) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            symbol = parse_qs(urlsplit(self.path).query)["symbol"][0]
            if symbol in runner.unwatched:
                self._answer(404, {"detail": f"symbol: found {symbol!r}"})
            else:
                self._answer(200, runner.info(symbol))

        def do_POST(self) -> None:
            order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers.get("Authorization") != f"Bearer {runner.token}":
                self._answer(401, {"detail": "found no or a wrong admin token"})
            else:
                self._answer(*runner.swap(order))

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    return Handler
