"""JSON over HTTP from a source that may throttle, fail, break off, dawdle or overwhelm."""

import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from market_data.sources.backoff import (
    Backoff,
    QuestionRefusedError,
    SourceUnavailableError,
    refused,
    retry_after_s,
)

MAX_REDIRECTS = 5
_LATER = frozenset({408, 418, 425, 429})  # 418: an exchange's ban for having ignored its 429


@dataclass(frozen=True, slots=True)
class Limits:
    """What one answer may take: seconds without a byte, seconds in all, and bytes unpacked."""

    silence_s: float = 10.0
    whole_s: float = 60.0
    largest_bytes: int = 64 << 20


LIMITS = Limits()


class AnswerRefusedError(QuestionRefusedError):
    """The source understood the question and will never answer it; `status` is its HTTP code."""

    def __init__(self, url: str, status: int, text: str) -> None:
        found = f"HTTP {status} ({text[:200]})"
        super().__init__(str(refused(url, found, "HTTP 200")))
        self.status = status


def get_json(url: str, params: Mapping[str, str], backoff: Backoff, limits: Limits = LIMITS) -> Any:
    """Return the decoded answer.

    Raises NoAnswerError when the source stays away, QuestionRefusedError when it leads to another
    host or sends more than the limits allow, and `AnswerRefusedError` when it refuses. A slow or
    broken answer is asked again.
    """
    import httpx

    with httpx.Client(timeout=min(limits.silence_s, limits.whole_s)) as client:
        return backoff.call(lambda: _ask(client, url, params, limits), url, random.Random())  # noqa: S311  # jitter


def _ask(client: Any, url: str, params: Mapping[str, str], limits: Limits) -> Any:
    """Return the answer to one question, led on within the host."""
    import httpx

    ends_at = time.monotonic() + limits.whole_s
    request = client.build_request("GET", url, params=params)
    try:
        for _ in range(MAX_REDIRECTS + 1):
            response = client.send(request, stream=True)
            try:
                if response.next_request is None:
                    return _decoded(response, url, limits, ends_at)
                request = _same_host(request, response.next_request)
            finally:
                response.close()
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise SourceUnavailableError(f"{type(error).__name__}: {error}") from error
    raise refused(url, f"more than {MAX_REDIRECTS} redirects", "an answer")


def _same_host(asked: Any, led_to: Any) -> Any:
    """Return the request that a redirect asks for; only the same host's, or its https, is made."""
    old = asked.url
    new = led_to.url
    same = (new.scheme, new.port) == (old.scheme, old.port)
    secured = (old.scheme, new.scheme, new.port) == ("http", "https", None)
    if new.host != old.host or not (same or secured):
        raise refused(str(old), f"a redirect to {new.scheme}://{new.netloc.decode()}", "none away")
    return led_to


def _decoded(response: Any, url: str, limits: Limits, ends_at: float) -> Any:
    status = response.status_code
    if status in _LATER or status >= 500:
        pause = retry_after_s(response.headers.get("retry-after", ""))
        raise SourceUnavailableError(f"HTTP {status}", pause)
    content = _content(response, url, limits, ends_at)
    if status >= 400:
        raise AnswerRefusedError(url, status, content.decode("utf-8", "replace"))
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SourceUnavailableError(f"{len(content)} bytes that are no JSON") from error


def _content(response: Any, url: str, limits: Limits, ends_at: float) -> bytes:
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > limits.largest_bytes:
            found = f"an answer of more than {limits.largest_bytes} bytes"
            raise refused(url, found, "a page of it")
        if time.monotonic() > ends_at:
            found = f"{len(content)} bytes in {limits.whole_s:g} s and no end"
            raise SourceUnavailableError(found)
    return bytes(content)
