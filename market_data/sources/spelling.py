"""How files and web APIs spell a symbol of ours and the length of a bar."""

from kernel.bars import TIMEFRAME_MS
from market_data.sources.backoff import refused
from market_data.sources.exchanges import QUOTES, base_and_quote

_INTERVALS = {step_ms: name for name, step_ms in TIMEFRAME_MS.items()}


def parts(symbol: str) -> tuple[str, str]:
    """Return ("BTC", "USDT") of BTCUSDT; raise dagster Failure where the quote is not known."""
    base, quote = base_and_quote(symbol)
    if not base:
        raise refused("universe.yaml: symbols", symbol, f"one that ends in {', '.join(QUOTES)}")
    return base, quote


def interval(step_ms: int) -> str:
    """Return the name of a bar's length, such as 15m; raise dagster Failure where it has none."""
    if step_ms not in _INTERVALS:
        raise refused("a bar's length", f"{step_ms} ms", f"one of {sorted(_INTERVALS)}")
    return _INTERVALS[step_ms]
