"""From class probabilities to a wish: buy, sell or stay out."""

from enum import IntEnum

CLASSES = ("SELL", "HOLD", "BUY")


class Abstain(IntEnum):
    """Why a bar may not open a position; 0 means that it may."""

    NONE = 0
    NO_BUNDLE = 1
    NOT_WARM = 2
    STALE_DATA = 3
    MISSING_FEATURE = 4
    KILLED = 5
    API_ERRORS = 6
    SLOW = 7
    EXITS_ONLY = 8
    OUT_OF_HULL = 9
    UNKNOWN_DOUBT = 10


def doubt_of(code: int) -> Abstain:
    """Return why a graph abstains; a reason that a graph cannot have, or that came after this
    version, is UNKNOWN_DOUBT: whatever it means, nothing is opened.
    """
    told = {one.value: one for one in (Abstain.NONE, Abstain.OUT_OF_HULL)}
    return told.get(code, Abstain.UNKNOWN_DOUBT)


def decide(
    p_sell: float,
    p_hold: float,
    p_buy: float,
    min_confidence: float,
    min_prob_diff: float,
) -> float:
    """Return +1 to go long, -1 to go short, 0 to stay out.

    The winning side needs `min_confidence` and a lead of `min_prob_diff` over the better of the
    other two classes. Probabilities that are NaN, negative or do not add to one within 1 % stay
    out.
    """
    total = p_sell + p_hold + p_buy
    if not (0.99 < total < 1.01) or p_sell < 0.0 or p_hold < 0.0 or p_buy < 0.0:
        return 0.0
    side = 1.0 if p_buy > p_sell else -1.0
    winner = max(p_buy, p_sell)
    rival = max(min(p_buy, p_sell), p_hold)
    if winner >= min_confidence and winner - rival >= min_prob_diff:
        return side
    return 0.0


def rules_probabilities(
    ema_stack: float, rsi_14: float, adx_14: float
) -> tuple[float, float, float]:
    """Return (p_sell, p_hold, p_buy) of the rules: follow a strong trend, do not chase it.

    The fallback of a runner without a bundle. `ema_stack` is +1 when EMA20 > EMA50 > EMA200 and
    -1 when all are reversed; RSI and ADX run 0..100. A trend counts from ADX 25 (Wilder, New
    Concepts in Technical Trading Systems, 1978); an RSI beyond 70 or below 30 is late. Confidence
    grows from 0.50 at ADX 25 to 0.90 at ADX 65. NaN holds.
    """
    strength = 0.5 + 0.4 * min(max((adx_14 - 25.0) / 40.0, 0.0), 1.0)
    rest = 1.0 - strength
    if adx_14 >= 25.0 and ema_stack >= 1.0 and 50.0 <= rsi_14 <= 70.0:
        return 0.2 * rest, 0.8 * rest, strength
    if adx_14 >= 25.0 and ema_stack <= -1.0 and 30.0 <= rsi_14 <= 50.0:
        return strength, 0.8 * rest, 0.2 * rest
    return 0.05, 0.9, 0.05
