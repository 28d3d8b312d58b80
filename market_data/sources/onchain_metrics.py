"""Coin Metrics' names of what the table `onchain` holds."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from market_data.sources.forms import parse

FORMS: Mapping[str, str] = MappingProxyType(
    {
        "exchange_net_flow": "FlowInExUSD - FlowOutExUSD",
        "mvrv": "CapMVRVCur",
        "active_addresses": "AdrActCnt",
        "transactions": "TxCnt",
        "hash_rate": "HashRate",
        "fees": "FeeTotNtv",
    }
)
METRICS = (
    "FlowInExUSD", "FlowOutExUSD", "CapMVRVCur", "AdrActCnt", "TxCnt", "HashRate", "FeeTotNtv",
)  # fmt: skip


def in_our_columns(
    metrics: Mapping[str, NDArray[np.float64]], rows: int
) -> dict[str, NDArray[np.float64]]:
    """Return float64[rows] for each column of the table; a metric that is not given is NaN."""
    held = {name: metrics.get(name, np.full(rows, np.nan)) for name in METRICS}
    return {ours: parse(text).value(held) for ours, text in FORMS.items()}
