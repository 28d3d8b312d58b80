"""What moves on the chain: flows to and from exchanges, market value against realised value."""

from kernel.features.bounds import NAN, finite
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    EXCHANGE_NET_FLOW,
    MVRV,
    Observation,
    Out,
    State,
    average,
    clip,
)

_SIZE = 0
_SPAN_BARS = 2880
_WARM_BARS = 480


def step(state: State, obs: Observation, out: Out) -> None:
    """Write the net flow against its usual size, and MVRV."""
    out[0] = _relative_flow(state, obs[EXCHANGE_NET_FLOW])
    mvrv = obs[MVRV]
    out[1] = mvrv if finite(mvrv) else NAN


def _relative_flow(state: State, flow: float) -> float:
    if not finite(flow):
        return NAN
    size = average(state, _SIZE, abs(flow), _SPAN_BARS, 1.0 / _SPAN_BARS)
    if state[_SIZE] < _WARM_BARS or size <= 0.0:
        return NAN
    return clip(flow / size, -5.0, 5.0)


GROUP = Group(
    name="onchain",
    step=step,
    state_size=2,
    features=(
        Definition(
            name="exchange_net_flow_norm",
            unit="ratio",
            low=-5.0,
            high=5.0,
            formula=(
                "net flow / average |net flow| over the bars that had one (plain mean up to 2,880 "
                "bars = 30 days, then exponential), held within +-5; NaN before 480 such bars"
            ),
            source="Coin Metrics community data: inflow minus outflow, daily",
            inputs=("exchange_net_flow",),
            warmup_bars=480,
            missing="nan",
        ),
        Definition(
            name="mvrv",
            unit="ratio",
            low=0.0,
            high=float("inf"),
            formula="market value / realised value",
            source="Coin Metrics community data: CapMVRVCur, daily",
            inputs=("mvrv",),
            warmup_bars=1,
            missing="nan",
        ),
    ),
)
