"""Coin Metrics' names of what the table `onchain` holds: one mapping for history, live and venue.

Source: Coin Metrics API v4, community data, "Timeseries: asset metrics".
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

INFLOW = "FlowInExUSD"
OUTFLOW = "FlowOutExUSD"
NET_FLOW = "exchange_net_flow"  # theirs in minus out
SAME = MappingProxyType(
    {
        "mvrv": "CapMVRVCur",
        "active_addresses": "AdrActCnt",
        "transactions": "TxCnt",
        "hash_rate": "HashRate",
        "fees": "FeeTotNtv",
    }
)
"""Our columns that are one of theirs as it stands."""
METRICS = (INFLOW, OUTFLOW, *SAME.values())


def in_our_columns(
    metrics: Mapping[str, NDArray[np.float64]], rows: int
) -> dict[str, NDArray[np.float64]]:
    """Return float64[rows] for each column of the table; a metric that is not given is NaN."""
    missing = np.full(rows, np.nan)
    net_flow = metrics.get(INFLOW, missing) - metrics.get(OUTFLOW, missing)
    same = {ours: metrics.get(theirs, missing) for ours, theirs in SAME.items()}
    return {NET_FLOW: net_flow, **same}
