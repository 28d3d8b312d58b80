"""One spelling of a value as bytes, and its digest."""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Return the one UTF-8 spelling of a JSON value: sorted keys, no spaces, no NaN or infinity.

    Raises ValueError for NaN, infinity and lone surrogates, TypeError for what JSON cannot hold.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8")


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of the bytes as 64 lower-case hex characters."""
    return hashlib.sha256(data).hexdigest()
