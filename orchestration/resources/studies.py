"""Where searches keep their trials: Optuna's journal in the home, or the team's PostgreSQL."""

import errno
import fcntl
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kernel.errors import TidegateError
from market_data.storage.locks import only_one
from market_data.storage.parquet import replace_file
from orchestration.resources.postgres import in_schema, made_schema
from orchestration.resources.trial_ledger import TrialLedger

if TYPE_CHECKING:
    from research.tuning.search import Proposal, Search

JOURNAL = "studies.journal"
SCHEMA = "optuna"


class OptunaMissingError(TidegateError):
    """Say that the packages of a search are not installed."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search proposes, the file that a person may adopt, and its course as a PNG."""

    proposal: "Proposal"
    path: Path
    history: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Studies:
    """Keep the studies of a symbol in `home/trials/<symbol>`, or all in one database.

    Workers of one machine find each other there, by locks that end with their processes.
    """

    home: str
    database_url: str | None

    def storage(self, symbol: str) -> Any:
        """Return Optuna's storage; raise OptunaMissingError where it is not installed."""
        try:
            import optuna
        except ModuleNotFoundError as error:
            raise OptunaMissingError(
                "tuning: found no package optuna, expected it for a search: `make tuning` adds it"
            ) from error
        if self.database_url is not None:
            made_schema(self.database_url, SCHEMA)
            return optuna.storages.RDBStorage(in_schema(self.database_url, SCHEMA))
        from optuna.storages.journal import JournalFileBackend

        path = self._folder(symbol) / JOURNAL
        path.parent.mkdir(parents=True, exist_ok=True)
        _mend(path)
        lock: Any = _JournalLock(path.with_suffix(".lock"))  # it takes whatever locks and unlocks
        return optuna.storages.JournalStorage(JournalFileBackend(str(path), lock_obj=lock))

    @contextmanager
    def crew(self, symbol: str) -> "Iterator[FileCrew]":
        """Be a worker on the symbol's studies for a while."""
        folder = self._folder(symbol) / "workers"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{socket.gethostname()}:{uuid.uuid4().hex}"
        own = folder / name.partition(":")[2]
        try:
            with only_one(own):
                yield FileCrew(folder=folder, me=name)
        finally:
            own.unlink(missing_ok=True)

    def search(self, wanted: "Search", *, trials: int, ledger: TrialLedger) -> Found:
        """Bring a search to so many trials, together with whoever else works on it, and write what
        it proposes.

        Raises OptunaMissingError, NothingFoundError where no trial came to its end, and LedgerError
        where the symbol's ledger does not stand.
        """
        from research.tuning import pictures, search

        symbol = wanted.ground.symbol
        with self.crew(symbol) as crew:
            study = search.study_of(wanted, self.storage(symbol))
            search.run(wanted, study, trials=trials, ledger=ledger, crew=crew)
            proposal = search.propose(wanted, study, ledger, crew)
            history = pictures.history_png(study)
        path = self._folder(symbol) / "proposals" / f"{wanted.name}.yaml"
        replace_file(path, yaml.safe_dump(proposal.to_record(), sort_keys=False).encode())
        return Found(proposal=proposal, path=path, history=history)

    def _folder(self, symbol: str) -> Path:
        return Path(self.home) / "trials" / symbol


@dataclass(frozen=True, slots=True)
class FileCrew:
    """The workers of one machine, each by a file that it holds while it lives."""

    folder: Path
    me: str

    def alive(self, name: str) -> bool:
        """Return whether a worker lives; one of another machine is taken to.

        What a machine left in hand when it died is taken up by the next search that is launched
        there.
        """
        host, _, token = name.partition(":")
        if token and host != socket.gethostname():
            return True
        return bool(token) and _held(self.folder / token)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold what only one worker may do at a time."""
        with only_one(self.folder.with_name("workers.lock")):
            yield


def _held(path: Path) -> bool:
    """Return whether some process holds a worker's file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        return True
    finally:
        os.close(descriptor)
    return False


def _mend(path: Path) -> None:
    """Cut off a last line that a killed writer left unfinished: Optuna would read no further."""
    with only_one(path.with_suffix(".lock")):
        content = path.read_bytes() if path.exists() else b""
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            os.truncate(path, whole)


class _JournalLock:
    """The lock that Optuna takes around each line: it ends with its process, unlike Optuna's own,
    which others wait for half a minute after a kill.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = ExitStack()

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._held.enter_context(only_one(self._path))
        return True

    def release(self) -> None:
        """Give it back."""
        self._held.close()
