"""What a source may be able to do beside `Source`; the ingest makes use of it where it is there."""

from typing import ClassVar, Protocol, runtime_checkable


@runtime_checkable
class Bounded(Protocol):
    """A source that keeps only the recent past of some tables."""

    def kept_from_ms(self, table: str, bar_ms: int, now_ms: int) -> int:
        """Return the event time before which it has nothing: 0 for no bound."""
        ...


@runtime_checkable
class Listed(Protocol):
    """A source in which a symbol goes by a name of its own."""

    def listed_as(self, symbol: str) -> str:
        """Return that name; dagster Failure where the symbol is not listed."""
        ...


@runtime_checkable
class Local(Protocol):
    """A source of files, which says the same to everyone and may have more tomorrow."""

    asking_is_free: ClassVar[bool]
