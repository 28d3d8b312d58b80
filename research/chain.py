"""Entries of which every one names the hash of the one before it: what a changed line breaks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from kernel.digest import canonical_json, sha256_hex

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one line of the log: the `seq`-th thing that happened, at `at_ms` (milliseconds UTC)."""

    seq: int
    prev: str
    at_ms: int
    kind: str
    body: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """Return sha256(prev ‖ canonical JSON of everything else)."""
        content = {"seq": self.seq, "at_ms": self.at_ms, "kind": self.kind, "body": self.body}
        return sha256_hex(self.prev.encode() + canonical_json(content))

    def line(self) -> bytes:
        """Return the entry as one line of canonical JSON, newline included."""
        return canonical_json({**asdict(self), "hash": self.hash}) + b"\n"


@dataclass(frozen=True, slots=True)
class Break:
    """Name the first entry that does not stand: its place, what was found and expected."""

    seq: int
    found: str
    expected: str
    remedy: str = "restore promotion/ from a copy before anything is published"
    log: str = "audit log"

    def __str__(self) -> str:
        return (
            f"{self.log}: entry {self.seq} is broken: found {self.found}, expected {self.expected}"
        )


def following(entries: Sequence[Entry], at_ms: int, kind: str, body: Mapping[str, Any]) -> Entry:
    """Return the entry that continues the chain of `entries`."""
    prev = entries[-1].hash if entries else GENESIS
    return Entry(seq=len(entries), prev=prev, at_ms=at_ms, kind=kind, body=body)


def chained(log: bytes) -> tuple[list[Entry], Break | None]:
    """Return the entries of a log's finished lines that stand, and the first that does not.

    A last line without a newline was never finished, and is no entry.
    """
    entries, broken = _chain(log)
    return list(entries), broken


@lru_cache(maxsize=4)
def _chain(log: bytes) -> tuple[tuple[Entry, ...], Break | None]:
    """Return the entries that follow from each other, and the first that does not.

    The same bytes are the same chain: a log of years is looked at every few seconds.
    """
    entries: list[Entry] = []
    prev = GENESIS
    for seq, line in enumerate(log.split(b"\n")[:-1]):
        entry = _parse(line, seq, prev)
        if isinstance(entry, Break):
            return tuple(entries), entry
        entries.append(entry)
        prev = entry.hash
    return tuple(entries), None


def _parse(line: bytes, seq: int, prev: str) -> Entry | Break:
    try:
        fields: dict[str, Any] = dict(json.loads(line, parse_constant=_refuse_constant))
        claimed = fields.pop("hash")
        entry = Entry(**fields)
        expected = entry.hash
        canonical = entry.line()
    except (ValueError, TypeError, KeyError):
        return Break(seq, repr(line[:80]), "one entry as canonical JSON on one line")
    if entry.seq != seq:
        return Break(seq, f"entry {entry.seq!r} in its place", f"entry {seq}")
    if entry.prev != prev:
        return Break(seq, f"prev {entry.prev!r}", f"prev {prev!r}")
    if claimed != expected:
        return Break(seq, f"hash {claimed!r}", f"hash {expected!r}")
    if line + b"\n" != canonical:
        return Break(seq, repr(line[:80]), "canonical JSON")
    return entry


def _refuse_constant(name: str) -> float:
    raise ValueError(f"log: found the number {name}, expected a finite one")
