"""A log in which every entry names the hash of the one before it, and a signed head names the last.

The chain alone cannot tell that entries were cut off its end; the head can. The head is written
after the entry, so a process that dies in between leaves one entry beyond it: that entry stands.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kernel.digest import canonical_json
from kernel.errors import TidegateError
from research.chain import Break, Entry, chained


@dataclass(frozen=True, slots=True)
class Head:
    """Name the last sealed entry; `signature` is base64 over `head_message`."""

    seq: int
    hash: str
    signature: str


class AuditBrokenError(TidegateError):
    """Refuse to go on from a log whose chain is broken; `.at` is the first broken entry."""

    def __init__(self, at: Break) -> None:
        super().__init__(f"{at}; {at.remedy}")
        self.at = at


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
    entries, broken = chained(log)
    return entries, broken or _head_break(entries, head, verify)


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
