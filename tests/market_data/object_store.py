"""A real S3 server for tests: moto's, answering one request at a time.

One at a time, because moto checks the condition of a PUT and stores the object in two steps, and a
store that keeps its word does both in one.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import fsspec
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A served store and the environment variables that lead to it."""

    variables: dict[str, str]

    @classmethod
    @contextmanager
    def serving(cls, *, forgetful: bool = False) -> Iterator[Self]:
        """Serve a store; a `forgetful` one ignores the condition of a PUT, as old ones do."""
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        store: Application = DomainDispatcherApplication(create_backend_app)
        server = make_server(
            "127.0.0.1", 0, _forgetful(store) if forgetful else store, request_handler=_Quiet
        )
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield cls(
                {
                    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
                    "AWS_ACCESS_KEY_ID": "key",
                    "AWS_SECRET_ACCESS_KEY": "secret",
                    "AWS_DEFAULT_REGION": "us-east-1",
                }
            )
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def make(self, bucket: str) -> None:
        """Make an empty bucket."""
        files = fsspec.filesystem(
            "s3",
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            key="key",
            secret="secret",
        )
        files.mkdir(bucket)


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  werkzeug's own name
        """Say nothing of each request."""


def _forgetful(store: Application) -> Application:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        for header in ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"):
            environ.pop(header, None)
        return store(environ, start_response)

    return application


def contents(root: str) -> dict[str, bytes]:
    """Return every parquet file under a root by its name there, read past the code under test."""
    files, top = fsspec.core.url_to_fs(root, skip_instance_cache=True, use_listings_cache=False)
    paths = [path for path in files.find(top) if path.endswith(".parquet")]
    return {path.removeprefix(f"{top}/"): files.cat_file(path) for path in paths}
