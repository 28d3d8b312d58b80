"""The signed word that a bundle may trade: who approved which digest, for what, in which epoch."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from kernel.digest import canonical_json
from kernel.manifest import hex_digest, mapping, parse_canonical, text, whole
from kernel.refusal import BundleRefused, Refusal

PUBLICATION_SCHEMA = "tidegate.publication/1"

Verifier = Callable[[bytes, bytes], bool]
"""Says whether a signature (first argument) is this key's over a message (second)."""


class Publication(TypedDict):
    """One publication. `epoch` grows by one with each bundle published for a symbol."""

    schema: str
    digest: str
    symbol: str
    timeframe: str
    epoch: int
    request_digest: str
    approver: str
    key_id: str
    published_at_ms: int
    signature: str


def read_publication(data: bytes, keys: Mapping[str, Verifier]) -> Publication:
    """Parse the `signature` file and check it; raises BundleRefused, and nothing else."""
    body = parse_canonical(data, Refusal.BAD_SIGNATURE)
    if body.get("schema") != PUBLICATION_SCHEMA:
        raise BundleRefused(Refusal.UNKNOWN_SCHEMA, body.get("schema"), PUBLICATION_SCHEMA)
    try:
        publication = _typed(body)
        signature = _decoded(publication["signature"])
    except ValueError as error:
        raise BundleRefused(Refusal.BAD_SIGNATURE, str(error), "a publication") from error
    key_id = publication["key_id"]
    if key_id not in keys:
        raise BundleRefused(Refusal.FOREIGN_KEY, key_id, sorted(keys))
    if not keys[key_id](signature, publication_message(body)):
        raise BundleRefused(
            Refusal.BAD_SIGNATURE, publication["signature"], f"one made by key {key_id}"
        )
    return publication


def publication_message(publication: Mapping[str, Any]) -> bytes:
    """Return the bytes that are signed: the canonical JSON of everything but `signature`."""
    return canonical_json({k: v for k, v in publication.items() if k != "signature"})


def _typed(body: dict[str, Any]) -> Publication:
    mapping(body, "publication", tuple(Publication.__annotations__))
    return {
        "schema": PUBLICATION_SCHEMA,
        "digest": hex_digest(body["digest"], "digest"),
        "symbol": text(body["symbol"], "symbol"),
        "timeframe": text(body["timeframe"], "timeframe"),
        "epoch": whole(body["epoch"], "epoch", 1),
        "request_digest": hex_digest(body["request_digest"], "request_digest"),
        "approver": text(body["approver"], "approver"),
        "key_id": text(body["key_id"], "key_id"),
        "published_at_ms": whole(body["published_at_ms"], "published_at_ms"),
        "signature": text(body["signature"], "signature", 1000),
    }


def _decoded(signature: str) -> bytes:
    """Return the bytes of a base64 text that is spelled in the one canonical way."""
    decoded = base64.b64decode(signature, validate=True)
    if base64.b64encode(decoded).decode() != signature:
        raise ValueError(f"signature: found {signature!r:.100}, expected canonical base64")
    return decoded
