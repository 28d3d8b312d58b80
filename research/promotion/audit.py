"""A log in which every entry names the hash of the one before it, and a signed head names the last.

The chain alone cannot tell that entries were cut off its end; the head can. The head is written
after the entry, so a process that dies in between leaves one entry beyond it: that entry stands.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from kernel.digest import canonical_json, sha256_hex
from kernel.errors import TidegateError

GENESIS = "0" * 64
ENTRY_KEYS = {"seq", "prev", "at_ms", "kind", "body", "hash"}


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
class Head:
    """Name the last sealed entry; `signature` is base64 over `head_message`."""

    seq: int
    hash: str
    signature: str


@dataclass(frozen=True, slots=True)
class Break:
    """Name the first entry that does not stand: its place, what was found and expected."""

    seq: int
    found: str
    expected: str
    remedy: str = "restore promotion/ from a copy before anything is published"

    def __str__(self) -> str:
        return (
            f"audit log: entry {self.seq} is broken: found {self.found}, expected {self.expected}"
        )


class AuditBrokenError(TidegateError):
    """Refuse to go on from a log whose chain is broken; `.at` is the first broken entry."""

    def __init__(self, at: Break) -> None:
        super().__init__(f"{at}; {at.remedy}")
        self.at = at


def following(entries: Sequence[Entry], at_ms: int, kind: str, body: Mapping[str, Any]) -> Entry:
    """Return the entry that continues the chain of `entries`."""
    prev = entries[-1].hash if entries else GENESIS
    return Entry(seq=len(entries), prev=prev, at_ms=at_ms, kind=kind, body=body)


def head_message(seq: int, entry_hash: str) -> bytes:
    """Return the bytes that a head's signature covers."""
    return canonical_json({"audit_head": entry_hash, "seq": seq})


def seal(entry: Entry, sign: Callable[[bytes], bytes]) -> Head:
    """Return the head that names `entry`, signed."""
    signature = base64.b64encode(sign(head_message(entry.seq, entry.hash))).decode()
    return Head(entry.seq, entry.hash, signature)


def read(
    log: bytes, head: Head | None, verify: Callable[[bytes, bytes], bool]
) -> tuple[list[Entry], Break | None]:
    """Return the entries that stand, and the first that does not.

    `verify(signature, message)` answers for the head. A last line without a newline was never
    finished; it is a break only where the head already names it.
    """
    chain, broken = _chain(log)
    entries = list(chain)
    return entries, broken or _head_break(entries, head, verify)


@lru_cache(maxsize=1)
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
    raise ValueError(f"audit log: found the number {name}, expected a finite one")


def _head_break(
    entries: Sequence[Entry], head: Head | None, verify: Callable[[bytes, bytes], bool]
) -> Break | None:
    if head is None:
        return (
            Break(0, f"{len(entries)} entries without a head", "a head")
            if len(entries) > 1
            else None
        )
    if not _signed(head, verify):
        return Break(
            seq=head.seq,
            found="a head whose signature fails",
            expected="a head signed by a key in keys/public",
            remedy="restore keys/public from a copy where a key is missing there, else promotion/",
        )
    if head.seq >= len(entries):
        return Break(len(entries), "no entry", f"the entries up to {head.seq} that the head seals")
    if entries[head.seq].hash != head.hash:
        return Break(head.seq, f"hash {entries[head.seq].hash!r}", f"the sealed hash {head.hash!r}")
    if len(entries) - 1 - head.seq > 1:
        return Break(head.seq + 1, f"{len(entries) - 1 - head.seq} unsealed entries", "one at most")
    return None


def _signed(head: Head, verify: Callable[[bytes, bytes], bool]) -> bool:
    try:
        signature = base64.b64decode(head.signature, validate=True)
    except ValueError:
        return False
    return verify(signature, head_message(head.seq, head.hash))
