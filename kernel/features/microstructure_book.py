"""What the last snapshot of the book says, and the order flow of the bar."""

from kernel.features.bounds import NAN
from kernel.features.microstructure_window import (
    LARGEST,
    RING,
    WINDOW,
    WINDOW_SLOTS,
    are_quantities,
    bounded_ratio,
    hold,
)
from kernel.features.recursions import (
    ASK_QUANTITY_100,
    BEST_ASK,
    BEST_ASK_QUANTITY,
    BEST_BID,
    BEST_BID_QUANTITY,
    BID_QUANTITY_100,
    ORDER_FLOW,
    Observation,
    Out,
    State,
)
from kernel.features.windows import sliding_total

FLOW_CAP = 100_000.0
_SIZES = WINDOW_SLOTS
FLOW_SLOTS = _SIZES + RING


def book(obs: Observation, out: Out) -> bool:
    """Write imbalances, spread and drift; return whether the best quotes have prices and sizes."""
    bid = obs[BEST_BID]
    ask = obs[BEST_ASK]
    priced = 1e-18 < bid <= ask < 1e18
    sized = are_quantities(obs[BEST_BID_QUANTITY], obs[BEST_ASK_QUANTITY])
    out[0] = _imbalance(obs[BEST_BID_QUANTITY], obs[BEST_ASK_QUANTITY])
    out[1] = _imbalance(obs[BID_QUANTITY_100], obs[ASK_QUANTITY_100])
    spread = (ask - bid) / (0.5 * (ask + bid)) if priced else 0.0
    out[2] = 10_000.0 * spread if priced else NAN
    out[3] = 0.5 * spread * out[0] if priced and sized else NAN
    return priced and sized


def _imbalance(bid: float, ask: float) -> float:
    return (bid - ask) / (bid + ask) if are_quantities(bid, ask) else NAN


def order_flow_imbalance(state: State, at: int, obs: Observation, quoted: bool) -> float:
    """Return the bar's order flow in units of the average size of the best quotes."""
    full = hold(state, at, FLOW_SLOTS, quoted)
    if not quoted:
        return NAN
    size = 0.5 * (obs[BEST_BID_QUANTITY] + obs[BEST_ASK_QUANTITY])
    average = sliding_total(state, at + _SIZES, WINDOW, size) / WINDOW
    flow = obs[ORDER_FLOW]
    if not (full and -LARGEST < flow < LARGEST):
        return NAN
    return bounded_ratio(flow, average, FLOW_CAP)
