"""What moves on the chain: value, flows to and from exchanges, use, miners, and fees.

The series are daily: windows are over the days that the values describe, each day's taken once, and
the latest known day counts as the newest.
"""

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    ACTIVE_ADDRESSES,
    ACTIVE_ADDRESSES_TIME,
    EXCHANGE_NET_FLOW,
    EXCHANGE_NET_FLOW_TIME,
    FEES,
    FEES_TIME,
    HASH_RATE,
    HASH_RATE_TIME,
    MVRV,
    MVRV_TIME,
    TRANSACTIONS,
    TRANSACTIONS_TIME,
    Observation,
    Out,
    State,
    clip,
)
from kernel.features.samples import (
    DAY_MS,
    SAMPLE_SLOTS,
    complete,
    known,
    measure,
    newest_total,
    positive,
    sample,
)

_SEASON = 90
_MONTH = 30
_WEEK = 7

# Each series has its samples, then two slots for what is derived from them once a day.
_MVRV = 0
_FLOW = _MVRV + SAMPLE_SLOTS + _SEASON + 2
_FLOW_SIZE = _FLOW + SAMPLE_SLOTS + _SEASON + 2
_ADDRESSES = _FLOW_SIZE + SAMPLE_SLOTS + _MONTH + 2
_TRANSACTIONS = _ADDRESSES + SAMPLE_SLOTS + 2 * _WEEK - 1 + 2
_HASH_RATE = _TRANSACTIONS + SAMPLE_SLOTS + 2 * _WEEK - 1 + 2
_FEES = _HASH_RATE + SAMPLE_SLOTS + 2 * _MONTH - 1 + 2
_SLOTS = _FEES + SAMPLE_SLOTS + _MONTH + 2


def step(state: State, obs: Observation, out: Out) -> None:
    """Write each on-chain series against its own last days, and whether any is missing."""
    mvrv = obs[MVRV]
    flow = obs[EXCHANGE_NET_FLOW]
    flow_ms = obs[EXCHANGE_NET_FLOW_TIME]
    addresses = obs[ACTIVE_ADDRESSES]
    transactions = obs[TRANSACTIONS]
    hash_rate = obs[HASH_RATE]
    fees = obs[FEES]
    out[0] = mvrv if positive(mvrv) else NAN
    out[1] = _zscore(state, _MVRV, obs[MVRV_TIME], mvrv) if positive(mvrv) else NAN
    out[2] = _against_size(state, flow_ms, flow) if known(flow) else NAN
    out[3] = _zscore(state, _FLOW, flow_ms, flow) if known(flow) else NAN
    out[4] = NAN
    out[5] = NAN
    if positive(addresses):
        out[4] = _growth(state, _ADDRESSES, obs[ACTIVE_ADDRESSES_TIME], addresses)
    if positive(transactions):
        out[5] = _growth(state, _TRANSACTIONS, obs[TRANSACTIONS_TIME], transactions)
    out[6] = _ribbon(state, obs[HASH_RATE_TIME], hash_rate) if positive(hash_rate) else NAN
    out[7] = _fee_pressure(state, obs[FEES_TIME], fees) if positive(fees) else NAN
    out[8] = 0.0 if _all_present(mvrv, flow, addresses, transactions, hash_rate, fees) else 1.0


def _all_present(
    mvrv: float, flow: float, addresses: float, transactions: float, hash_rate: float, fees: float
) -> bool:
    return (
        positive(mvrv)
        and known(flow)
        and positive(addresses)
        and positive(transactions)
        and positive(hash_rate)
        and positive(fees)
    )


def _zscore(state: State, at: int, event_ms: float, x: float) -> float:
    """Return the distance of `x` to the mean of the 90 earlier days in deviations, within -5..5."""
    moments = at + SAMPLE_SLOTS + _SEASON
    if sample(state, at, _SEASON, DAY_MS, event_ms, x):
        measure(state, at, _SEASON, moments)
    if not complete(state, at, _SEASON) or state[moments + 1] <= 0.0:
        return NAN
    return clip((x - state[moments]) / state[moments + 1], -5.0, 5.0)


def _against_size(state: State, event_ms: float, flow: float) -> float:
    """Return the flow over the mean size of the 30 earlier days' flows, within -5..5."""
    size = _mean_of_month(state, _FLOW_SIZE, event_ms, abs(flow))
    return clip(flow / size, -5.0, 5.0) if size > 0.0 else NAN


def _mean_of_month(state: State, at: int, event_ms: float, x: float) -> float:
    """Return the mean of the 30 earlier days; 0 before there are 30."""
    mean = at + SAMPLE_SLOTS + _MONTH
    if sample(state, at, _MONTH, DAY_MS, event_ms, x) and complete(state, at, _MONTH):
        state[mean] = newest_total(state, at, _MONTH, 0, _MONTH) / _MONTH
    return state[mean]


def _halves(state: State, at: int, event_ms: float, x: float, half: int) -> bool:
    """Take in `x`; keep the sums of the half - 1 latest earlier days and of the half before them.

    Return whether there are as many earlier days.
    """
    size = 2 * half - 1
    sums = at + SAMPLE_SLOTS + size
    if sample(state, at, size, DAY_MS, event_ms, x):
        state[sums] = newest_total(state, at, size, 0, half - 1)
        state[sums + 1] = newest_total(state, at, size, half - 1, size)
    return complete(state, at, size)


def _growth(state: State, at: int, event_ms: float, x: float) -> float:
    """Return this week's sum over last week's, less 1, at most 1."""
    sums = at + SAMPLE_SLOTS + 2 * _WEEK - 1
    if not _halves(state, at, event_ms, x, _WEEK):
        return NAN
    return min((state[sums] + x) / state[sums + 1] - 1.0, 1.0)


def _ribbon(state: State, event_ms: float, x: float) -> float:
    """Return mean of 30 over mean of 60 days, less 1, from the sums of the newer and older 30."""
    sums = _HASH_RATE + SAMPLE_SLOTS + 2 * _MONTH - 1
    if not _halves(state, _HASH_RATE, event_ms, x, _MONTH):
        return NAN
    newer = state[sums] + x
    return (newer - state[sums + 1]) / (newer + state[sums + 1])


def _fee_pressure(state: State, event_ms: float, fees: float) -> float:
    usual = _mean_of_month(state, _FEES, event_ms, fees)
    return (fees - usual) / (fees + usual) if usual > 0.0 else NAN


def _feature(
    name: str,
    low: float,
    high: float,
    formula: str,
    source: str,
    inputs: tuple[str, ...],
    warmup_bars: int,
) -> Definition:
    return Definition(
        name=name,
        unit="z-score" if name.endswith("_zscore") else "ratio",
        low=low,
        high=high,
        formula=formula,
        source=source,
        inputs=inputs,
        warmup_bars=warmup_bars,
        missing="nan",
    )


def _zscore_of(name: str, field: str, source: str) -> Definition:
    return _feature(
        name=name,
        low=-5.0,
        high=5.0,
        formula=(
            f"({field} - m) / s, held within +-5; m and population s of the 90 latest earlier "
            f"{_DAYS}; NaN where all 90 are the same"
        ),
        source=source,
        inputs=(field, f"{field}_time_ms"),
        warmup_bars=8641,
    )


def _growth_of(field: str, source: str) -> Definition:
    return _feature(
        name=f"{field}_growth",
        low=-1.0,
        high=1.0,
        formula=(
            f"sum of {field} now and of the 6 latest earlier {_DAYS} / sum of the 7 before them "
            "- 1, held to at most 1"
        ),
        source=source,
        inputs=(field, f"{field}_time_ms"),
        warmup_bars=1249,
    )


_DAYS = "UTC days (of which the values are, not at which they came), days without one left out"
_ALL = ("mvrv", "exchange_net_flow", "active_addresses", "transactions", "hash_rate", "fees")

GROUP = Group(
    name="onchain",
    step=step,
    state_size=_SLOTS,
    features=(
        _feature(
            name="mvrv",
            low=0.0,
            high=float("inf"),
            formula="market value / realised value",
            source="Coin Metrics community data: CapMVRVCur, daily",
            inputs=("mvrv",),
            warmup_bars=1,
        ),
        _zscore_of(
            "mvrv_zscore",
            "mvrv",
            "defined here: MVRV against its own last 90 days; the MVRV Z-score of Mahmudov and "
            "Puell, 2018, divides by a deviation over all of history, which no window warms up",
        ),
        _feature(
            name="exchange_net_flow_norm",
            low=-5.0,
            high=5.0,
            formula=(
                f"net flow / mean |net flow| of the 30 latest earlier {_DAYS}, held within +-5"
            ),
            source="Coin Metrics community data: inflow minus outflow, daily",
            inputs=("exchange_net_flow", "exchange_net_flow_time_ms"),
            warmup_bars=2881,
        ),
        _zscore_of(
            "exchange_net_flow_zscore",
            "exchange_net_flow",
            "defined here: net flow against its own last 90 days",
        ),
        _growth_of(
            "active_addresses",
            "Coin Metrics community data: AdrActCnt; whole weeks, since use follows the weekday",
        ),
        _growth_of(
            "transactions",
            "Coin Metrics community data: TxCnt; whole weeks, since use follows the weekday",
        ),
        _feature(
            name="hash_ribbon",
            low=-1.0,
            high=1.0,
            formula=(
                "mean of 30 / mean of 60 days of the hash rate - 1 = (a - b) / (a + b), a the sum "
                f"of the rate now and of the 29 latest earlier {_DAYS}, b of the 30 before them"
            ),
            source="Edwards, Hash Ribbons and Bitcoin Bottoms, Capriole, 2019",
            inputs=("hash_rate", "hash_rate_time_ms"),
            warmup_bars=5665,
        ),
        _feature(
            name="fee_pressure",
            low=-1.0,
            high=1.0,
            formula=f"(fees - m) / (fees + m), m the mean of the 30 latest earlier {_DAYS}",
            source=(
                "defined here: fees against their usual level, bounded because a crowded day "
                "costs twenty times the usual"
            ),
            inputs=("fees", "fees_time_ms"),
            warmup_bars=2881,
        ),
        Definition(
            name="onchain_missing",
            unit="flag",
            low=0.0,
            high=1.0,
            formula=f"1 when any of {', '.join(_ALL)} is missing at the close, else 0",
            source="defined here: absence is told to a model, never filled in",
            inputs=_ALL,
            warmup_bars=1,
            missing="never",
        ),
    ),
    modules=("samples",),
)
