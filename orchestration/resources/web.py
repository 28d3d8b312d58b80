"""JSON over HTTP from a source that may throttle, fail or break off."""

import random
from collections.abc import Mapping
from typing import Any

from orchestration.resources.backoff import Backoff, SourceUnavailableError, refused


def get_json(url: str, params: Mapping[str, str], backoff: Backoff, timeout_s: float) -> Any:
    """Return the decoded answer; raise dagster Failure when the source refuses or stays away."""
    import httpx

    with httpx.Client(timeout=timeout_s, follow_redirects=True) as client:
        return backoff.call(lambda: _ask(client, url, params), url, random.Random())  # noqa: S311  # jitter


def _ask(client: Any, url: str, params: Mapping[str, str]) -> Any:
    import httpx

    try:
        response = client.get(url, params=params)
    except httpx.TransportError as error:
        raise SourceUnavailableError(f"{type(error).__name__}: {error}") from error
    if response.status_code in {418, 429} or response.status_code >= 500:
        pause = response.headers.get("retry-after", "")
        raise SourceUnavailableError(
            f"HTTP {response.status_code}", float(pause) if pause.isdigit() else 0.0
        )
    if response.status_code >= 400:
        raise refused(url, f"HTTP {response.status_code} ({response.text[:200]})", "HTTP 200")
    try:
        return response.json()
    except ValueError as error:
        raise SourceUnavailableError(f"{len(response.content)} bytes that are no JSON") from error
