"""The sources of this installation, by their names in universe.yaml."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from market_data.sources.backoff import PATIENT, Backoff, refused
from market_data.sources.extras import Listing
from market_data.sources.instruments import Instrument, Instruments, List
from market_data.sources.protocol import Source
from market_data.universe import SourceSettings, UniverseSettings, load_universe

_PACKAGE = "market_data.sources"
ADAPTERS: Mapping[str, tuple[str, str]] = {
    "ccxt": (f"{_PACKAGE}.ccxt_exchange", "CcxtExchange"),
    "binance_archive": (f"{_PACKAGE}.binance_archive", "BinanceArchive"),
    "freqtrade": (f"{_PACKAGE}.freqtrade", "Freqtrade"),
    "files": (f"{_PACKAGE}.files", "Files"),
    "coinmetrics": (f"{_PACKAGE}.coinmetrics", "CoinMetrics"),
    "coinmetrics_csv": (f"{_PACKAGE}.coinmetrics_csv", "CoinMetricsCsv"),
    "fear_greed": (f"{_PACKAGE}.fear_greed", "FearGreed"),
    "recordings": (f"{_PACKAGE}.recordings", "Recordings"),
}
"""Module and class by the name of an adapter; `package.module:Class` names one that is not ours."""


@dataclass(frozen=True)
class Sources:
    """Make the sources that universe.yaml in `folder` names, each once.

    A source without an address of its own is asked at `venue_url`. `recordings` is the folder of
    the live runner's recordings. A source that does not answer is asked `attempts` times.
    """

    folder: str
    venue_url: str
    recordings: str = ""
    attempts: int = PATIENT.attempts
    first_delay_s: float = PATIENT.first_delay_s
    longest_delay_s: float = PATIENT.longest_delay_s
    _made: dict[str, tuple[object, Source]] = field(
        default_factory=dict[str, tuple[object, Source]], init=False, repr=False
    )

    def source(self, name: str) -> Source:
        """Return the source; QuestionRefusedError for an unknown one, or an unknown adapter."""
        universe = self._universe()
        if name not in universe.sources:
            known = sorted(universe.sources)
            raise refused("universe.yaml: source", repr(name), f"one of {known}")
        settings = (universe.sources[name], universe.instruments)
        held = self._made.get(name)
        if held is None or held[0] != settings:
            self._made[name] = (settings, self._new(name, universe))
        return self._made[name][1]

    def now_ms(self) -> int:
        """Return the clock of the source of `candles`, which is this market's present."""
        return self.source(self._universe().market["candles"].source).now_ms()

    def _universe(self) -> UniverseSettings:
        return load_universe(Path(self.folder))

    def _new(self, name: str, universe: UniverseSettings) -> Source:
        settings = universe.sources[name]
        adapter = _adapter(name, settings.adapter)
        source: Any = adapter(name, settings, self._address(adapter, settings))
        own = {one.name for one in fields(adapter)} if is_dataclass(adapter) else set[str]()
        given: dict[str, Any] = {
            "backoff": Backoff(self.attempts, self.first_delay_s, self.longest_delay_s),
            "instruments": self._instruments(universe),
        }
        return replace(source, **{key: value for key, value in given.items() if key in own})

    def _instruments(self, universe: UniverseSettings) -> Instruments:
        """Return what says what symbols are made of: universe.yaml, then the exchanges in it.

        The exchange of the candles is asked, any other where they come from files, and none before
        a symbol has to be known.
        """
        candles = universe.market["candles"]
        exchanges = [name for name, one in universe.sources.items() if one.adapter == "ccxt"]
        of_candles = [name for name in (candles.source, candles.fallback) if name in exchanges]
        lists = tuple(self._list(name) for name in of_candles or exchanges)
        return Instruments(universe.instruments, lists)

    def _list(self, name: str) -> List:
        def listed(symbol: str) -> Instrument | None:
            source = self.source(name)
            return source.instrument(symbol) if isinstance(source, Listing) else None

        return listed

    def _address(self, adapter: Any, settings: SourceSettings) -> str:
        """Return the folder or the address at which an adapter finds its data."""
        if settings.adapter == "recordings":
            return settings.path or self.recordings
        if settings.path:
            return settings.path
        if settings.url == "public":
            return str(adapter.PUBLIC_URL)
        return settings.url or self.venue_url + getattr(adapter, "PREFIX", "")


def files_only(universe: UniverseSettings, table: str) -> bool:
    """Say whether a table comes from files alone, which end where they end."""
    settings = universe.market[table]
    roads = [name for name in (settings.source, settings.fallback) if name]
    adapters = [_adapter(name, universe.sources[name].adapter) for name in roads]
    return all(getattr(adapter, "asking_is_free", False) for adapter in adapters)


def _adapter(source: str, adapter: str) -> Any:
    module, _, name = adapter.partition(":")
    if adapter in ADAPTERS:
        module, name = ADAPTERS[adapter]
    what = f"universe.yaml: adapter of source {source}"
    if not name:
        raise refused(what, repr(adapter), f"one of {sorted(ADAPTERS)}, or package.module:Class")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise refused(what, f"{adapter!r} ({error})", "an importable module and class") from error
