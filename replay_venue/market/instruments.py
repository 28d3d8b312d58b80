"""What is traded: names, decimals and the scale of each generated instrument."""

import zlib
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Perpetual:
    """One USDT-margined perpetual.

    `tick_decimals` and `lot_decimals` are decimal places of price and quantity. `price` is in USDT
    at genesis, `volume` the typical base quantity a minute, `open_interest` the typical base
    quantity held. `volatility` multiplies the market's; `correlation` is that with Bitcoin's
    returns, over times much longer than Bitcoin's lead.
    """

    symbol: str
    base: str
    tick_decimals: int
    lot_decimals: int
    price: float
    volume: float
    open_interest: float
    volatility: float
    correlation: float

    @property
    def tick(self) -> str:
        """Return the smallest step of the price as a plain decimal."""
        return f"{10.0**-self.tick_decimals:.{self.tick_decimals}f}"

    @property
    def lot(self) -> str:
        """Return the smallest step of the quantity as a plain decimal."""
        return f"{10.0**-self.lot_decimals:.{self.lot_decimals}f}"


def decimals_of(value: float) -> int:
    """Return how many decimal places the shortest text has that reads back as `value`, 0 where it
    is none.
    """
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


_KNOWN = {
    "BTCUSDT": Perpetual(
        symbol="BTCUSDT",
        base="BTC",
        tick_decimals=1,
        lot_decimals=3,
        price=16_500.0,
        volume=90.0,
        open_interest=80_000.0,
        volatility=1.0,
        correlation=1.0,
    ),
    "ETHUSDT": Perpetual(
        symbol="ETHUSDT",
        base="ETH",
        tick_decimals=2,
        lot_decimals=3,
        price=1_200.0,
        volume=900.0,
        open_interest=600_000.0,
        volatility=1.25,
        correlation=0.85,
    ),
    "PEPEUSDT": Perpetual(
        symbol="PEPEUSDT",
        base="PEPE",
        tick_decimals=10,
        lot_decimals=0,
        price=1.13e-5,
        volume=1e8,
        open_interest=3e13,
        volatility=1.9,
        correlation=0.7,
    ),
}


def instrument(symbol: str) -> Perpetual:
    """Return the instrument called `symbol`; a name not listed draws its scale from the name."""
    if symbol in _KNOWN:
        return _KNOWN[symbol]
    base = symbol.removesuffix("USDT")
    if base == symbol or not base.isascii() or not base.isalnum() or not symbol.isupper():
        raise ValueError(
            f"instrument: found symbol {symbol!r}, expected upper case letters ending in USDT"
        )
    draw = zlib.crc32(symbol.encode())
    price = 0.5 * 10 ** (draw % 1000 / 400)
    return Perpetual(
        symbol=symbol,
        base=base,
        tick_decimals=4,
        lot_decimals=1,
        price=round(price, 4),
        volume=round(1_500_000.0 / price, 1),
        open_interest=round(400_000_000.0 / price, 1),
        volatility=1.2 + draw % 7 / 10,
        correlation=0.55 + draw % 5 / 20,
    )
