"""Make the signed record that lets a runner trade a bundle."""

import base64
from collections.abc import Callable
from typing import Any

from kernel.bundle import PUBLICATION_SCHEMA, publication_message


def publication(
    *,
    digest: str,
    symbol: str,
    timeframe: str,
    epoch: int,
    request_digest: str,
    approver: str,
    key_id: str,
    published_at_ms: int,
    sign: Callable[[bytes], bytes],
) -> dict[str, Any]:
    """Return the publication of a bundle as `epoch` of its symbol, signed over all its fields.

    `sign` maps a message to an Ed25519 signature by the private half of `key_id`.
    """
    unsigned: dict[str, Any] = {
        "schema": PUBLICATION_SCHEMA,
        "digest": digest,
        "symbol": symbol,
        "timeframe": timeframe,
        "epoch": epoch,
        "request_digest": request_digest,
        "approver": approver,
        "key_id": key_id,
        "published_at_ms": published_at_ms,
    }
    signature = sign(publication_message(unsigned))
    return {**unsigned, "signature": base64.b64encode(signature).decode()}
