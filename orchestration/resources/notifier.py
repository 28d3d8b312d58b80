"""Tell people: one JSON line per event, in a file that any log shipper can follow."""

import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifier:
    """Append notifications to `path`."""

    path: str

    def notify(self, kind: str, subject: str, detail: str, at_ms: int) -> None:
        """Write one notification; lines of several processes never mix."""
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {"at_ms": at_ms, "kind": kind, "subject": subject, "detail": detail}
        line = json.dumps(record, sort_keys=True).encode() + b"\n"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    def last_told_ms(self, kind: str) -> int:
        """Return when the last notification of a kind was written, in ms UTC; 0 for none.

        Lines that are no notifications, as a log shipper may leave, are passed by.
        """
        path = Path(self.path)
        lines = path.read_bytes().splitlines() if path.exists() else []
        return max((_told_ms(line, kind) for line in lines), default=0)


def _told_ms(line: bytes, kind: str) -> int:
    try:
        record = json.loads(line)
        return int(record["at_ms"]) if record["kind"] == kind else 0
    except (ValueError, KeyError, TypeError):
        return 0
