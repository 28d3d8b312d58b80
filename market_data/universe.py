"""What is traded and where every raw table comes from: `universe.yaml`, read strictly."""

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass

from kernel.bars import TIMEFRAME_MS
from kernel.errors import SettingsError

# Read as JSON, where a strict validator takes a list for a tuple and a mapping for a dataclass.
STRICT = ConfigDict(strict=True, extra="forbid")
NEEDED_TABLES = ("candles",)


def _day(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("expected a day like 2025-04-01") from error
    return text


def _timeframe(text: str) -> str:
    if text not in TIMEFRAME_MS:
        raise ValueError(f"expected one of {sorted(TIMEFRAME_MS)}")
    return text


Day = Annotated[str, AfterValidator(_day)]
Timeframe = Annotated[str, AfterValidator(_timeframe)]
Symbol = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]+$")]


@dataclass(frozen=True, slots=True, config=STRICT)
class FilesSettings:
    """Where one table lies in a folder of plain files, and what the files call its columns.

    `files` is a name or glob with placeholders such as {symbol}; `columns` maps our column to
    theirs or to arithmetic on theirs; `where` keeps the rows with these texts. `stamp` says whether
    a stamp is the open, the close (its last millisecond) or the end of the period of its row; empty
    takes it for the event time of the table. `time_unit` (s, ms, us, ns) is what bare numbers are
    said to be in: their size decides, row by row, and an impossible one is told with it.
    """

    files: str
    columns: dict[str, str] = Field(default_factory=dict[str, str])
    where: dict[str, str] = Field(default_factory=dict[str, str])
    time_unit: str = ""
    stamp: Literal["", "open", "close", "end"] = ""


@dataclass(frozen=True, slots=True, config=STRICT)
class SourceSettings:
    """A road to raw data: the adapter that speaks to it, and what the adapter needs to know.

    `exchange` is the ccxt id. `url` empty is the installation's venue, "public" the adapter's own
    address. `path` is a folder of files, `market` ("perpetual" or "spot") which of an archive's
    markets is read, and `tables` describes files of a layout of one's own.
    """

    adapter: str
    exchange: str = ""
    url: str = ""
    path: str = ""
    market: str = "perpetual"
    tables: dict[str, FilesSettings] = Field(default_factory=dict[str, FilesSettings])


@dataclass(frozen=True, slots=True, config=STRICT)
class TableSettings:
    """Where a raw table comes from, and how long after its event a row is known.

    `fallback` names a further source of the same venue, asked for what `source` lacks. Months
    before `history_start` are not read; without one it is the universe's. Up to `silent_bars`
    candles in a row may be missing where the source publishes none while nothing trades.
    """

    source: str
    publication_lag_ms: Annotated[int, Field(ge=0)]
    fallback: str = ""
    history_start: Day | None = None
    silent_bars: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, slots=True, config=STRICT)
class NameSettings:
    """What a source calls a symbol, from the day `since` on (empty: from the beginning).

    `multiplier` says how many coins the source counts as one under that name, where it is another
    number than the symbol's own; its prices and quantities are brought to the symbol's.
    """

    name: Annotated[str, Field(min_length=1)]
    since: Day | None = None
    multiplier: Annotated[int, Field(ge=1)] | None = None

    @property
    def since_ms(self) -> int:
        """Return the first millisecond (UTC) of the name."""
        return _midnight_ms(self.since) if self.since else 0


@dataclass(frozen=True, slots=True, config=STRICT)
class InstrumentSettings:
    """What a symbol is made of, where the exchange's market list does not say so or is wrong.

    One of it is `multiplier` coins `base`, priced in `quote`. `names` says by source what it calls
    the symbol: one name, or several of which each holds from its day on.
    """

    base: str = ""
    quote: str = ""
    multiplier: Annotated[int, Field(ge=1)] = 1
    names: dict[str, str | tuple[NameSettings, ...]] = Field(
        default_factory=dict[str, str | tuple[NameSettings, ...]]
    )

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if bool(self.base) != bool(self.quote):
            raise ValueError(f"found base {self.base!r} and quote {self.quote!r}, expected both")
        if self.multiplier != 1 and not self.base:
            raise ValueError("found a multiplier alone, expected base and quote beside it")
        for source, names in self.names.items():
            days = [name.since_ms for name in names] if isinstance(names, tuple) else []
            if any(later <= earlier for earlier, later in pairwise(days)):
                raise ValueError(f"names.{source}: found names out of order, expected rising since")
        return self

    def called(self, source: str) -> tuple[NameSettings, ...]:
        """Return the source's names in their order; () where it calls the symbol as we do."""
        names = self.names.get(source, ())
        return (NameSettings(names),) if isinstance(names, str) else names


@dataclass(frozen=True, slots=True, config=STRICT)
class UniverseSettings:
    """What is traded, from when, and where every raw table comes from.

    `instruments` says of single symbols what they are and what sources call them.
    """

    symbols: Annotated[tuple[Symbol, ...], Field(min_length=1)]
    timeframe: Timeframe
    history_start: Day
    sources: dict[str, SourceSettings]
    market: dict[str, TableSettings]
    instruments: dict[Symbol, InstrumentSettings] = Field(
        default_factory=dict[Symbol, InstrumentSettings]
    )

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        twice = sorted({name for name in self.symbols if self.symbols.count(name) > 1})
        if twice:
            raise ValueError(f"symbols: found {twice[0]} twice, expected each once")
        lacking = sorted(set(NEEDED_TABLES) - set(self.market))
        if lacking:
            raise ValueError(
                f"market: found {sorted(self.market)}, expected {', '.join(lacking)} as well"
            )
        for name, table in self.market.items():
            for source in filter(None, (table.source, table.fallback)):
                if source not in self.sources:
                    raise ValueError(
                        f"market.{name}: found source {source}, expected one of "
                        f"{sorted(self.sources)}"
                    )
        for symbol, instrument in self.instruments.items():
            if symbol not in self.symbols:
                raise ValueError(
                    f"instruments: found {symbol}, expected one of {', '.join(self.symbols)}"
                )
            unknown = sorted(set(instrument.names) - set(self.sources))
            if unknown:
                raise ValueError(
                    f"instruments.{symbol}.names: found source {unknown[0]}, expected one of "
                    f"{sorted(self.sources)}"
                )
        return self

    @property
    def bar_ms(self) -> int:
        """Return the length of one bar in milliseconds."""
        return TIMEFRAME_MS[self.timeframe]

    @property
    def history_start_ms(self) -> int:
        """Return the first millisecond (UTC) of history."""
        return _midnight_ms(self.history_start)

    def instrument(self, symbol: str) -> InstrumentSettings:
        """Return what is said of a symbol, which is nothing in the common case."""
        return self.instruments.get(symbol, InstrumentSettings())

    @property
    def trades_spot(self) -> bool:
        """Return whether the candles that are traded are of a spot market, which has no funding."""
        return self.sources[self.market["candles"].source].market == "spot"

    def table_start_ms(self, table: str) -> int:
        """Return the first millisecond (UTC) that is read of a table."""
        return _midnight_ms(self.market[table].history_start or self.history_start)


def load_universe(folder: Path) -> UniverseSettings:
    """Return what `universe.yaml` in `folder` says; SettingsError names what is wrong in it."""
    return read_universe(folder / "universe.yaml")


def read_universe(path: Path) -> UniverseSettings:
    """Return what the file says; SettingsError names what is wrong in it."""
    if not path.is_file():
        raise SettingsError(f"{path}: found no such file, expected a YAML mapping: restore it")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(UniverseSettings).validate_json(json.dumps(content, default=str))
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: found text that is not YAML ({error})") from error
    except ValidationError as error:
        raise SettingsError.of(path, error.errors()) from error


def _midnight_ms(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000
