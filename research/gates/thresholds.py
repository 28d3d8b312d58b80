"""The thresholds that were in force: as a record, its digest, and what changed between two."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kernel.digest import canonical_json, sha256_hex

if TYPE_CHECKING:
    from research.settings import GateSettings


def thresholds_of(settings: "GateSettings") -> dict[str, Any]:
    """Return the thresholds by the names of `gates.yaml`, ready for JSON."""
    named = list(settings.accept_without_funding)
    return asdict(settings) | {"accept_without_funding": named}


def thresholds_digest(thresholds: Mapping[str, Any]) -> str:
    """Return the digest of the thresholds of a `gates.yaml`, whatever its comments; '' of none."""
    return sha256_hex(canonical_json(dict(thresholds))) if thresholds else ""


def changed_thresholds(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two sets of thresholds, a sentence each."""
    return [
        f"{name} {before.get(name, 'none')} → {now.get(name, 'none')}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]


def too_good(sharpe: float, thresholds: Mapping[str, Any]) -> str:
    """Return the sentence that a Sharpe ratio above what is believable deserves, '' below it."""
    bound = thresholds.get("believable_sharpe")
    if bound is None or not sharpe > bound:
        return ""
    return (
        f"too good: Sharpe {sharpe:.4g} > {bound:.4g}: on real data look for a leak before "
        "believing it; on a generated market it is the planted edge"
    )
