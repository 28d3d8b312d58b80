"""The audit log on disk: `audit.jsonl`, its signed head, and one lock that every writer takes."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from market_data.storage.locks import only_one
from market_data.storage.parquet import replace_file
from orchestration.resources.keys import Signer
from research.chain import Entry, following
from research.promotion.audit import AuditBrokenError, Head, read, seal

LOG = "audit.jsonl"
HEAD = "audit.head"
LOCK = "audit.lock"


@dataclass(slots=True)
class AuditSession:
    """Read and extend a verified log while holding its lock."""

    folder: Path
    signer: Signer
    entries: list[Entry]

    def append(self, kind: str, body: Mapping[str, Any], at_ms: int) -> Entry:
        """Write the next entry to disk, then the head that seals it.

        Raises SigningKeyMissingError or WrongKeyError, before anything is written.
        """
        self.signer.require()
        entry = following(self.entries, at_ms, kind, body)
        with (self.folder / LOG).open("ab") as file:
            file.write(entry.line())
            file.flush()
            os.fsync(file.fileno())
        self.entries.append(entry)
        _write_head(self.folder, seal(entry, self.signer.sign))
        return entry


@dataclass(frozen=True, slots=True)
class AuditLog:
    """Open the log in `folder`: `signer` seals entries, and any of its public keys verifies."""

    folder: Path
    signer: Signer

    def entries(self) -> list[Entry]:
        """Return the entries; raise AuditBrokenError naming the first that does not stand.

        Who only looks at a home without a log makes nothing there.
        """
        if not ((self.folder / LOG).exists() or (self.folder / HEAD).exists()):
            return []
        with only_one(self.folder / LOCK):
            return self._verified()

    @contextmanager
    def session(self) -> Iterator[AuditSession]:
        """Hold the lock over a verified log; finish what a killed writer left half done."""
        with only_one(self.folder / LOCK):
            entries = self._verified()
            self._mend(entries)
            yield AuditSession(self.folder, self.signer, entries)

    def _verified(self) -> list[Entry]:
        log = self.folder / LOG
        entries, broken = read(
            log.read_bytes() if log.exists() else b"", _read_head(self.folder), self.signer.verify
        )
        if broken is not None:
            raise AuditBrokenError(broken)
        return entries

    def _mend(self, entries: list[Entry]) -> None:
        """Cut an unfinished last line and seal an entry whose head was not written."""
        log = self.folder / LOG
        content = log.read_bytes() if log.exists() else b""
        finished = content.rfind(b"\n") + 1
        if finished < len(content):
            os.truncate(log, finished)
        head = _read_head(self.folder)
        unsealed = bool(entries) and (head is None or head.seq != len(entries) - 1)
        # Without the private key the entry stands unsealed until there is one: reading needs none.
        if unsealed and not self.signer.lacks_key():
            _write_head(self.folder, seal(entries[-1], self.signer.sign))


def _read_head(folder: Path) -> Head | None:
    path = folder / HEAD
    return Head(**json.loads(path.read_bytes())) if path.exists() else None


def _write_head(folder: Path, head: Head) -> None:
    replace_file(folder / HEAD, json.dumps(asdict(head), sort_keys=True).encode())
