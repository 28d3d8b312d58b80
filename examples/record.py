"""Record a sample of the generated market: python examples/record.py [folder].

It writes the same files as `examples/recorded`, one per series of one symbol, in the layout that
`make demo RECORDED=<folder>` plays. A sample of a real market takes the same names and columns.
"""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kernel.bars import Bars
from replay_venue.market.generated import GeneratedSource
from replay_venue.settings import time_ms

SYMBOL = "BTCUSDT"
SEED = 7
EDGE = 0.3  # the demo's own market, so that what it shows can be looked up here
FIRST = "2025-04-01"
END = "2026-01-01"  # the demo trades the week from 2025-12-21, and a recorded market must reach on
VENUE = "replay"


def main(folder: Path) -> None:
    """Write every file into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in tables().items():
        path = folder / f"{name}.parquet"
        time = next(iter(columns))
        pq.write_table(
            pa.table(columns),
            path,
            compression="zstd",
            compression_level=19,
            use_dictionary=[one for one in columns if one != time],
            column_encoding={time: "DELTA_BINARY_PACKED"},  # even steps take next to nothing
        )
        sys.stdout.write(f"{path}  {len(columns[time]):,} rows\n")
    files = sorted(folder.glob("*.parquet"))
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(sums))


def tables() -> dict[str, dict[str, pa.Array]]:
    """Return the columns of each file by its name; a time is the open of a bar or day, UTC."""
    market = GeneratedSource(SEED, EDGE, (SYMBOL,))
    span = (time_ms(FIRST), time_ms(END))
    bars = market.bars(SYMBOL, "15m", *span)
    funding = market.funding(SYMBOL, *span)
    interest = market.open_interest(SYMBOL, *span)
    mood = market.fear_greed(*span)
    chain = market.onchain("BTC", *span)
    return {
        f"ohlcv_{SYMBOL}_15m_{VENUE}": _stamped("timestamp", bars.open_time_ms, _candles(bars)),
        f"funding_{SYMBOL}_8h_{VENUE}": _stamped(
            "funding_time", funding.time_ms, {"funding_rate": funding.value.round(8)}
        ),
        f"open_interest_{VENUE}": {
            **_stamped("timestamp", interest.time_ms, {}),
            "venue": pa.array([VENUE] * len(interest.time_ms)).dictionary_encode(),
            "symbol": pa.array(["BTC"] * len(interest.time_ms)).dictionary_encode(),
            "oi_usd": pa.array(_in_usd(interest.time_ms, interest.value, bars)),
        },
        "fear_greed": _stamped("timestamp", mood.time_ms, {"fear_greed": mood.value}),
        "onchain_btc_daily": _stamped("timestamp", chain.time_ms, chain.value),
    }


def _candles(bars: Bars) -> Mapping[str, np.ndarray]:
    names = ("open", "high", "low", "close", "volume")
    return {name: getattr(bars, name) for name in names}


def _in_usd(time_ms: np.ndarray, quantity: np.ndarray, bars: Bars) -> np.ndarray:
    """Return open interest in whole USD, over the close of the candle that ended last."""
    ended = np.searchsorted(bars.open_time_ms + 900_000, time_ms, side="right") - 1
    price = np.where(ended < 0, bars.open[0], bars.close[np.maximum(ended, 0)])
    return (quantity * price).round()


def _stamped(
    time: str, time_ms: np.ndarray, values: Mapping[str, np.ndarray]
) -> dict[str, pa.Array]:
    stamps = pa.array(time_ms, pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
    return {time: stamps, **{name: pa.array(value) for name, value in values.items()}}


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "recorded")
