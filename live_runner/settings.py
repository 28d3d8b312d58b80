"""The runner's settings file, read strictly."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from kernel.bars import TIMEFRAME_MS
from kernel.errors import SettingsError
from kernel.observation import SERIES
from kernel.trading import TradingSettings
from live_runner.health import HealthLimits

LAGGED = (*SERIES, "minutes")
MOST_LAG_MS = 10**9  # eleven days: a series known later than that decides nothing

Lags = Mapping[str, Annotated[int, Field(ge=0, le=MOST_LAG_MS)] | None]


def _timeframe(name: str) -> str:
    if name not in TIMEFRAME_MS:
        raise ValueError(f"expected one of {sorted(TIMEFRAME_MS)}")
    return name


def _all_different(symbols: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(symbols)) != len(symbols):
        raise ValueError("expected different symbols")
    return symbols


def _named(path: Path) -> Path:
    if path == Path():  # an empty text would be the folder in which the runner was started
        raise ValueError("expected a path")
    return path


def _every_series(lags: Lags) -> Lags:
    if set(lags) != set(LAGGED):
        raise ValueError(f"expected exactly the keys {list(LAGGED)}")
    return lags


def _trading(written: TradingSettings | Mapping[str, Any]) -> TradingSettings:
    return written if isinstance(written, TradingSettings) else TradingSettings.from_dict(written)


Text = Annotated[str, StringConstraints(min_length=1)]
Place = Annotated[Path, AfterValidator(_named)]
Symbol = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]+$")]


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class RunnerSettings:
    """What one runner process trades, where it reads and where it writes.

    `coins` names each symbol's coin at the source of on-chain metrics: what a market is called says
    nothing of it. `lags_ms` maps each series, and `minutes`, to the delay after which a row counts
    as known, the same delays as the lake's; null for one that the lake does not have. `trading` is
    in force while rules decide; a bundle brings its own. `history_bars` bars are read at a first
    start to warm the features up. What the feed brings is recorded under `recordings`, null records
    nothing. The admin token file must belong to its owner alone (0600). Of `symbols`, those in
    `exits_only` open nothing: they are watched until their position has left. Up to `silent_bars`
    candles in a row that the exchange does not have are no hole: it publishes none where nothing
    trades.
    """

    host: Text
    port: Annotated[int, Field(ge=0, le=65_535)]
    symbols: Annotated[tuple[Symbol, ...], Field(min_length=1), AfterValidator(_all_different)]
    coins: Mapping[Symbol, Text]
    timeframe: Annotated[str, AfterValidator(_timeframe)]
    venue_rest: Text
    venue_ws: Text
    bundles_dir: Place
    journal: Place
    public_keys_dir: Place
    admin_token_file: Place
    lags_ms: Annotated[Lags, AfterValidator(_every_series)]
    trading: Annotated[TradingSettings, PlainValidator(_trading)]
    history_bars: Annotated[int, Field(ge=1, le=100_000)]
    health: HealthLimits
    recordings: Place | None
    exits_only: tuple[Symbol, ...] = ()
    silent_bars: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        unwatched = [symbol for symbol in self.exits_only if symbol not in self.symbols]
        if unwatched:
            raise ValueError(
                f"exits_only: found {', '.join(unwatched)}, expected only names among symbols"
            )
        nameless = [symbol for symbol in self.symbols if symbol not in self.coins]
        if nameless:
            raise ValueError(f"coins: found none of {', '.join(nameless)}, expected one a symbol")

    @property
    def bar_ms(self) -> int:
        """Return the length of a bar in milliseconds."""
        return TIMEFRAME_MS[self.timeframe]


def load_settings(path: Path) -> RunnerSettings:
    """Read a runner's YAML file; SettingsError names what is missing, unknown or mistyped."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        # As JSON: there a strict validator takes a list for a tuple and a text for a path.
        return TypeAdapter(RunnerSettings).validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise SettingsError.of(path, error.errors()) from error
