"""What the perpetual's funding rate, open interest and basis say."""

from math import sqrt

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    CLOSE,
    FUNDING_RATE,
    FUNDING_RATE_TIME,
    INDEX_CLOSE,
    MARK_CLOSE,
    OPEN_INTEREST,
    Observation,
    Out,
    State,
    clip,
)
from kernel.features.samples import (
    SAMPLE_SLOTS,
    complete,
    known,
    measure,
    newest_total,
    positive,
    sample,
)
from kernel.features.windows import back, push

_CAP = 0.003
_SETTLED_MS = 28_800_000
_WEEK = 21
_MONTH = 90
_LAG = 17  # 16 bars earlier and now

_RATES = 0
_WEEK_TOTAL = _RATES + SAMPLE_SLOTS + _MONTH
_MOMENTS = _WEEK_TOTAL + 1
_INTEREST = _MOMENTS + 2
_CLOSES = _INTEREST + 1 + _LAG
_SLOTS = _CLOSES + 1 + _LAG


def step(state: State, obs: Observation, out: Out) -> None:
    """Write funding, the change of open interest and its pressure, basis, and what is missing."""
    _funding(state, obs[FUNDING_RATE_TIME], obs[FUNDING_RATE], out)
    change = _interest_change(state, obs[OPEN_INTEREST])
    out[3] = change
    mark, index = obs[MARK_CLOSE], obs[INDEX_CLOSE]
    priced = positive(mark) and positive(index)
    out[4] = min(mark / index - 1.0, 1.0) if priced else NAN
    out[5] = _pressure(change, _price_change(state, obs[CLOSE]))
    out[6] = 0.0 if known(obs[FUNDING_RATE]) else 1.0
    out[7] = 0.0 if positive(obs[OPEN_INTEREST]) else 1.0
    out[8] = 0.0 if priced else 1.0


def _funding(state: State, event_ms: float, observed: float, out: Out) -> None:
    """Write the rate, its distance to those of 30 days, and the sum over a week.

    The week's earlier part and the moments change with a settlement only: they are kept.
    """
    out[0] = NAN
    out[1] = NAN
    out[2] = NAN
    if not known(observed):
        return
    rate = clip(observed, -_CAP, _CAP)
    if sample(state, _RATES, _MONTH, _SETTLED_MS, event_ms, rate):
        state[_WEEK_TOTAL] = newest_total(state, _RATES, _MONTH, 0, _WEEK - 1)
        measure(state, _RATES, _MONTH, _MOMENTS)
    out[0] = rate / _CAP
    if complete(state, _RATES, _MONTH) and state[_MOMENTS + 1] > 0.0:
        out[1] = clip((rate - state[_MOMENTS]) / state[_MOMENTS + 1], -5.0, 5.0)
    if complete(state, _RATES, _WEEK - 1):
        out[2] = state[_WEEK_TOTAL] + rate


def _interest_change(state: State, observed: float) -> float:
    """Return interest over its value 16 bars ago, less 1, within -1..1; a missing value is kept as
    0.
    """
    interest = observed if positive(observed) else 0.0
    push(state, _INTEREST, _LAG, interest)
    earlier = back(state, _INTEREST, _LAG, _LAG - 1)
    if interest == 0.0 or earlier == 0.0:
        return NAN
    return clip(interest / earlier - 1.0, -1.0, 1.0)


def _price_change(state: State, close: float) -> float:
    """Return close over its value 16 bars ago, less 1, within -1..1; 0 before there is one."""
    push(state, _CLOSES, _LAG, close)
    earlier = back(state, _CLOSES, _LAG, _LAG - 1)
    return clip(close / earlier - 1.0, -1.0, 1.0) if earlier > 0.0 else 0.0


def _pressure(interest: float, price: float) -> float:
    """Return the geometric mean of two changes, signed as their product; NaN without interest."""
    if not known(interest):
        return NAN
    product = interest * price
    return sqrt(product) if product >= 0.0 else -sqrt(-product)


def _feature(
    name: str,
    high: float,
    formula: str,
    source: str,
    inputs: tuple[str, ...],
    warmup_bars: int,
) -> Definition:
    return Definition(
        name=name,
        unit="z-score" if name.endswith("_zscore") else "ratio",
        low=-high,
        high=high,
        formula=formula,
        source=source,
        inputs=inputs,
        warmup_bars=warmup_bars,
        missing="nan",
    )


def _flag(name: str, what: str, inputs: tuple[str, ...]) -> Definition:
    return Definition(
        name=name,
        unit="flag",
        low=0.0,
        high=1.0,
        formula=f"1 when {what} is missing at the close, else 0",
        source="defined here: absence is told to a model, never filled in",
        inputs=inputs,
        warmup_bars=1,
        missing="never",
    )


_SETTLEMENTS = "the last rate of each UTC period of 8 hours that had one, held within +-0.003"

GROUP = Group(
    name="derivatives",
    step=step,
    state_size=_SLOTS,
    features=(
        _feature(
            name="funding_rate_norm",
            high=1.0,
            formula="funding rate held within +-0.003, / 0.003",
            source="novosky roadmap 17.1; perpetual funding, paid every 8 hours",
            inputs=("funding_rate",),
            warmup_bars=1,
        ),
        _feature(
            name="funding_zscore",
            high=5.0,
            formula=(
                f"(rate - m) / s, held within +-5; m and population s of the 90 latest earlier "
                f"settlements: {_SETTLEMENTS}; NaN where all 90 are the same"
            ),
            source="defined here: funding against its last 30 days, one sample a settlement",
            inputs=("funding_rate", "funding_rate_time_ms"),
            warmup_bars=2881,
        ),
        _feature(
            name="funding_cumulated",
            high=0.064,
            formula=f"sum of the rate and of the 20 latest earlier settlements: {_SETTLEMENTS}",
            source=(
                "defined here: what a long position paid over the last 7 days, where settlements "
                "are every 8 hours"
            ),
            inputs=("funding_rate", "funding_rate_time_ms"),
            warmup_bars=641,
        ),
        _feature(
            name="oi_change",
            high=1.0,
            formula="open interest / open interest 16 bars earlier - 1, held within +-1",
            source="novosky roadmap 17.1: open interest of the perpetual over four hours",
            inputs=("open_interest",),
            warmup_bars=17,
        ),
        _feature(
            name="basis",
            high=1.0,
            formula="mark price / index price - 1 at the close, held to at most 1",
            source="Binance futures documentation: mark price and price index",
            inputs=("mark_close", "index_close"),
            warmup_bars=1,
        ),
        _feature(
            name="long_short_pressure",
            high=1.0,
            formula=(
                "sign(o r) sqrt(|o r|), o and r the changes of open interest and of close over 16 "
                "bars, each held within +-1: positive when longs open or leave, negative when "
                "shorts do"
            ),
            source=(
                "defined here: open interest against price (Murphy, Technical Analysis of the "
                "Financial Markets, 1999, ch. 7), as a geometric mean to keep the unit of a change"
            ),
            inputs=("close", "open_interest"),
            warmup_bars=17,
        ),
        _flag("funding_missing", "the funding rate", ("funding_rate",)),
        _flag("open_interest_missing", "open interest", ("open_interest",)),
        _flag("basis_missing", "the mark or the index price", ("mark_close", "index_close")),
    ),
    modules=("samples",),
)
