"""What a source may be able to do beside `Source`; the ingest makes use of it where it is there."""

from typing import ClassVar, Protocol, runtime_checkable

from market_data.sources.instruments import Instrument
from market_data.sources.protocol import Wanted


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
        """Return that name; QuestionRefusedError where the symbol is not listed."""
        ...


@runtime_checkable
class Listing(Protocol):
    """An exchange, which knows what its markets are made of."""

    def instrument(self, symbol: str) -> Instrument | None:
        """Return what its market of that name is, None where it lists none."""
        ...


@runtime_checkable
class Searching(Protocol):
    """A source of which a symbol may simply not be there, which is no error and has to be told."""

    def searched(self, wanted: Wanted) -> str:
        """Return what was looked for and where, and what is there instead; "" if it is there."""
        ...


@runtime_checkable
class Local(Protocol):
    """A source of files, which says the same to everyone and may have more tomorrow."""

    asking_is_free: ClassVar[bool]
