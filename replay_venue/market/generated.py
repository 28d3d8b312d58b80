"""The generated market as a source."""

from collections.abc import Mapping

from kernel.bars import Bars
from kernel.onchain_metrics import METRICS
from replay_venue.market.climate import Climate
from replay_venue.market.edges import NO_EDGES, Edges
from replay_venue.market.funding import EIGHT_HOURLY, FundingSchedule
from replay_venue.market.generator import KEPT_BLOCKS, EndlessHistory
from replay_venue.market.instruments import Perpetual
from replay_venue.market.micro import Micro
from replay_venue.market.recent import Recent
from replay_venue.market.series import AggregateTrades, Book, OnChain, Points


class GeneratedSource:
    """One seeded history per symbol, generated from its first use on, as far as it is asked for.

    A daily series of an asset whose perpetual is not traded here is empty.
    """

    def __init__(
        self,
        seed: int,
        edge: float,
        symbols: tuple[str, ...],
        planted: Edges = NO_EDGES,
        schedules: Mapping[str, FundingSchedule] | None = None,
    ) -> None:
        if not symbols:
            raise ValueError("GeneratedSource: found no symbols, expected at least one")
        self.symbols = symbols
        climate = Climate(seed)
        recent = Recent(KEPT_BLOCKS)
        self._histories = {
            symbol: EndlessHistory(
                climate=climate,
                symbol=symbol,
                edge=edge,
                planted=planted,
                recent=recent,
                schedule=(schedules or {}).get(symbol, EIGHT_HOURLY),
            )
            for symbol in symbols
        }
        self._micro = {symbol: Micro(history) for symbol, history in self._histories.items()}

    def instrument(self, symbol: str) -> Perpetual:
        return self._histories[symbol].instrument

    def bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        return self._histories[symbol].bars(start_ms, end_ms, timeframe)

    def running_bar(self, symbol: str, timeframe: str, open_ms: int, now_ms: int) -> Bars:
        del timeframe
        return self._histories[symbol].running_bar(open_ms, now_ms)

    def mark_bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        return self._histories[symbol].mark_bars(start_ms, end_ms, timeframe)

    def index_bars(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> Bars:
        return self._histories[symbol].index_bars(start_ms, end_ms, timeframe)

    def trades(self, symbol: str, start_ms: int, end_ms: int) -> AggregateTrades:
        return self._micro[symbol].trades(start_ms, end_ms)

    def book(self, symbol: str, at_ms: int, levels: int) -> Book | None:
        return self._micro[symbol].book(at_ms, levels)

    def funding(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        return self._histories[symbol].funding(start_ms, end_ms)

    def funding_hours(self, symbol: str, at_ms: int) -> int:
        return self._histories[symbol].funding_hours(at_ms)

    def open_interest(self, symbol: str, start_ms: int, end_ms: int) -> Points:
        return self._histories[symbol].open_interest(start_ms, end_ms)

    def fear_greed(self, start_ms: int, end_ms: int) -> Points:
        return self._histories[min(self.symbols)].fear_greed(start_ms, end_ms)

    def onchain(self, asset: str, start_ms: int, end_ms: int) -> OnChain:
        for history in self._histories.values():
            if history.instrument.base == asset:
                return history.onchain(start_ms, end_ms)
        nothing = self._histories[min(self.symbols)].fear_greed(0, 0)
        return OnChain(nothing.time_ms, dict.fromkeys(METRICS, nothing.value))
