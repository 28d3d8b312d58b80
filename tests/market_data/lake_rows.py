"""Rows to append to a lake, counted in hours from two days before a month ends."""

import numpy as np
import pandas as pd

HOUR_MS = 3_600_000
START_MS = 1_767_052_800_000  # 2025-12-30T00:00Z


def funding(rates: dict[int, float], lag_ms: int = 60_000) -> pd.DataFrame:
    """Return funding rows at hours after the start."""
    times = np.array(list(rates), dtype=np.int64) * HOUR_MS + START_MS
    return pd.DataFrame(
        {
            "event_time_ms": times,
            "known_at_ms": times + lag_ms,
            "source": "a-venue",
            "funding_rate": np.array(list(rates.values()), dtype=np.float64),
        }
    )


def candles(hours: int, price: float = 100.0) -> pd.DataFrame:
    """Return flat hourly candles from the start."""
    times = START_MS + np.arange(hours, dtype=np.int64) * HOUR_MS
    values = dict.fromkeys(("open", "high", "low", "close"), price)
    return pd.DataFrame(
        {
            "event_time_ms": times,
            "known_at_ms": times + HOUR_MS,
            "source": "a-venue",
            **values,
            "volume": 1.0,
        }
    )


def onchain(mvrv: dict[int, float], flow: float = 5.0) -> pd.DataFrame:
    """Return on-chain rows at hours after the start; the metrics not named are missing."""
    rows = funding(mvrv, 26 * HOUR_MS).rename(columns={"funding_rate": "mvrv"})
    missing = dict.fromkeys(("active_addresses", "transactions", "hash_rate", "fees"), np.nan)
    return rows.assign(**missing, exchange_net_flow=flow)


def trades(ids: list[int], price: float = 100.0) -> pd.DataFrame:
    """Return trades that all happened in the first millisecond."""
    return pd.DataFrame(
        {
            "event_time_ms": START_MS,
            "known_at_ms": START_MS + 5,
            "source": "a-venue",
            "trade_id": ids,
            "price": price,
            "quantity": 1.0,
            "side": 1.0,
        }
    )


def minutes(hours: int) -> pd.DataFrame:
    """Return rising one-minute bars."""
    rows = candles(hours * 60)
    numbers = np.arange(len(rows))
    rows["event_time_ms"] = START_MS + numbers * 60_000
    rows["known_at_ms"] = rows["event_time_ms"] + 60_000
    prices = {"open": numbers, "high": numbers + 2.0, "low": numbers - 2.0, "close": numbers + 1.0}
    return rows.assign(**{name: 100.0 + values for name, values in prices.items()})
