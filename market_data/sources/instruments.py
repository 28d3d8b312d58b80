"""What a symbol is made of: a coin, the currency of its price, and how many coins it counts."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from market_data.sources.backoff import refused
from market_data.universe import InstrumentSettings, UniverseSettings

_COUNTED = re.compile(r"(10{3,}|1M|k)(?=[A-Z]{2})(.+)")
_THOUSAND = 1_000
_MILLION = 1_000_000
QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "EUR", "BTC", "ETH")
"""Currencies in which coins are priced, for symbols of which no market list tells the parts."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """A symbol's price is that of `multiplier` coins `base` in `quote`: 1,000 SHIB in USDT."""

    base: str
    quote: str
    multiplier: int = 1

    @property
    def counted(self) -> str:
        """Return the base as markets write it: 1000SHIB."""
        return self.base if self.multiplier == 1 else f"{self.multiplier}{self.base}"


List = Callable[[str], Instrument | None]
"""What an exchange's own list of markets says of a symbol; None where it has none of that name."""


@dataclass(frozen=True, slots=True)
class Instruments:
    """Say what symbols are: as universe.yaml does, else as the exchange's own market list does.

    Only where the universe has no exchange to ask is a symbol split before a currency it ends in,
    and refused where that can be done in no way or in two.
    """

    settings: Mapping[str, InstrumentSettings] = field(
        default_factory=dict[str, InstrumentSettings], hash=False
    )
    lists: tuple[List, ...] = ()

    def of(self, symbol: str) -> Instrument:
        """Return what a symbol is; QuestionRefusedError where nobody says."""
        told = self.settings.get(symbol)
        if told and told.base:
            return Instrument(told.base, told.quote, told.multiplier)
        for one in self.lists:
            listed = one(symbol)
            if listed:
                return listed
        remedy = f"`instruments: {{{symbol}: {{base: …, quote: …}}}}` in universe.yaml"
        if self.lists:
            raise refused(f"symbol {symbol}", "no such market at the exchange", remedy)
        quotes = [one for one in QUOTES if symbol.endswith(one) and symbol != one]
        if len(quotes) != 1:
            found = f"a name that ends in {' and in '.join(quotes) or 'no currency we know'}"
            raise refused(f"symbol {symbol}", f"{found}, and no exchange to ask", remedy)
        return from_market(symbol.removesuffix(quotes[0]), quotes[0])


def coin_of(universe: UniverseSettings, symbol: str) -> str:
    """Return what the source of on-chain metrics calls a symbol's coin now, such as shib.

    Read from universe.yaml alone, for a time at which no exchange can be asked yet; where it is
    silent the symbol is split before its currency. QuestionRefusedError where neither tells.
    """
    told = universe.instruments.get(symbol)
    onchain = universe.market.get("onchain")
    names = told.names.get(onchain.source) if told and onchain else None
    if names:
        return names if isinstance(names, str) else names[-1].name
    return Instruments(universe.instruments).of(symbol).base.lower()


UNLISTED = Instruments()
"""Knows neither settings nor an exchange."""


def from_market(base: str, quote: str) -> Instrument:
    """Return what a market is by its own base and quote: 1000SHIB and kSHIB are so many SHIB."""
    match = _COUNTED.fullmatch(base)
    if not match:
        return Instrument(base, quote)
    count = match[1]
    multiplier = {"k": _THOUSAND, "1M": _MILLION}.get(count) or int(count)
    return Instrument(match[2], quote, multiplier)
