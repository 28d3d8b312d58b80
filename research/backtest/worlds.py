"""Worlds in which the same decisions cost more to trade, or come later."""

from dataclasses import dataclass, replace

from kernel.trading_settings import TradingSettings


@dataclass(frozen=True, slots=True)
class World:
    """By how much each cost is multiplied, and how many bars each order is late."""

    name: str
    fees: float = 1.0
    slippage: float = 1.0  # half-spread and slippage
    funding: float = 1.0
    delay_bars: int = 0

    def costs(self, settings: TradingSettings) -> TradingSettings:
        """Return the settings with this world's fees, spread and slippage."""
        return replace(
            settings,
            fee_bps=settings.fee_bps * self.fees,
            half_spread_bps=settings.half_spread_bps * self.slippage,
            slippage_bps=settings.slippage_bps * self.slippage,
        )


AS_ASSUMED = World("as assumed")
WORLDS = (
    AS_ASSUMED,
    World("fees doubled", fees=2.0),
    World("spread and slippage tripled", slippage=3.0),
    World("funding doubled", funding=2.0),
    World("one bar late", delay_bars=1),
    World("two bars late", delay_bars=2),
)
