"""The generated market as a source."""

from kernel.bars import Bars
from replay_venue.generator import History
from replay_venue.instruments import Instrument
from replay_venue.series import OnChain, Points


class GeneratedSource:
    """One seeded history per symbol, generated as far as it is asked for.

    A daily series of an asset whose perpetual is not traded here is empty.
    """

    def __init__(self, seed: int, edge: float, symbols: tuple[str, ...]) -> None:
        if not symbols:
            raise ValueError("GeneratedSource: found no symbols, expected at least one")
        self.symbols = symbols
        self._histories = {symbol: History(seed, symbol, edge) for symbol in symbols}

    def instrument(self, symbol: str) -> Instrument:
        return self._histories[symbol].instrument

    def bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        return self._histories[symbol].bars(start_ms, end_ms, timeframe)

    def running_bar(self, symbol: str, timeframe: str, open_ms: int, now_ms: int) -> Bars:
        del timeframe
        return self._histories[symbol].running_bar(open_ms, now_ms)

    def funding(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        return self._histories[symbol].funding(start_ms, end_ms)

    def open_interest(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        return self._histories[symbol].open_interest(start_ms, end_ms)

    def fear_greed(self, start_ms: int, end_ms: int) -> Points:
        return self._histories[self.symbols[0]].fear_greed(start_ms, end_ms)

    def onchain(self, asset: str, start_ms: int, end_ms: int) -> OnChain:
        for history in self._histories.values():
            if history.instrument.base == asset:
                return history.onchain(start_ms, end_ms)
        return next(iter(self._histories.values())).onchain(0, 0)
