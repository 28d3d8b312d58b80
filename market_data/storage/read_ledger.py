"""Which events each source has been read for to the end: kept beside the rows of a symbol."""

import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadSpan:
    """Events from `start_ms` up to before `end_ms`, which a source has been read for to the end."""

    source: str
    start_ms: int
    end_ms: int


def spans_in(content: bytes | None) -> list[ReadSpan]:
    return [ReadSpan(*span) for span in json.loads(content or b"[]")]


def _written(spans: list[ReadSpan]) -> bytes:
    rows = [json.dumps([span.source, span.start_ms, span.end_ms]) for span in spans]
    return ("[\n" + ",\n".join(rows) + "\n]\n").encode()


def _joined(spans: list[ReadSpan]) -> list[ReadSpan]:
    """Return the spans by source and time, without those that hold nothing."""
    joined: list[ReadSpan] = []
    for span in sorted(spans, key=lambda one: (one.source, one.start_ms, one.end_ms)):
        if span.start_ms >= span.end_ms:
            continue
        last = joined[-1] if joined and joined[-1].source == span.source else None
        if last and span.start_ms <= last.end_ms:
            joined[-1] = ReadSpan(span.source, last.start_ms, max(last.end_ms, span.end_ms))
        else:
            joined.append(span)
    return joined


def with_spans(content: bytes | None, spans: Iterable[ReadSpan]) -> bytes | None:
    """Return the ledger with more spans, None where it covers them already."""
    fresh = _written(_joined([*spans_in(content), *spans]))
    return None if fresh == (content or _written([])) else fresh
