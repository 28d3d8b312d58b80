"""What a person has accepted that a source will never have right: it counts as missing.

The record lies in the lake, a line per decision, each with the hash of the line before it: nothing
is ever taken out of it, and what was accepted is taken back by a further line.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kernel.digest import canonical_json, sha256_hex
from market_data.spans import Span, union
from market_data.storage.lake import Lake, LakeError
from market_data.storage.objects import storage
from market_data.tables import MINUTE_MS, TABLES

LOG = "accepted.jsonl"
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Say who accepted, and why, that one table of a symbol is wrong or empty in a span of events.

    Times are milliseconds UTC; `number` is the line of the record, by which it is taken back.
    """

    number: int
    table: str
    symbol: str
    start_ms: int
    end_ms: int
    person: str
    reason: str
    at_ms: int


def accept(
    lake: Lake, table: str, symbol: str, span: Span, *, person: str, reason: str, at_ms: int
) -> Acceptance:
    """Put on record that a person takes what is wrong in the span as missing, and return it.

    Raises LakeError for an unknown table, an empty span, and a person or reason that is not named.
    """
    start_ms, end_ms = span
    if table not in TABLES or start_ms >= end_ms:
        raise LakeError(
            f"accept: found {table} from {start_ms} to {end_ms}, expected one of "
            f"{', '.join(sorted(TABLES))} and a span that ends after it starts"
        )
    body = {"table": table, "symbol": symbol, "start_ms": start_ms, "end_ms": end_ms}
    number = _append(
        lake=lake, kind="accepted", body=body, person=person, reason=reason, at_ms=at_ms
    )
    return next(one for one in standing(lake) if one.number == number)


def withdraw(lake: Lake, number: int, *, person: str, reason: str, at_ms: int) -> Acceptance:
    """Take back an acceptance that stands, and return it; raises LakeError where none does."""
    found = {one.number: one for one in standing(lake)}
    if number not in found:
        raise LakeError(
            f"withdraw: found no acceptance {number}, expected one of "
            f"{', '.join(map(str, found)) or 'none: nothing is accepted'}"
        )
    _append(
        lake=lake,
        kind="withdrawn",
        body={"number": number},
        person=person,
        reason=reason,
        at_ms=at_ms,
    )
    return found[number]


def standing(lake: Lake, table: str = "", symbols: Sequence[str] = ()) -> list[Acceptance]:
    """Return what is accepted and not taken back, oldest first: all, or of a table and symbols.

    Raises LakeError naming the first line that is not what was written.
    """
    held: dict[int, Acceptance] = {}
    for entry in _verified(storage(lake.root).read(LOG)):
        body = entry["body"]
        if entry["kind"] == "withdrawn":
            held.pop(body["number"], None)
        else:
            spoken = {name: body[name] for name in ("table", "symbol", "start_ms", "end_ms")}
            who = {name: body[name] for name in ("person", "reason")}
            number = entry["seq"]
            at_ms = entry["at_ms"]
            held[number] = Acceptance(number=number, at_ms=at_ms, **spoken, **who)
    return [
        one
        for one in held.values()
        if table in {"", one.table} and (not symbols or one.symbol in symbols)
    ]


def accepted_spans(lake: Lake, table: str, symbol: str) -> list[Span]:
    """Return the spans of events of a table and symbol that count as missing, in order."""
    return union((one.start_ms, one.end_ms) for one in standing(lake, table, (symbol,)))


def span_of(table: str, start_ms: int, end_ms: int | None, bar_ms: int) -> Span:
    """Return the span that a person means: of a moment alone the bar, hour or day that holds it.

    Where a table has no grid a moment is its minute, the finest that the checks show.
    """
    if end_ms is not None:
        return start_ms, end_ms
    step_ms = (TABLES[table].step(bar_ms) if table in TABLES else 0) or MINUTE_MS
    first_ms = start_ms // step_ms * step_ms
    return first_ms, first_ms + step_ms


def described(one: Acceptance, moment: Callable[[int], str]) -> dict[str, Any]:
    """Return an acceptance as a person reads it; `moment` writes a time."""
    shown = asdict(one)
    return {
        **{name: shown[name] for name in ("number", "table", "symbol")},
        "from": moment(one.start_ms),
        "to": moment(one.end_ms),
        "by": one.person,
        "on": moment(one.at_ms),
        "reason": one.reason,
    }


def _append(
    lake: Lake, kind: str, body: Mapping[str, Any], person: str, reason: str, at_ms: int
) -> int:
    """Write the next line and return its number; of two writers neither loses a line."""
    if not person.strip() or not reason.strip():
        raise LakeError(
            f"{kind}: found the name {person!r} and the reason {reason!r}, expected both: a person "
            "answers for what is left out"
        )
    written: list[int] = []

    def change(content: bytes | None) -> bytes:
        entries = _verified(content)
        entry = {
            "seq": len(entries),
            "prev": entries[-1]["hash"] if entries else GENESIS,
            "at_ms": at_ms,
            "kind": kind,
            "body": {**body, "person": person, "reason": reason},
        }
        written.append(len(entries))
        line = canonical_json({**entry, "hash": _hash(entry)}) + b"\n"
        return (content or b"") + line

    storage(lake.root).update(LOG, change)
    return written[-1]


def _verified(content: bytes | None) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for number, line in enumerate((content or b"").splitlines()):
        entry: dict[str, Any] = json.loads(line)
        told = entry.pop("hash", "")
        before = entries[-1]["hash"] if entries else GENESIS
        if entry.get("prev") != before or entry.get("seq") != number or _hash(entry) != told:
            raise LakeError(
                f"{LOG}: found line {number + 1} altered, expected what was written: restore the "
                "file from a copy, accepted rows cannot be told from others"
            )
        entries.append({**entry, "hash": told})
    return entries


def _hash(entry: Mapping[str, Any]) -> str:
    return sha256_hex(canonical_json(dict(entry)))
