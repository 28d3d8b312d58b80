"""What BTC does to another market: how closely the two move, and what BTC did that is still to
follow.

A bar counts where its close of BTC is present and another number than the symbol's own close:
where the symbol is BTC there is no other market, and everything is missing.
"""

from math import sqrt

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    BTC_CLOSE,
    CLOSE,
    Observation,
    Out,
    State,
    clip,
    log,
)
from kernel.features.windows import back, push, sliding_total

_DAY = 96
_FEWEST = 48
_ABSENT = 1e9  # no logarithm of a ratio of two usable prices
_LEADS = 16
_STEEPEST = 10.0
_STILL = 1e-9

_COUNT = 0
_CLOSE = 1
_RATIOS = 2
_PAIRS = _RATIOS + 1 + _LEADS + 1
_BTC = _PAIRS + 2 + _DAY
_OWN = _BTC + 2 + _DAY
_BTC_SQUARE = _OWN + 2 + _DAY
_OWN_SQUARE = _BTC_SQUARE + 2 + _DAY
_PRODUCT = _OWN_SQUARE + 2 + _DAY
_SLOTS = _PRODUCT + 2 + _DAY


def step(state: State, obs: Observation, out: Out) -> None:
    """Write correlation and beta over 96 bars, three leads, and whether BTC is missing.

    BTC's price enters as the logarithm of its ratio to the symbol's.
    """
    close = obs[CLOSE]
    btc = obs[BTC_CLOSE]
    previous_close = state[_CLOSE]
    previous = back(state, _RATIOS, _LEADS + 1, 0) if state[_COUNT] > 0.0 else _ABSENT
    ratio = log(btc / close) if _is_other(btc, close) else _ABSENT
    state[_COUNT] += 1.0
    state[_CLOSE] = close
    push(state, _RATIOS, _LEADS + 1, ratio)
    if max(ratio, previous) >= _ABSENT:
        _together(state, 0.0, 0.0, 0.0, out)
    else:
        own = log(close / previous_close)
        _together(state, 1.0, own + (ratio - previous), own, out)
    out[2] = _lead(state, ratio, 1)
    out[3] = _lead(state, ratio, 4)
    out[4] = _lead(state, ratio, 16)
    out[5] = 1.0 if ratio == _ABSENT else 0.0


def _is_other(btc: float, close: float) -> bool:
    """Return whether `btc` is a price like one of a usable bar, and another market's."""
    return 1e-18 < btc < 1e18 and btc != close


def _together(state: State, pair: float, btc: float, own: float, out: Out) -> None:
    """Take in one pair of log returns, or zeros for none, and write correlation and beta."""
    n = sliding_total(state, _PAIRS, _DAY, pair)
    x = sliding_total(state, _BTC, _DAY, btc)
    y = sliding_total(state, _OWN, _DAY, own)
    xx = sliding_total(state, _BTC_SQUARE, _DAY, btc * btc)
    yy = sliding_total(state, _OWN_SQUARE, _DAY, own * own)
    xy = sliding_total(state, _PRODUCT, _DAY, btc * own)
    out[0] = NAN
    out[1] = NAN
    if n < _FEWEST or state[_COUNT] <= _DAY:
        return
    spread_x = xx - x * x / n
    spread_y = yy - y * y / n
    shared = xy - x * y / n
    if spread_x > _STILL * xx:
        out[1] = clip(shared / spread_x, -_STEEPEST, _STEEPEST)
        if spread_y > _STILL * yy:
            out[0] = clip(shared / (sqrt(spread_x) * sqrt(spread_y)), -1.0, 1.0)


def _lead(state: State, ratio: float, bars: int) -> float:
    if state[_COUNT] <= bars:
        return NAN
    earlier = back(state, _RATIOS, _LEADS + 1, bars)
    return ratio - earlier if max(ratio, earlier) < _ABSENT else NAN


def _definition(
    name: str, unit: str, bound: float, formula: str, source: str, warmup_bars: int
) -> Definition:
    return Definition(
        name=name,
        unit=unit,
        low=-bound,
        high=bound,
        formula=formula,
        source=source,
        inputs=("close", "btc_close"),
        warmup_bars=warmup_bars,
        missing="nan",
    )


def _btc_lead(bars: int) -> Definition:
    span = "1 bar" if bars == 1 else f"{bars} bars"
    return _definition(
        f"btc_lead_{bars}",
        "log return",
        166.0,
        (
            f"ln(btc_close / close) - the same {span} earlier: BTC's log return over {span} minus "
            "the symbol's own; NaN where either bar does not count"
        ),
        (
            "defined here: what BTC has done that the symbol has not yet, after Lo and MacKinlay, "
            "When Are Contrarian Profits Due to Stock Market Overreaction?, Review of Financial "
            "Studies 3, 1990 (large lead small)"
        ),
        bars + 1,
    )


GROUP = Group(
    name="spillover",
    step=step,
    state_size=_SLOTS,
    features=(
        _definition(
            "btc_correlation",
            "ratio",
            1.0,
            (
                "Pearson correlation of the log returns of BTC and the symbol over the last 96 "
                "bars, of those where this bar and the one before count; NaN under 48 of them, and "
                "where a variance is under 1e-9 of the mean square"
            ),
            "Pearson, Regression and Inheritance, Proceedings of the Royal Society 58, 1895",
            _DAY + 1,
        ),
        _definition(
            "btc_beta",
            "ratio",
            _STEEPEST,
            (
                "covariance of both log returns / variance of BTC's, over the pairs of "
                "btc_correlation, clipped to -10..10; NaN under 48 pairs, and where BTC's variance "
                "is under 1e-9 of its mean square"
            ),
            "Sharpe, A Simplified Model for Portfolio Analysis, Management Science 9, 1963",
            _DAY + 1,
        ),
        _btc_lead(1),
        _btc_lead(4),
        _btc_lead(16),
        Definition(
            name="btc_missing",
            unit="flag",
            low=0.0,
            high=1.0,
            formula=(
                "1 when btc_close is missing, outside 1e-18..1e18, or equal to close (the symbol "
                "is BTC: there is no other market), else 0"
            ),
            source="defined here: says why the features of this group are NaN",
            inputs=("close", "btc_close"),
            warmup_bars=1,
            missing="never",
        ),
    ),
)
