"""How others spell a symbol of ours and a length of time."""

from kernel.bars import TIMEFRAME_MS

QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "EUR", "BTC", "ETH", "BNB")
_INTERVALS = {step_ms: name for name, step_ms in TIMEFRAME_MS.items()}


def base_and_quote(symbol: str) -> tuple[str, str]:
    """Return ("BTC", "USDT") of BTCUSDT; raise ValueError where the quote is none of `QUOTES`."""
    for quote in QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            return symbol.removesuffix(quote), quote
    raise ValueError(f"symbol: found {symbol}, expected one that ends in {', '.join(QUOTES)}")


def interval(step_ms: int) -> str:
    """Return the name of a bar's length, such as 15m; raise ValueError where it has none."""
    if step_ms not in _INTERVALS:
        raise ValueError(f"bar: found {step_ms} ms, expected one of {sorted(_INTERVALS)}")
    return _INTERVALS[step_ms]
