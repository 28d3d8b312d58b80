"""What the perpetual's funding rate, open interest and basis say.

Rates are compared per hour of time, never per settlement: one symbol settles every hour, another
every eight, and a symbol may change from one to the other while its history runs.
"""

from math import sqrt

from kernel.features.bounds import NAN
from kernel.features.definition import Definition, Group
from kernel.features.recursions import (
    BAR_MS,
    CLOSE,
    FUNDING_HOURS_EARLIER,
    INDEX_CLOSE,
    MARK_CLOSE,
    OPEN_INTEREST,
    OPEN_TIME,
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
from kernel.observation import FUNDING_FIELDS, FUNDING_HOURS, HOUR_MS

_CAP = 0.003
_PERIOD_HOURS = 8
_PERIOD_MS = _PERIOD_HOURS * HOUR_MS
_WEEK = 21
_MONTH = 90
_LAG = 17  # 16 bars earlier and now

_RATES = 0
_WEEK_TOTAL = _RATES + SAMPLE_SLOTS + _MONTH
_MOMENTS = _WEEK_TOTAL + 1
_INTEREST = _MOMENTS + 2
_CLOSES = _INTEREST + 1 + _LAG
_SLOTS = _CLOSES + 1 + _LAG

FUNDING_RATE_NORM = 0
FUNDING_ZSCORE = 1
FUNDING_CUMULATED = 2
OI_CHANGE = 3
BASIS = 4
LONG_SHORT_PRESSURE = 5
FUNDING_MISSING = 6
OPEN_INTEREST_MISSING = 7
BASIS_MISSING = 8


def step(state: State, obs: Observation, out: Out) -> None:
    """Write funding, the change of open interest and its pressure, basis, and what is missing."""
    _funding(state, obs, out)
    change = _interest_change(state, obs[OPEN_INTEREST])
    mark = obs[MARK_CLOSE]
    index = obs[INDEX_CLOSE]
    priced = positive(mark) and positive(index)
    out[OI_CHANGE] = change
    out[BASIS] = min(mark / index - 1.0, 1.0) if priced else NAN
    out[LONG_SHORT_PRESSURE] = _pressure(change, _price_change(state, obs[CLOSE]))
    out[OPEN_INTEREST_MISSING] = 0.0 if positive(obs[OPEN_INTEREST]) else 1.0
    out[BASIS_MISSING] = 0.0 if priced else 1.0


def _funding(state: State, obs: Observation, out: Out) -> None:
    """Write the rate of eight hours, its distance to those of 30 days, and what a week cost.

    The week's earlier part and the moments change with a period only: they are kept.
    """
    out[FUNDING_RATE_NORM] = NAN
    out[FUNDING_ZSCORE] = NAN
    out[FUNDING_CUMULATED] = NAN
    out[FUNDING_MISSING] = 1.0
    latest = _settled(obs, 0)
    if latest == FUNDING_HOURS:
        return
    out[FUNDING_MISSING] = 0.0
    close_ms = int(obs[OPEN_TIME]) + BAR_MS
    settled_ms = (close_ms - 1) // HOUR_MS * HOUR_MS - latest * HOUR_MS
    paid = _paid_in_period(obs, latest, settled_ms)
    if sample(state, _RATES, _MONTH, _PERIOD_MS, settled_ms, paid):
        state[_WEEK_TOTAL] = newest_total(state, _RATES, _MONTH, 0, _WEEK - 1)
        measure(state, _RATES, _MONTH, _MOMENTS)
    if complete(state, _RATES, _WEEK - 1):
        out[FUNDING_CUMULATED] = state[_WEEK_TOTAL] + paid
    before = _settled(obs, latest + 1)
    if before == FUNDING_HOURS:
        return  # the rate of one settlement says nothing per hour
    hours = min(before - latest, _PERIOD_HOURS)
    rate = clip(obs[FUNDING_HOURS_EARLIER + latest] * (_PERIOD_HOURS / hours), -_CAP, _CAP)
    out[FUNDING_RATE_NORM] = rate / _CAP
    if complete(state, _RATES, _MONTH) and state[_MOMENTS + 1] > 0.0:
        out[FUNDING_ZSCORE] = clip((rate - state[_MOMENTS]) / state[_MOMENTS + 1], -5.0, 5.0)


def _settled(obs: Observation, since: int) -> int:
    """Return how many full hours before the last one a rate settled, at least `since`; 24 where
    none did.
    """
    hours = since
    while hours < FUNDING_HOURS and not known(obs[FUNDING_HOURS_EARLIER + hours]):
        hours += 1
    return hours


def _paid_in_period(obs: Observation, latest: int, settled_ms: int) -> float:
    """Return the sum of the rates that settled in the period of eight hours of the latest one."""
    paid = clip(obs[FUNDING_HOURS_EARLIER + latest], -_CAP, _CAP)
    into_period = settled_ms % _PERIOD_MS // HOUR_MS
    for hours in range(latest + 1, min(latest + into_period + 1, FUNDING_HOURS)):
        if known(obs[FUNDING_HOURS_EARLIER + hours]):
            paid += clip(obs[FUNDING_HOURS_EARLIER + hours], -_CAP, _CAP)
    return paid


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


_PERIODS = (
    "sums of the rates, each held within +-0.003, that settled in a UTC period of 8 hours, of the "
    "periods that had one"
)
_RATE = "rate * 8 / hours since the settlement before it, 8 at most, held within +-0.003"

GROUP = Group(
    name="derivatives",
    step=step,
    state_size=_SLOTS,
    features=(
        _feature(
            name="funding_rate_norm",
            high=1.0,
            formula=f"({_RATE}) / 0.003: of the last settlement of the last 24 hours",
            source=(
                "novosky roadmap 17.1; perpetual funding as paid over 8 hours, so that symbols "
                "that settle every hour, every four or every eight are comparable"
            ),
            inputs=FUNDING_FIELDS,
            warmup_bars=1,
        ),
        _feature(
            name="funding_zscore",
            high=5.0,
            formula=(
                f"(r - m) / s, held within +-5; r = {_RATE}; m and population s of the 90 latest "
                f"earlier {_PERIODS}; NaN where all 90 are the same"
            ),
            source="defined here: funding against its last 30 days, one sample every 8 hours",
            inputs=FUNDING_FIELDS,
            warmup_bars=2881,
        ),
        _feature(
            name="funding_cumulated",
            high=0.505,
            formula=f"this period's and the 20 latest earlier {_PERIODS}",
            source="defined here: what a long position paid over the last 7 days",
            inputs=FUNDING_FIELDS,
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
        _flag("funding_missing", "any settlement of the last 24 hours", FUNDING_FIELDS),
        _flag("open_interest_missing", "open interest", ("open_interest",)),
        _flag("basis_missing", "the mark or the index price", ("mark_close", "index_close")),
    ),
    modules=("samples",),
)
